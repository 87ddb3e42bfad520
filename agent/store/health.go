package store

import (
	"fmt"
	"strings"
	"time"
)

// The words of Health.
const (
	Healthy  = "ok"
	Degraded = "degraded"
	Failed   = "failed"
)

// Stats is what the store counted since it was opened.
type Stats struct {
	// Readings and Samples are those that were appended.
	Readings, Samples uint64
	// Late are family readings that came again or after a newer one. LateUpper
	// are samples that came after their bucket was written, once a tier.
	Late, LateUpper uint64
	// Behind are readings that were not taken because the clock was set back,
	// WrongTime those that waited for a clock which was set back again.
	Behind, WrongTime uint64
	// Dropped are samples that came twice at one tick or that a database refused.
	Dropped uint64
	// Waiting are readings that wait in memory, Lost those for which it had no
	// room.
	Waiting, Lost uint64
	// Series are those that are alive.
	Series uint64
}

// Stats returns what was counted.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Waiting, stats.Lost, stats.Series = uint64(s.waiting.len()), s.waiting.lost, uint64(len(s.live))
	return stats
}

// aside is something corrupt that was moved out of the way.
type aside struct {
	path, why string
	when      time.Duration // by the boot clock
}

// asideShown is how long Health speaks of it.
const asideShown = 24 * time.Hour

// setAside reports what was moved out of the way.
func (s *Store) setAside(set []aside) {
	if len(set) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range set {
		a.when = s.options.Boot()
		s.asides = append(s.asides, a)
		s.log.Error("a corrupt file was set aside", "path", a.path, "err", a.why)
	}
}

// Health tells in one word and one sentence how the store is.
func (s *Store) Health() (status, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var reasons []string
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	switch s.state {
	case shut:
		return Failed, s.reason
	case opening:
		say("%s; %d readings wait in memory", s.reason, s.waiting.len())
	default:
	}
	if s.full {
		say("the disk is full: %d readings wait in memory", s.waiting.len())
	} else if s.clock.doubting() {
		say("the clock jumped ahead and is not believed yet: %d readings wait in memory", s.waiting.len())
	}
	if !s.behind.IsZero() {
		say("the clock was set back to %s: the tiers take nothing until %s",
			s.behind.UTC().Format(time.RFC3339), time.UnixMilli(s.newest).UTC().Format(time.RFC3339))
	}
	if s.waiting.lost > 0 && s.waiting.len() > 0 {
		say("%d readings were lost, since too many wait", s.waiting.lost)
	}
	if s.compacts != "" {
		say("%s", s.compacts)
	}
	for _, a := range s.asides {
		if s.options.Boot()-a.when < asideShown {
			say("corrupt and set aside: %s (%s)", a.path, a.why)
		}
	}
	if len(reasons) == 0 {
		return Healthy, ""
	}
	return Degraded, strings.Join(reasons, "; ")
}

// Unsteady tells why the present cannot be judged: the tiers are not open, or
// take no readings because the clock was set. It is empty where it can.
func (s *Store) Unsteady() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != open:
		return s.reason
	case s.clock.doubting():
		return "the clock jumped ahead and is not believed yet"
	case !s.behind.IsZero():
		return "the clock was set back"
	}
	return ""
}
