package records

import (
	"math"
	"time"

	"sysotel/instruments/sanitize"
)

// sums is what one process used. Everything is an integer, so that sums do not
// depend on the order.
type sums struct {
	// cpu is in microseconds; cpuKnown is false if it was never known.
	cpu               int64
	cpuKnown, ioKnown bool
	// seen is the time for which the process was seen, in milliseconds; never 0 in
	// the sums of a record.
	seen int64
	// memory is resident KiB times milliseconds, peak the maximum in KiB.
	memory, peak uint64
	read, write  uint64
	// count is the number of processes in the sums of short ones, 0 in those of one process.
	count uint64
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
	s.count += o.count
}

// moved is the I/O in both directions.
func (s *sums) moved() uint64 { return s.read + s.write }

// identity identifies a process, even if its PID is reused.
type identity struct {
	boot  string
	pid   int
	start uint64
}

// row is one process in a record.
type row struct {
	identity
	name, program, user, status, commandLine string
	// parent is of short processes only: their PID is 0, and their start a number made of
	// program and parent.
	parent  string
	kernel  bool
	threads int
	started int64 // Unix milliseconds, 0 if unknown
	sums
}

// record is the process table of one bucket. Times are Unix milliseconds, durations
// milliseconds, CPU time microseconds, memory KiB.
type record struct {
	resolution int64 // in seconds
	until      int64 // the end of the bucket
	// since and last are the span of its ticks.
	since, last int64
	frame
	rows []row
}

// frame has the values of a record that belong to the machine, and the sums of
// processes without a row.
type frame struct {
	// covered is the time of all ticks, cpuCovered of those with known CPU time.
	covered, cpuCovered int64
	cpus                int
	memoryTotal         uint64
	// host is the CPU time of all processors; vanished the part of it of processes
	// that came and went between two scans.
	host, vanished int64
	// partial is set where some of it had not all processes of the machine: what is left of
	// host is no one's in particular then.
	partial bool
	// others are the sums of processes without a row; seen is in process-
	// milliseconds and peak is the maximum of one process.
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
	f.partial = f.partial || o.partial
	f.others.add(&o.others)
}

// microseconds converts seconds; ok is false if they are unknown or invalid.
func microseconds(seconds float64) (us int64, ok bool) {
	if math.IsNaN(seconds) || seconds < 0 || seconds > 1e9 {
		return 0, false
	}
	return int64(math.Round(seconds * 1e6)), true
}

// Maximum lengths of strings in bytes.
const (
	maxText        = 256
	maxCommandLine = 4096
)

// plain truncates a string and makes it valid UTF-8.
func plain(text string, most int) string {
	return sanitize.ValidUTF8(sanitize.Truncate(text, most))
}

// seconds converts microseconds to seconds.
func seconds(us int64) float64 { return float64(us) / 1e6 }

// milliseconds converts milliseconds to a duration.
func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
