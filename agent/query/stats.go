package query

import (
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/util/stats"
)

// measure adds what one query of the engine took to the statistics of a result: times
// and samples of several are added up, and the peak is that of the largest.
func (a *Result) measure(query promql.Query) {
	one := stats.NewQueryStats(query.Stats()).Builtin()
	if a.Stats.Samples == nil {
		a.Stats = one
		return
	}
	all := &a.Stats.Timings
	all.EvalTotalTime += one.Timings.EvalTotalTime
	all.ResultSortTime += one.Timings.ResultSortTime
	all.QueryPreparationTime += one.Timings.QueryPreparationTime
	all.InnerEvalTime += one.Timings.InnerEvalTime
	all.ExecQueueTime += one.Timings.ExecQueueTime
	all.ExecTotalTime += one.Timings.ExecTotalTime
	a.Stats.Samples.TotalQueryableSamples += one.Samples.TotalQueryableSamples
	a.Stats.Samples.SamplesRead += one.Samples.SamplesRead
	a.Stats.Samples.PeakSamples = max(a.Stats.Samples.PeakSamples, one.Samples.PeakSamples)
}
