package query

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// A query that reads too many samples of a tier is asked of a coarser one, but only when
// its series have been counted: by the index of each block, or by a request to a node. What
// is asked again, as charts do, was counted before. So such a tier is passed over, and
// whether it would have been too much is checked with the series of the coarser one.

// counts are the numbers of series that selectors had in the tiers.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

// maxCounts bounds the selectors that are remembered; then all are forgotten.
const maxCounts = 1000

// maxCountKey bounds the length of a selector that is remembered.
const maxCountKey = 1000

func newCounts() *counts { return &counts{of: map[string]int{}} }

// countKey names a selector in a tier.
func countKey(source Source, matchers []*labels.Matcher) string {
	words := make([]string, 0, len(matchers)+1)
	for _, m := range matchers {
		words = append(words, m.String())
	}
	slices.Sort(words) // The parser has another order for what was rewritten.
	return strings.Join(append(words, source.Name()), "\n")
}

// note remembers how many series a selector has in a tier, at least.
func (c *counts) note(source Source, matchers []*labels.Matcher, n int) {
	key := countKey(source, matchers)
	if len(key) > maxCountKey {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.of[key]; !known && len(c.of) == maxCounts {
		clear(c.of)
	}
	c.of[key] = n
}

// in is how many series a selector had in a tier, 0 if that is not known.
func (c *counts) in(source Source, matchers []*labels.Matcher) int {
	key := countKey(source, matchers)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[key]
}

// errFewer ends an evaluation on a coarser tier if the one that was passed over would not
// have been too much.
var errFewer = errors.New("fewer series than expected")

// passOver takes the next coarser tiers of a segment if these were too much before; false
// if they were not or there are none.
func (r *run) passOver(s *segment) bool {
	if r.certain || r.plan.steps.step == 0 || s.unbounded {
		return false
	}
	passed := s.tiers
	reads := r.plan.reads(s.first, s.last, passed, func(i int) int {
		return r.counts.in(r.plan.sources[passed[i]], r.plan.windows[i].selector.LabelMatchers)
	})
	if reads <= r.readable() || !r.plan.coarsen(s) {
		return false
	}
	s.passed, s.passedFrom = passed, s.first
	return true
}

// readable is how many samples may be read while there is a coarser tier.
func (r *run) readable() float64 { return r.config.Limits.Samples - r.read }

// reads is the number of samples that the windows read of tiers from one step to another,
// with as many series as each has.
func (p *plan) reads(first, last int, tiers []int, series func(window int) int) (all float64) {
	from, to := p.steps.at(first), p.steps.at(last)
	for i := range p.windows {
		w := &p.windows[i]
		span := w.span
		if w.at == nil {
			span += to.Sub(from)
		}
		all += float64(series(i)) * samplesIn(p.sources, tiers[i], span, to)
	}
	return all
}
