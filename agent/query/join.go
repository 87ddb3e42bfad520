package query

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// joined are the results of several segments, in order of time.
type joined struct {
	budget *budget
	taken  float64
	rows   map[string]*promql.Series
	key    []byte
}

func newJoined(b *budget) *joined { return &joined{budget: b, rows: map[string]*promql.Series{}} }

// add appends the result of the next segment. Points are copied, because the engine
// reuses them when the query is closed.
func (j *joined) add(part promql.Matrix, steps int) error {
	for i := range part {
		next := &part[i]
		size := float64(pointBytes*len(next.Floats)) + float64(pointBytes*len(next.Histograms))
		j.key = next.Metric.Bytes(j.key)
		row, known := j.rows[string(j.key)]
		if !known {
			size += float64(rowBytes + 2*len(j.key))
			row = &promql.Series{Metric: next.Metric}
			if len(next.Floats) > 1 { // Most rows are there all the time.
				row.Floats = make([]promql.FPoint, 0, min(steps, 8*len(next.Floats)))
			}
			j.rows[string(j.key)] = row
		}
		before := cap(row.Floats)
		row.Floats = append(row.Floats, next.Floats...)
		row.Histograms = append(row.Histograms, next.Histograms...)
		size += float64(pointBytes * max(0, cap(row.Floats)-before-len(next.Floats)))
		if err := j.budget.take(size); err != nil {
			return err
		}
		if j.taken += size; j.taken > resultShare(j.budget.limit) {
			return j.budget.tooLarge(j.taken)
		}
	}
	return nil
}

// matrix returns the rows, sorted by labels.
func (j *joined) matrix() promql.Matrix {
	all := make(promql.Matrix, 0, len(j.rows))
	for _, row := range j.rows {
		all = append(all, *row)
	}
	slices.SortFunc(all, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return all
}
