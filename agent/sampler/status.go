package sampler

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"sysotel/agent/health"
	"sysotel/instruments"
)

// Stats are the sampler's counters since its start.
type Stats struct {
	Ticks uint64
	// Gaps are the ticks and reads that were missed, by cause.
	Gaps map[string]uint64
	// Collectors are the enabled ones; their Overflow is not counted here.
	Collectors []instruments.CollectorStats
}

// Stats returns the counters.
func (s *Sampler) Stats() Stats {
	s.mu.Lock()
	stats := Stats{Ticks: s.seq, Gaps: maps.Clone(s.gaps)}
	s.mu.Unlock()
	for _, c := range s.collectors {
		if !c.enabled.Load() {
			continue
		}
		c.mu.Lock()
		stats.Collectors = append(stats.Collectors, instruments.CollectorStats{
			Name: c.Name(), Seconds: c.seconds, OK: c.ok, Failures: c.failures, Retries: c.retries, Folded: c.foldedCount(),
		})
		c.mu.Unlock()
	}
	return stats
}

// Health returns the status of the sampler and of each enabled collector. A
// collector that fails degrades the agent; the agent has failed when no tick
// completes any more.
func (s *Sampler) Health() []health.Component {
	seq, at, _ := s.Tick()
	own := health.Component{Name: "sampler", Status: health.OK}
	switch {
	case seq == 0 && s.host.Now().Sub(s.started) > 10*time.Second,
		seq > 0 && s.idle() > 5*time.Second+3*s.interval:
		own.Status, own.Reason, own.Since = health.Failed, "no tick since "+at.Format(time.RFC3339), at
	case seq == 0:
		own.Reason = "the first tick is being read"
	}
	components := []health.Component{own}
	for _, c := range s.collectors {
		if !c.enabled.Load() {
			continue
		}
		c.mu.Lock()
		h := health.Component{Name: "family " + c.Name(), Status: health.OK, Reason: c.lastErr, Since: c.since}
		switch {
		case !c.ok:
			h.Status = health.Degraded
		case len(c.missing) > 0:
			// What is only hidden is told, and degrades nothing.
			first := slices.IndexFunc(c.missing, func(m instruments.Missing) bool { return !m.Hidden })
			if first >= 0 {
				h.Status = health.Degraded
			}
			told := c.missing[max(first, 0)]
			h.Reason = told.Subject + ": " + told.Reason
			if more := len(c.missing) - 1; more > 0 {
				h.Reason += fmt.Sprintf(" (and %d more)", more)
			}
		}
		c.mu.Unlock()
		if folded, full := c.folded(); h.Reason == "" && full {
			h.Reason = fmt.Sprintf("there are more than can have names of their own: %d are added up as others", folded)
		}
		components = append(components, h)
	}
	return components
}

// folded is how many things of the newest reading have no name of their own, -1 where the
// collector adds up nothing; full is set where all names are given.
func (c *collector) folded() (things int, full bool) {
	if n := c.newest.Load(); n != nil {
		if r, ok := n.reading.(instruments.Folder); ok {
			return r.Folded()
		}
	}
	return -1, false
}

// foldedCount is the same as a number, unknown (NaN) where the collector adds up nothing.
func (c *collector) foldedCount() float64 {
	if folded, _ := c.folded(); folded >= 0 {
		return float64(folded)
	}
	return math.NaN()
}
