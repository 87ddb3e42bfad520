package store

import (
	"fmt"
	"strings"
	"time"

	"sysotel/agent/health"
)

// aside is a damaged file that was set aside.
type aside struct {
	path, why string
	when      time.Duration // by the boot clock
	// from and to are the time of what was in it, at most; zero if unknown.
	from, to time.Time
}

// span says of which time the file is.
func (a *aside) span() string {
	if a.from.IsZero() && a.to.IsZero() {
		return "of an unknown time"
	}
	format := func(t time.Time, unknown string) string {
		if t.IsZero() {
			return unknown
		}
		return t.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("from %s to %s", format(a.from, "the beginning"), format(a.to, "the end"))
}

// asideReported is how long Health speaks of it.
const asideReported = 24 * time.Hour

// setAside logs and records files that were set aside.
func (s *Store) setAside(set []aside) {
	if len(set) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range set {
		a.when = s.clock.Boot()
		s.asides = append(s.asides, a)
		s.log.Error("damaged file set aside", "path", a.path, "err", a.why, "at_most", a.span())
		if s.options.Damaged != nil {
			s.options.Damaged(a.path, a.why, a.from, a.to)
		}
	}
}

// Health returns the status of the store. It is degraded while readings wait or
// are dropped, and for a day after corrupt files were set aside.
func (s *Store) Health() health.Component {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := health.Component{Name: "store"}
	if s.state == shut {
		c.Status, c.Reason = health.Failed, s.reason
		return c
	}
	var reasons []string
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	switch waits := s.waits(); {
	case s.viewing:
		say("%s; %s; rules and queries see them and the history", s.reason, waits)
	case s.state == opening && s.waiting.len() == 0:
		say("%s; rules and queries see nothing yet", s.reason)
	case s.state == opening:
		say("%s; %s; rules and queries see only these", s.reason, waits)
	case s.full:
		say("the disk is full: %s; rules and queries see them", waits)
	}
	if s.maintenanceErr != "" {
		say("%s", s.maintenanceErr)
	}
	for _, a := range s.asides {
		if s.clock.Boot()-a.when < asideReported {
			say("damaged and set aside: %s, %s (%s)", a.path, a.span(), a.why)
		}
	}
	now := s.dropTime()
	if len(reasons) > 0 || s.drops.Ongoing(now) {
		c.Status = health.Degraded
	} else {
		c.Status = health.OK
	}
	if dropped := s.drops.Reason("samples", now); dropped != "" {
		say("%s", dropped)
	}
	if s.aheadTo > 0 {
		say("history from %s to %s is ahead of the clock and set aside",
			time.UnixMilli(s.aheadFrom).UTC().Format(time.RFC3339), time.UnixMilli(s.aheadTo).UTC().Format(time.RFC3339))
	}
	c.Reason = strings.Join(reasons, "; ")
	return c
}

// waits describes how many readings wait, and where.
func (s *Store) waits() string {
	if err := s.waitingLog.err; err != nil {
		return fmt.Sprintf("%d readings wait in memory only (%v)", s.waiting.len(), err)
	}
	return fmt.Sprintf("%d readings wait in memory and in a log on disk", s.waiting.len())
}

// Unready returns why queries do not see the newest readings, empty if they do: there
// was none since the start.
func (s *Store) Unready() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == shut || s.state == opening && s.waiting.len() == 0 {
		return s.reason
	}
	return ""
}

// SeenFrom is the time before which queries see nothing at present, although there was
// something: the tiers are not open. It is the zero time if they see everything.
func (s *Store) SeenFrom() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == open || s.viewing {
		return time.Time{}
	}
	for _, b := range s.waiting.batches {
		return time.UnixMilli(b.first)
	}
	return s.clock.Now()
}
