// Package instruments measures the machine: each collector reads one part of it
// (cpu, memory, disk, ...) and is in the file of that name. A collector reads the
// machine once a tick into an immutable reading; the reading reports itself to
// OpenTelemetry instruments without touching the machine again.
//
// The package knows the machine and the metric names. It does not know its
// callers: agent/sampler ticks, agent/export and api pass readings on.
//
// Read load.go first, it is the shortest complete collector; then metric.go for
// names, and host.go for how the machine is accessed.
package instruments

import (
	"context"
	"errors"
	"math"
	"time"
)

// Collector measures one part of the machine.
type Collector interface {
	// Name is the word used in configuration, logs, fixtures and self-metrics: "cpu".
	Name() string
	// Metrics lists everything the collector can report, in the order of METRICS.md.
	Metrics() []*Metric
	// Read looks at the machine once. It may be slow and it may fail; on failure
	// nothing is reported for this tick and a chart shows a gap. It is never
	// called twice at once. ErrUnsupported means that this machine lacks the part.
	Read(context.Context, *Host, Tick) (Reading, error)
}

// Reading is what one collector saw at one tick. It is immutable, so that every
// reader (scrape, push, REST) sees the same numbers.
type Reading interface {
	// Report hands the numbers to the observer. It does no I/O and cannot fail:
	// an error here would cost the export of every collector.
	Report(*Observer)
}

// Partial is a reading that may be incomplete: a mount does not answer, a command
// failed. The rest of the reading is valid.
type Partial interface {
	// Missing lists what is missing and why; empty where the reading is whole.
	Missing() []Missing
}

// Missing is one thing that a reading lacks.
type Missing struct {
	// Subject is the mount point, the file, the command.
	Subject string
	// Reason is one sentence for the log and for /health.
	Reason string
	// Hidden is set where the machine has the part, but it is not visible from where
	// the agent runs: that is said, and degrades nothing.
	Hidden bool
}

// Configurable is a collector whose own settings (patterns, top N, commands) can
// change while it runs. Configure is called between two reads.
type Configurable interface{ Configure(Config) }

// Tick is one moment at which the machine is read.
type Tick struct {
	// Time is the whole second (in wall time) that every point of the tick carries.
	Time time.Time
	// Seq counts ticks since the agent started; it never goes back, Time can.
	Seq uint64
	// Interval is the nominal distance to the collector's previous tick.
	Interval time.Duration
	// Halved is how many times the agent has halved what may have a name of its own in
	// metrics, because it keeps within its limit of memory; 0 normally.
	Halved int
}

// Folder is a reading that adds up some of its things (programs, interfaces, devices,
// mounts) as others, because only so many may have series of their own.
type Folder interface {
	// Folded is how many things of the reading have no name; full is set where that is
	// because all names are given.
	Folded() (things int, full bool)
}

// believed moves a time of the wall clock, which shows now, to the clock that the ticks
// are by, where that one goes on without the wall clock: it may have been set to a
// wrong time, and the agent waits before it believes that. Small differences are the
// time since the tick began.
func (t Tick) believed(at, now time.Time) time.Time {
	const small = time.Minute
	if by := t.Time.Sub(now); !t.Time.IsZero() && !at.IsZero() && by.Abs() > small {
		return at.Add(by.Round(time.Second))
	}
	return at
}

// ErrUnsupported is returned by Read where the machine has no such thing (no
// pressure information in the kernel, no cgroup limit). It is not a failure:
// nothing is reported and nothing is retried.
var ErrUnsupported = errors.New("not available on this machine")

// unknown stands for a number that could not be measured: it is not
// reported and is null in JSON. It is never replaced by 0.
var unknown = math.NaN()

// span measures the time that really passed between two reads of a collector.
type span struct {
	last time.Time
	// onBeat is set when the last read was not the first one.
	onBeat bool
}

// next returns the seconds since the previous read by the monotonic clock. The
// result is unknown at the first read, and after a distance that is far from
// the nominal one (a burst of late ticks, a long gap): a rate over it would be
// attributed to the wrong second. The first read is made at once and the second on
// the beat: the rate over such a fraction of a tick would be a false extreme.
func (s *span) next(now time.Time, nominal time.Duration) float64 {
	last, minimum := s.last, nominal/5
	if !s.onBeat {
		minimum = nominal * 4 / 5
	}
	s.last, s.onBeat = now, !last.IsZero()
	if last.IsZero() {
		return unknown
	}
	passed := now.Sub(last)
	if passed < minimum || passed > 5*nominal {
		return unknown
	}
	return passed.Seconds()
}

// perSecond is the rate of a counter over seconds (which may be unknown). A
// counter that went back was reset, and what it counted in between is unknown.
func perSecond(now, before uint64, seconds float64) float64 {
	if now < before {
		return unknown
	}
	return float64(now-before) / seconds
}

// ratio is part/whole, unknown where there is no whole.
func ratio(part, whole float64) float64 {
	if whole <= 0 {
		return unknown
	}
	return part / whole
}

// saturatingSub is a-b, and 0 where b is larger: /proc is not read atomically,
// so a part can be seen larger than its whole for an instant.
func saturatingSub(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}
