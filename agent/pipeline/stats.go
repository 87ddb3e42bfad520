package pipeline

import (
	"fmt"
	"maps"
	"time"

	"sysotel/agent/records"
	"sysotel/agent/store"
	"sysotel/instruments"
)

// stats tells the family agent how the pipeline fares.
func (p *Pipeline) stats() instruments.AgentStats {
	own := p.options.Host.Self()
	s := instruments.AgentStats{
		HostID: p.hostID, Version: p.options.Version, Started: p.startedText, URL: p.options.URL,
		CPUSeconds: own.CPUSeconds, ResidentBytes: own.ResidentBytes,
	}
	p.mu.Lock()
	s.Ticks, s.Gaps = p.seq, maps.Clone(p.gaps)
	p.mu.Unlock()
	for _, f := range p.families {
		if !f.enabled.Load() {
			continue
		}
		f.mu.Lock()
		s.Collectors = append(s.Collectors, instruments.CollectorStats{
			Name: f.Name(), Seconds: f.seconds, OK: f.ok, Failures: f.failures, Retries: f.retries,
			Overflow: p.instruments[f.Name()].Overflow(),
		})
		f.mu.Unlock()
	}
	if p.otlp != nil {
		for _, to := range p.otlp.senders {
			s.Queues = append(s.Queues, to.stats())
		}
	}
	s.Store, s.Records = p.history()
	return s
}

// history returns the counts of the store and the records, nil where they keep none.
func (p *Pipeline) history() (*instruments.StoreStats, *instruments.RecordsStats) {
	var kept *instruments.StoreStats
	if s, ok := p.options.Store.(interface{ Stats() store.Stats }); ok {
		stats := s.Stats()
		kept = &instruments.StoreStats{Samples: stats.Samples, Series: stats.Series, Waiting: stats.Waiting, Dropped: stats.Dropped}
	}
	if r, ok := p.options.Records.(interface{ Stats() records.Stats }); ok {
		return kept, &instruments.RecordsStats{Dropped: r.Stats().Dropped}
	}
	return kept, nil
}

// Part is one part of the agent and how it fares.
type Part struct {
	Name string
	// Status is ok, degraded or failed.
	Status string
	Reason string
	// Since is when the status began, zero where it always was so.
	Since time.Time
}

// Health lists the families and the push destinations. A family that fails
// degrades the agent; the agent has failed when no tick completes any more.
func (p *Pipeline) Health() []Part {
	seq, at, _ := p.Tick()
	parts := []Part{{Name: "sampler", Status: "ok"}}
	switch {
	case seq == 0 && p.options.Host.Now().Sub(p.started) > 10*time.Second,
		seq > 0 && p.idle() > 5*time.Second+3*p.interval:
		parts[0] = Part{Name: "sampler", Status: "failed", Reason: "no tick since " + at.Format(time.RFC3339), Since: at}
	case seq == 0:
		parts[0] = Part{Name: "sampler", Status: "ok", Reason: "the first tick is being read"}
	}
	for _, f := range p.families {
		if !f.enabled.Load() {
			continue
		}
		f.mu.Lock()
		part := Part{Name: "family " + f.Name(), Status: "ok", Reason: f.lastErr, Since: f.since}
		switch {
		case !f.ok:
			part.Status = "degraded"
		case len(f.missing) > 0:
			part.Status, part.Reason = "degraded", fmt.Sprintf("%s: %s", f.missing[0].Subject, f.missing[0].Reason)
			if more := len(f.missing) - 1; more > 0 {
				part.Reason += fmt.Sprintf(" (and %d more)", more)
			}
		}
		f.mu.Unlock()
		parts = append(parts, part)
	}
	if p.otlp != nil {
		for _, to := range p.otlp.senders {
			parts = append(parts, to.health())
		}
	}
	return parts
}
