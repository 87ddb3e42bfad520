package sampler

import (
	"fmt"
	"maps"
	"time"

	"sysotel/agent/health"
	"sysotel/instruments"
)

// Stats are the sampler's counters since its start.
type Stats struct {
	Ticks uint64
	// Gaps are the ticks and reads that were missed, by cause.
	Gaps map[string]uint64
	// Collectors are those that are enabled; their Overflow is not counted here.
	Collectors []instruments.CollectorStats
}

// Stats returns the counters.
func (s *Sampler) Stats() Stats {
	s.mu.Lock()
	stats := Stats{Ticks: s.seq, Gaps: maps.Clone(s.gaps)}
	s.mu.Unlock()
	for _, f := range s.families {
		if !f.enabled.Load() {
			continue
		}
		f.mu.Lock()
		stats.Collectors = append(stats.Collectors, instruments.CollectorStats{
			Name: f.Name(), Seconds: f.seconds, OK: f.ok, Failures: f.failures, Retries: f.retries,
		})
		f.mu.Unlock()
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
	for _, f := range s.families {
		if !f.enabled.Load() {
			continue
		}
		f.mu.Lock()
		c := health.Component{Name: "family " + f.Name(), Status: health.OK, Reason: f.lastErr, Since: f.since}
		switch {
		case !f.ok:
			c.Status = health.Degraded
		case len(f.missing) > 0:
			c.Status, c.Reason = health.Degraded, fmt.Sprintf("%s: %s", f.missing[0].Subject, f.missing[0].Reason)
			if more := len(f.missing) - 1; more > 0 {
				c.Reason += fmt.Sprintf(" (and %d more)", more)
			}
		}
		f.mu.Unlock()
		components = append(components, c)
	}
	return components
}
