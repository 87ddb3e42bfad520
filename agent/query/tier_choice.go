package query

import (
	"slices"
	"sort"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/promql/parser"
)

// steps are the times of a query.
type steps struct {
	start time.Time
	// end is the end asked for, which may lie after the last step.
	end   time.Time
	step  time.Duration
	count int
	// lookBack is how long a sample shall be valid, 0 for as long as usual.
	lookBack time.Duration
}

func (s steps) at(i int) time.Time { return s.start.Add(time.Duration(i) * s.step) }

// plan is a query with the tiers that can answer each of its selectors. Exact first:
// the finest tier that covers the whole window of a selector answers, unless a query
// over a range would read too many samples from it.
type plan struct {
	q       *Querier
	text    string
	windows []window
	sources []Source // finest first
	steps   steps
	// presence is set if it is asked whether there are series.
	presence bool
	// covers is, by window and tier, the first step for which the tier holds the
	// oldest sample, steps.count if there is none.
	covers [][]int
}

// plan returns the plan of an expression.
func (q *Querier) plan(expr parser.Expr, text string, s steps) (*plan, error) {
	sources := q.config.Tiers()
	if len(sources) == 0 {
		return nil, &Error{Type: Unavailable, Err: store.ErrOpening}
	}
	text, pinned, err := pin(expr, text, s)
	if err != nil {
		return nil, err
	}
	if pinned {
		if expr, err = q.engineParser.ParseExpr(text); err != nil {
			return nil, &Error{Type: Internal, Err: err}
		}
	}
	p := &plan{q: q, text: text, windows: windowsOf(expr, s.step), sources: sources, steps: s, presence: asksPresence(expr)}
	p.covers = make([][]int, len(p.windows))
	for i := range p.windows {
		w := &p.windows[i]
		w.tiers = q.keepers(w.name, len(sources))
		p.covers[i] = make([]int, w.tiers)
		for tier, source := range sources[:w.tiers] {
			p.covers[i][tier] = firstCovered(w, source.Oldest(), q.lookBack(source, s.lookBack), s)
		}
	}
	return p, nil
}

// firstCovered is the first step whose oldest sample a tier can hold.
func firstCovered(w *window, oldest time.Time, lookBack time.Duration, s steps) int {
	if oldest.IsZero() {
		return s.count
	}
	return sort.Search(s.count, func(i int) bool { return w.earliest(s.at(i), lookBack) >= oldest.UnixMilli() })
}

// segment is a run of steps for which each selector has one tier.
type segment struct {
	first, last int // both included
	// tiers are indexes of sources, by window.
	tiers []int
	// coarser is how many times a coarser tier was taken because of the budget.
	coarser int
	// passed are the tiers before those, if they were not asked, and passedFrom is the first
	// step that they would have answered.
	passed     []int
	passedFrom int
	// unbounded is set if there is none.
	unbounded bool
	// late is how much longer the look-back is.
	late time.Duration
}

// segments splits the steps where the tier of a selector changes.
func (p *plan) segments() []segment {
	edges := []int{0}
	for _, tiers := range p.covers {
		for _, edge := range tiers {
			if edge > 0 && edge < p.steps.count {
				edges = append(edges, edge)
			}
		}
	}
	slices.Sort(edges)
	edges = append(slices.Compact(edges), p.steps.count)
	var segments []segment
	for i, first := range edges[:len(edges)-1] {
		next := segment{first: first, last: edges[i+1] - 1, tiers: p.tiers(first, 0)}
		if n := len(segments); n > 0 && slices.Equal(segments[n-1].tiers, next.tiers) {
			segments[n-1].last = next.last
			continue
		}
		segments = append(segments, next)
	}
	return segments
}

// tiers chooses the tier of each selector for a step, each as often coarser than the
// finest that covers as said, if it can answer.
func (p *plan) tiers(step, coarser int) []int {
	tiers := make([]int, len(p.windows))
	for i := range p.windows {
		w := &p.windows[i]
		finest := p.finest(i, step)
		tiers[i] = finest
		for tier := finest + 1; tier < w.tiers && tier <= coarser; tier++ {
			if p.covers[i][tier] <= step && p.q.answers(w, p.sources[tier].Resolution()) {
				tiers[i] = tier
			}
		}
	}
	return tiers
}

// finest is the finest tier that covers a step of a window; else the one that reaches
// back furthest.
func (p *plan) finest(window, step int) int {
	furthest := 0
	for tier, first := range p.covers[window] {
		if first <= step {
			return tier
		}
		oldest, known := p.sources[tier].Oldest(), p.sources[furthest].Oldest()
		if !oldest.IsZero() && (known.IsZero() || oldest.Before(known)) {
			furthest = tier
		}
	}
	return furthest
}

// answers reports whether a tier can stand in for a finer one that is too much:
// its points are not further apart than the steps and than the range, and keep what the
// function needs.
func (q *Querier) answers(w *window, resolution time.Duration) bool {
	if w.every > 0 && resolution > w.every || w.width > 0 && resolution > w.width {
		return false
	}
	rule := ruleOf(w.function)
	return w.width == 0 || rule.kept || rule.counters && q.isCounter(w.name)
}

// meets reports whether a segment and the one after it are one.
func (s segment) meets(next segment) bool {
	return slices.Equal(s.tiers, next.tiers) && s.late == next.late && !s.unbounded && !next.unbounded
}

// coarser reports whether coarser tiers can answer a segment.
func (p *plan) coarser(s segment) bool { return p.coarsen(&s) }

// coarsen takes the next coarser tiers of a segment; false if there are none.
func (p *plan) coarsen(s *segment) bool {
	for s.coarser < len(p.sources)-1 {
		s.coarser++
		if tiers := p.tiers(s.first, s.coarser); !slices.Equal(tiers, s.tiers) {
			s.tiers = tiers
			return true
		}
	}
	return false
}

// lookBack is how long a sample is valid for the engine: the longest of the tiers.
func (p *plan) lookBack(s segment) (longest time.Duration) {
	for i, w := range p.windows {
		if w.width == 0 {
			longest = max(longest, p.q.lookBack(p.sources[s.tiers[i]], p.steps.lookBack))
			if p.steps.lookBack == 0 && (w.name == "" || p.q.ofRules(w.name)) {
				longest = max(longest, rulesLookBack)
			}
		}
	}
	if longest == 0 {
		longest = p.q.lookBack(p.sources[0], p.steps.lookBack)
	}
	return longest + s.late
}

// span is the coarsest tier of a segment; false if it reads none.
func (p *plan) span(s segment) (Span, bool) {
	if len(s.tiers) == 0 {
		return Span{}, false
	}
	return Span{Tier: p.sources[slices.Max(s.tiers)].Name(), From: p.steps.at(s.first), To: p.steps.at(s.last)}, true
}

// checkRanges returns an error if the tier of a segment is too coarse for a range
// that cannot be widened, with the smallest range allowed there.
func (p *plan) checkRanges(s segment) error {
	for i, w := range p.windows {
		rule, source := ruleOf(w.function), p.sources[s.tiers[i]]
		what, smallest := w.function+"()", rule.points*source.Resolution()
		if w.function == "" && w.width > 0 {
			what, smallest = "a range of samples", source.Resolution()
		}
		if s.tiers[i] > 0 && !rule.widen && w.width < smallest {
			return badData("%s over %s is too short from %s to %s: only the %s tier reaches back that far, and the smallest range allowed there is %s",
				what, store.TierName(w.width), p.steps.at(s.first).UTC().Format(time.RFC3339), p.steps.at(s.last).UTC().Format(time.RFC3339), source.Name(), store.TierName(smallest))
		}
	}
	return nil
}
