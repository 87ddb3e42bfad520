package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/query"
	"sysotel/instruments/sanitize"
)

// localCache is the source of a tier if VictoriaMetrics did not respond.
const localCache = "local cache"

// seriesResponse is the store's result for a plan.
type seriesResponse struct {
	plan     *seriesPlan
	step     time.Duration
	tiers    []query.Span
	warnings annotations.Annotations
	series   []resultSeries
}

// resultSeries is one series with its metric and labels.
type resultSeries struct {
	query.SelectedSeries
	metric, unit string
	scale        float64
	// names and values are its labels.
	names, values []string
}

// selectSeries queries the store for every part of a plan.
func (s *Server) selectSeries(ctx context.Context, p *seriesPlan) (*seriesResponse, error) {
	a := &seriesResponse{plan: p}
	total := 0
	for _, one := range p.selections {
		result, err := s.options.History.Select(ctx, one.query)
		if err != nil {
			return nil, err
		}
		a.step = max(a.step, result.Step)
		a.join(result.Tiers)
		a.warnings.Merge(result.Warnings)
		for _, found := range result.Series {
			// The limit is for all selections together, which are in memory at once.
			if total += len(found.T) * len(p.aggregates); total > maxValues {
				return nil, problem(http.StatusUnprocessableEntity,
					"The response would hold more than "+strconv.Itoa(maxValues)+" numbers; ask for fewer metrics, points or parts of the machine.")
			}
			row := resultSeries{SelectedSeries: found, metric: one.quantity.Name, unit: one.quantity.Unit, scale: one.quantity.Scale}
			for _, l := range one.labels {
				if value := found.Labels.Get(l.stored); value != "" {
					row.names, row.values = append(row.names, l.name), append(row.values, sanitize.ValidUTF8(l.prefix+value))
				}
			}
			a.series = append(a.series, row)
		}
	}
	return a, nil
}

// join merges the tiers of a result. Rates need the sample before their step, so
// they may begin a step later than other metrics.
func (a *seriesResponse) join(spans []query.Span) {
	for _, span := range spans {
		i := slices.IndexFunc(a.tiers, func(t query.Span) bool { return t.Tier == span.Tier })
		if i < 0 {
			a.tiers = append(a.tiers, span)
			continue
		}
		if span.From.Before(a.tiers[i].From) {
			a.tiers[i].From = span.From
		}
		if span.To.After(a.tiers[i].To) {
			a.tiers[i].To = span.To
		}
		a.tiers[i].Cached = a.tiers[i].Cached || span.Cached
	}
	slices.SortFunc(a.tiers, func(x, y query.Span) int { return x.From.Compare(y.From) })
}

// write writes CSV or JSON, as the client prefers.
func (a *seriesResponse) write(ctx huma.Context) {
	_, w := humago.Unwrap(ctx)
	h := w.Header()
	h.Set("Vary", "Accept")
	if len(a.tiers) > 0 {
		var names []string
		for _, t := range a.tiers {
			name := t.Tier
			if t.Cached {
				name += ";source=local-cache"
			}
			names = append(names, name)
		}
		h.Set("X-Sysotel-Tier", strings.Join(names, ", "))
	}
	buffered := bufio.NewWriterSize(w, 32<<10)
	if wantsCSV(ctx.Context()) {
		setCSVHeaders(h, a.plan.group.name)
		a.writeCSV(buffered)
	} else {
		h.Set("Content-Type", jsonMedia)
		a.writeJSON(buffered)
	}
	_ = buffered.Flush() // The client may have disconnected.
}

// column returns the values of an aggregation, nil if there are none.
func (s *resultSeries) column(aggregate string) []float64 {
	return map[string][]float64{"avg": s.Avg, "min": s.Min, "max": s.Max}[aggregate]
}

// orderedAggregates are the requested aggregations without duplicates.
func (p *seriesPlan) orderedAggregates() (list []string) {
	for _, a := range seriesAggregates {
		if slices.Contains(p.aggregates, a) {
			list = append(list, a)
		}
	}
	return list
}

// writeJSON writes a Series in pieces: as text it is several times larger than
// the numbers.
func (a *seriesResponse) writeJSON(w *bufio.Writer) {
	start, err := json.Marshal(a.head())
	if err != nil { // Times within the years 1 to 9999 and strings always marshal.
		return
	}
	_, _ = w.Write(start[:len(start)-len("]}")])
	aggregates := a.plan.orderedAggregates()
	for i := range a.series {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		a.series[i].writeJSON(w, aggregates)
	}
	_, _ = w.WriteString("]}\n")
}

// head is the response without its series.
func (a *seriesResponse) head() Series {
	head := Series{Host: sanitize.ValidUTF8(a.plan.host), Start: a.plan.start.UTC(), End: a.plan.end.UTC(), Step: a.step.Seconds(), Tiers: []SeriesTier{}, Series: []SeriesRow{}}
	for _, t := range a.tiers {
		tier := SeriesTier{Tier: t.Tier, From: t.From.UTC(), To: t.To.UTC()}
		if t.Cached {
			tier.Source = localCache
		}
		head.Tiers = append(head.Tiers, tier)
	}
	for _, warning := range a.warnings {
		head.Warnings = append(head.Warnings, sanitize.ValidUTF8(warning.Error()))
	}
	slices.Sort(head.Warnings)
	return head
}

// writeJSON writes a SeriesRow with the aggregations in order.
func (s *resultSeries) writeJSON(w *bufio.Writer, aggregates []string) {
	labels := make(map[string]string, len(s.names))
	for i, name := range s.names {
		labels[name] = s.values[i]
	}
	row, err := json.Marshal(SeriesRow{Metric: s.metric, Unit: s.unit, Labels: labels, T: []float64{}})
	if err != nil { // Strings always marshal.
		return
	}
	_, _ = w.Write(row[:len(row)-len("]}")])
	var number []byte
	for i, t := range s.T {
		if i > 0 {
			_ = w.WriteByte(',')
		}
		number = appendSeconds(number[:0], t)
		_, _ = w.Write(number)
	}
	_ = w.WriteByte(']')
	for _, aggregate := range aggregates {
		_, _ = w.WriteString(`,"` + aggregate + `":[`)
		column := s.column(aggregate)
		for i := range s.T {
			if i > 0 {
				_ = w.WriteByte(',')
			}
			v := unknown
			if column != nil {
				v = column[i] * s.scale
			}
			number = appendValue(number[:0], v, "null")
			_, _ = w.Write(number)
		}
		_ = w.WriteByte(']')
	}
	_ = w.WriteByte('}')
}

// writeCSV writes a line for each point of each series.
func (a *seriesResponse) writeCSV(w *bufio.Writer) {
	table := csv.NewWriter(w)
	aggregates := a.plan.orderedAggregates()
	line := append(append([]string{"time", "metric", "unit"}, a.plan.group.labels...), aggregates...)
	_ = table.Write(line)
	for i := range a.series {
		s := &a.series[i]
		line[1], line[2] = s.metric, s.unit
		for j, name := range a.plan.group.labels {
			line[3+j] = ""
			if at := slices.Index(s.names, name); at >= 0 {
				line[3+j] = harmlessCell(s.values[at])
			}
		}
		for j, t := range s.T {
			line[0] = time.UnixMilli(t).UTC().Format(time.RFC3339Nano)
			for k, aggregate := range aggregates {
				v := unknown
				if column := s.column(aggregate); column != nil {
					v = column[j] * s.scale
				}
				line[3+len(a.plan.group.labels)+k] = string(appendValue(nil, v, ""))
			}
			if table.Write(line) != nil {
				return // The client has disconnected.
			}
		}
	}
	table.Flush()
}

// appendSeconds writes milliseconds as Unix seconds.
func appendSeconds(b []byte, ms int64) []byte {
	if ms%1000 == 0 {
		return strconv.AppendInt(b, ms/1000, 10)
	}
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
}

// appendValue writes a number with twelve significant digits, and whole numbers
// exactly. The mean of an hour can be far below the resolution of one tick, so
// decimals are not cut as in /current.
func appendValue(b []byte, v float64, none string) []byte {
	const exact = 1 << 53
	switch {
	case math.IsNaN(v), math.IsInf(v, 0):
		return append(b, none...)
	case v == math.Trunc(v) && math.Abs(v) < exact:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', 12, 64)
}
