package query

import (
	"slices"
	"time"

	"sysotel/agent/store"
)

// grid has the points of a result: at whole multiples of the step in Unix time,
// like the buckets of the tiers, in parts of one tier each.
type grid struct {
	parts []part
	times []int64
	rate  bool
	// patience is how far back the sample before a step may be if that is longer
	// than a step: slow collectors do not read every second.
	patience int64
}

// part is a run of points from one tier; all times are in milliseconds.
type part struct {
	source Source
	finest bool
	step   int64
	first  int64
	count  int
	offset int // of the first point among all
}

func (p *part) last() int64 { return p.first + int64(p.count-1)*p.step }

// at returns the index of the point for a time, in range or not.
func (p *part) at(t int64) int {
	end := store.BucketEnd(t, p.step)
	if end < p.first {
		return -1
	}
	return int((end - p.first) / p.step)
}

// cut returns the part's slice of a column; nil stays nil.
func (p *part) cut(column []float64) []float64 {
	if column == nil {
		return nil
	}
	return column[p.offset : p.offset+p.count]
}

// reach is how far before its step a point needs samples; a rate needs the previous
// one.
func (g *grid) reach(step int64) int64 {
	if !g.rate {
		return 0
	}
	return max(step, g.patience)
}

// grid computes the points of a query.
func (q *Querier) grid(sources []Source, query SeriesQuery) (grid, error) {
	limits := q.config.Limits
	if query.End.Before(query.Start) {
		return grid{}, badData("end must not be before start")
	}
	if err := checkYears(query.Start, query.End); err != nil {
		return grid{}, err
	}
	g := grid{rate: query.AsRate, patience: q.config.Interval.Milliseconds() * 5 / 2}
	start, end := query.Start.UnixMilli(), query.End.UnixMilli()
	finest := sources[0].Resolution().Milliseconds()
	switch {
	case query.Step < 0 || query.Step == 0 && query.MaxPoints <= 0:
		return grid{}, badData("step or max_points must be positive")
	case query.MaxPoints > limits.Points:
		return grid{}, badData("max_points must be at most %d, got %d", limits.Points, query.MaxPoints)
	case query.Step > 0:
		step := fitting(sources, roundUp(max(1, query.Step.Milliseconds()), finest))
		if (end-start)/step >= int64(limits.Points) {
			return grid{}, badData("step %s yields %d points, at most %d are allowed", query.Step, (end-start)/step+1, limits.Points)
		}
		g.layOut(sources, start, end, step)
	default:
		step := fitting(sources, roundUp(max(1, (end-start)/int64(query.MaxPoints)), finest))
		// A range that starts on a step has one more point.
		for end/step-(start+step-1)/step >= int64(query.MaxPoints) {
			step = fitting(sources, step+finest)
		}
		g.layOut(sources, start, end, step)
	}
	return g, nil
}

// fitting returns the next step that fits all tiers: a multiple of the finer
// resolutions and a divisor of the coarser ones. So rates are exact in every tier,
// and parts of two tiers meet without overlap or gap.
func fitting(sources []Source, step int64) int64 {
	for n := step; ; n = roundUp(n+1, coarsest(sources, n)) {
		fits := true
		for _, s := range sources {
			r := s.Resolution().Milliseconds()
			fits = fits && (n%r == 0 || r%n == 0)
		}
		// Resolutions divide each other; if they do not, no step may fit.
		if fits || n > 2*max(step, sources[len(sources)-1].Resolution().Milliseconds()) {
			return n
		}
	}
}

// coarsest returns the coarsest resolution that is fine enough for a step.
func coarsest(sources []Source, step int64) int64 {
	r := sources[0].Resolution().Milliseconds()
	for _, s := range sources {
		if own := s.Resolution().Milliseconds(); own <= step {
			r = own
		}
	}
	return r
}

// layOut chooses the tier of each part, the coarsest that is fine enough, and sets the
// points without overlap or gap where parts with different steps meet.
func (g *grid) layOut(sources []Source, start, end, step int64) {
	candidates := make([]candidate, len(sources))
	covers, ends := make([]int64, len(sources)), make([]int64, len(sources))
	edges := []int64{start}
	for i, s := range sources {
		own := roundUp(step, s.Resolution().Milliseconds())
		candidates[i] = candidate{source: s, oldest: s.Oldest()}
		covers[i] = end + 1
		if !candidates[i].oldest.IsZero() {
			covers[i] = candidates[i].oldest.UnixMilli() - 1 + own + g.reach(own)
		}
		ends[i] = end + 1
		if until := completeUntil(s); !until.IsZero() {
			ends[i] = until.UnixMilli() + 1
		}
		if i > 0 { // What is not written yet comes from a finer tier.
			ends[i] = min(ends[i]-1, writtenUntil(s)) + 1
		}
		for _, edge := range []int64{covers[i], ends[i]} {
			if edge > start && edge <= end {
				edges = append(edges, edge)
			}
		}
	}
	slices.Sort(edges)
	for i, from := range edges {
		to := end
		if i+1 < len(edges) {
			to = edges[i+1] - 1
		}
		if to < from {
			continue
		}
		for j := range candidates {
			candidates[j].covers = covers[j] <= from && from < ends[j]
		}
		chosen := best(candidates, time.Duration(step)*time.Millisecond).source
		g.extend(part{source: chosen, finest: chosen == sources[0], step: roundUp(step, chosen.Resolution().Milliseconds())}, from, to, end)
	}
	for i := range g.parts {
		p := &g.parts[i]
		p.offset = len(g.times)
		for j := range p.count {
			g.times = append(g.times, p.first+int64(j)*p.step)
		}
	}
}

// extend adds a part with the points in [from, to].
func (g *grid) extend(p part, from, to, end int64) {
	p.first = roundUp(from, p.step)
	if n := len(g.parts); n > 0 {
		before := &g.parts[n-1]
		if before.source == p.source {
			before.count = pointsUpTo(before.first, to, before.step)
			return
		}
		if before.count > 0 {
			if next := before.last() + before.step; before.last() < p.first-p.step && next <= end {
				before.count++
			}
			p.first = max(p.first, roundUp(before.last()+p.step, p.step))
		}
	}
	p.count = pointsUpTo(p.first, to, p.step)
	g.parts = append(g.parts, p)
}

func pointsUpTo(first, to, step int64) int {
	if to < first {
		return 0
	}
	return int((to-first)/step) + 1
}

// roundUp is the next whole multiple of step, n itself where it is one.
func roundUp(n, step int64) int64 { return store.BucketEnd(n, step) }

// best returns the tier for a part of a series query; candidates are sorted, finest
// first.
func best(candidates []candidate, maxResolution time.Duration) *candidate {
	var finest, coarsest *candidate
	for i := range candidates {
		o := &candidates[i]
		if !o.covers {
			continue
		}
		if finest == nil {
			finest = o
		}
		if o.source.Resolution() <= maxResolution {
			coarsest = o
		}
	}
	switch {
	case coarsest != nil:
		return coarsest
	case finest != nil:
		return finest
	}
	furthest := &candidates[0]
	for i := range candidates {
		o := &candidates[i]
		if !o.oldest.IsZero() && (furthest.oldest.IsZero() || o.oldest.Before(furthest.oldest)) {
			furthest = o
		}
	}
	return furthest
}

// candidate is a tier for a part of a series query.
type candidate struct {
	source Source
	oldest time.Time
	covers bool
}
