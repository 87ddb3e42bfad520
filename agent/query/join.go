package query

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// joined are the results of several segments, added from the newest to the oldest.
type joined struct {
	budget *budget
	taken  float64
	rows   map[string]*joinedRow
	key    []byte
}

// joinedRow is a series of the result, with its points in parts, the newest first.
type joinedRow struct {
	promql.Series
	floats     [][]promql.FPoint
	histograms [][]promql.HPoint
}

func newJoined(b *budget) *joined { return &joined{budget: b, rows: map[string]*joinedRow{}} }

// add adds the result of the segment before the others. Points are copied, because the
// engine reuses them when the query is closed.
func (j *joined) add(part promql.Matrix) error {
	for i := range part {
		earlier := &part[i]
		size := float64(pointBytes*len(earlier.Floats)) + float64(pointBytes*len(earlier.Histograms))
		j.key = earlier.Metric.Bytes(j.key)
		row, known := j.rows[string(j.key)]
		if !known {
			size += float64(rowBytes + 2*len(j.key))
			row = &joinedRow{Series: promql.Series{Metric: earlier.Metric}}
			j.rows[string(j.key)] = row
		}
		if len(earlier.Floats) > 0 {
			row.floats = append(row.floats, slices.Clone(earlier.Floats))
		}
		if len(earlier.Histograms) > 0 {
			row.histograms = append(row.histograms, slices.Clone(earlier.Histograms))
		}
		size += sliceBytes
		if err := j.budget.take(size); err != nil {
			return err
		}
		if j.taken += size; j.taken > resultShare(j.budget.limit) {
			return j.budget.tooLarge(j.taken)
		}
	}
	return nil
}

// sliceBytes is what a part of a row takes beside its points.
const sliceBytes = 48

// matrix returns the rows, sorted by labels.
func (j *joined) matrix() promql.Matrix {
	all := make(promql.Matrix, 0, len(j.rows))
	for _, row := range j.rows {
		row.Floats, row.Histograms = inOrder(row.floats), inOrder(row.histograms)
		row.floats, row.histograms = nil, nil // Or all points would be there twice.
		all = append(all, row.Series)
	}
	slices.SortFunc(all, func(a, b promql.Series) int { return labels.Compare(a.Metric, b.Metric) })
	return all
}

// inOrder joins parts of which the newest comes first.
func inOrder[P any](parts [][]P) []P {
	if len(parts) == 1 {
		return parts[0]
	}
	slices.Reverse(parts)
	return slices.Concat(parts...)
}
