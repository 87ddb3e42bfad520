package query

import (
	"context"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

var _ Names = (*store.Rollups)(nil)

// The series with the number of readings per bucket.
const (
	countsName  = "sysotel_family_readings"
	familyLabel = "family"
	hostLabel   = "host_name"
)

// weights are the numbers of readings behind the points of a tier.
type weights struct {
	from, resolution int64
	readings         []float64 // 0 is unknown
}

// at returns the number of readings behind the point at t, false if unknown.
func (w *weights) at(t int64) (float64, bool) {
	if w == nil {
		return 0, false
	}
	i := (t - w.from) / w.resolution
	if i < 0 || i >= int64(len(w.readings)) || w.readings[i] == 0 {
		return 0, false
	}
	return w.readings[i], true
}

// weights reads the number of readings of the metric's collector, by host. They are
// needed only if a step holds several points of a coarser tier.
func (s *selection) weights(ctx context.Context, p *part) (map[string]*weights, error) {
	resolution := p.source.Resolution().Milliseconds()
	names := s.q.config.Names
	if p.finest || names == nil || s.query.AsRate || s.counter || !s.query.Avg || p.step <= resolution {
		return nil, nil
	}
	collector := names.Collector(s.name)
	if collector == "" {
		return nil, nil
	}
	from, to := p.first-p.step, p.last()
	querier, err := p.source.Queryable().Querier(from+1, to)
	if err != nil {
		return nil, err
	}
	defer func() { _ = querier.Close() }() // It was only read.
	return readWeights(ctx, querier, collector, s.query.Matchers, from, to, resolution)
}

// readWeights reads the number of readings of a collector in (from, to], by host. Other
// hosts than those of the matchers are not needed.
func readWeights(ctx context.Context, querier storage.Querier, collector string, of []*labels.Matcher, from, to, resolution int64) (map[string]*weights, error) {
	from -= from % resolution
	byHost := map[string]*weights{}
	matchers := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, countsName),
		labels.MustNewMatcher(labels.MatchEqual, familyLabel, collector),
	}
	for _, m := range of {
		if m.Name == hostLabel {
			matchers = append(matchers, m)
		}
	}
	set := querier.Select(ctx, false, &storage.SelectHints{Start: from + 1, End: to}, matchers...)
	var it timeline
	for set.Next() {
		series := set.At()
		host := series.Labels().Get(hostLabel)
		w := byHost[host]
		if w == nil {
			w = &weights{from: from, resolution: resolution, readings: make([]float64, (to-from)/resolution+1)}
			byHost[host] = w
		}
		for it.reset(series, from, to); it.next(); {
			w.readings[(it.t-from)/resolution] = it.v
		}
		if err := it.err(); err != nil {
			return nil, err
		}
	}
	return byHost, set.Err()
}
