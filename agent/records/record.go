package records

import (
	"math"
	"time"

	"sysotel/instruments/sanitize"
)

// sums is what one process used. Everything is a whole number, so that it makes
// no difference in which order ticks and records are added up.
type sums struct {
	// cpu is in microseconds; cpuKnown is false where it was never known.
	cpu               int64
	cpuKnown, ioKnown bool
	// seen is the time for which the process was seen, in milliseconds; it is
	// never 0 in sums that are part of a record.
	seen int64
	// memory is resident KiB times milliseconds, peak the most KiB.
	memory, peak uint64
	read, write  uint64
}

func (s *sums) add(o *sums) {
	s.cpu += o.cpu
	s.cpuKnown = s.cpuKnown || o.cpuKnown
	s.ioKnown = s.ioKnown || o.ioKnown
	s.seen += o.seen
	s.memory += o.memory
	s.peak = max(s.peak, o.peak)
	s.read += o.read
	s.write += o.write
}

// moved is the I/O in both directions.
func (s *sums) moved() uint64 { return s.read + s.write }

// identity tells processes apart, also where a PID is used again.
type identity struct {
	boot  string
	pid   int
	start uint64
}

// row is one process in a record.
type row struct {
	identity
	name, program, user, status, commandLine string
	kernel                                   bool
	threads                                  int
	started                                  int64 // Unix milliseconds, 0 where not known.
	sums
}

// record is the process table over one bucket's time. Times are Unix
// milliseconds, durations milliseconds, CPU time microseconds, memory KiB.
type record struct {
	resolution int64 // in seconds
	until      int64 // the end of the bucket
	// since and last are the span of the ticks that are in it.
	since, last int64
	frame
	rows []row
}

// frame is what a record knows of the machine, and of the processes that have no
// row of their own.
type frame struct {
	// covered is the time of all ticks, cpuCovered of those whose CPU is known.
	covered, cpuCovered int64
	cpus                int
	memoryTotal         uint64
	// host is what all processors did; vanished is the part of it of processes
	// that came and went between two looks.
	host, vanished int64
	// others adds up all processes without a row; its seen is process-milliseconds
	// and its peak the greatest of them.
	others sums
}

func (f *frame) add(o *frame) {
	f.covered += o.covered
	f.cpuCovered += o.cpuCovered
	f.cpus = max(f.cpus, o.cpus)
	if o.memoryTotal != 0 {
		f.memoryTotal = o.memoryTotal
	}
	f.host += o.host
	f.vanished += o.vanished
	f.others.add(&o.others)
}

// microseconds rounds seconds; ok is false where they are not known or nonsense.
func microseconds(seconds float64) (us int64, ok bool) {
	if math.IsNaN(seconds) || seconds < 0 || seconds > 1e9 {
		return 0, false
	}
	return int64(math.Round(seconds * 1e6)), true
}

// The longest texts that are kept, in bytes.
const (
	maxText        = 256
	maxCommandLine = 4096
)

// plain cuts a text and makes it valid UTF-8.
func plain(text string, most int) string {
	return sanitize.ValidUTF8(sanitize.Truncate(text, most))
}

// seconds turns microseconds into seconds.
func seconds(us int64) float64 { return float64(us) / 1e6 }

// milliseconds turns milliseconds into a duration.
func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
