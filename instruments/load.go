package instruments

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"runtime"
	"strconv"

	gopsutilload "github.com/shirou/gopsutil/v3/load"
)

// Load is a reading of the load averages: the mean number of threads that ran,
// waited for a processor or slept uninterruptibly (mostly for a disk).
type Load struct {
	// One, Five and Fifteen are the means over so many minutes.
	One, Five, Fifteen float64
}

var (
	loadOne = &Metric{
		Name: "system.cpu.load_average.1m", Unit: "{thread}", Kind: Gauge,
		Help: "Mean number of threads that ran, waited for a processor or slept uninterruptibly, over 1 minute.", Source: "/proc/loadavg; the kernel refreshes it every 5 s",
	}
	loadFive = &Metric{
		Name: "system.cpu.load_average.5m", Unit: "{thread}", Kind: Gauge,
		Help: "Mean number of threads that ran, waited for a processor or slept uninterruptibly, over 5 minutes.", Source: "/proc/loadavg; the kernel refreshes it every 5 s",
	}
	loadFifteen = &Metric{
		Name: "system.cpu.load_average.15m", Unit: "{thread}", Kind: Gauge,
		Help: "Mean number of threads that ran, waited for a processor or slept uninterruptibly, over 15 minutes.", Source: "/proc/loadavg; the kernel refreshes it every 5 s",
	}
)

// load reads the load averages.
type load struct{ file *file }

func newLoad() Collector { return &load{} }

func (*load) Name() string { return "load" }

func (*load) Metrics() []*Metric { return []*Metric{loadOne, loadFive, loadFifteen} }

// Read reads /proc/loadavg. gopsutil reads it too, but where the file is missing
// it asks sysinfo(2), which describes the machine that the agent runs on and not
// the one at the host's root. Windows has no load average: gopsutil would make one
// up from the processor queue in a goroutine that never ends.
func (l *load) Read(ctx context.Context, h *Host, _ Tick) (Reading, error) {
	switch runtime.GOOS {
	case "linux":
		return l.readFile(h)
	case "windows":
		return nil, ErrUnsupported
	}
	avg, err := gopsutilload.AvgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	return &Load{One: avg.Load1, Five: avg.Load5, Fifteen: avg.Load15}, nil
}

func (l *load) readFile(h *Host) (Reading, error) {
	if l.file == nil {
		l.file = h.open("proc/loadavg")
	}
	text, err := l.file.read()
	if err != nil {
		return nil, err
	}
	r, err := parseLoad(text)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/loadavg: %w", err)
	}
	return &r, nil
}

// parseLoad reads the three averages of /proc/loadavg, proc_loadavg(5).
func parseLoad(text []byte) (Load, error) {
	var r Load
	for _, to := range []*float64{&r.One, &r.Five, &r.Fifteen} {
		var word []byte
		word, text, _ = bytes.Cut(text, []byte{' '})
		v, err := strconv.ParseFloat(string(word), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return Load{}, fmt.Errorf("%q is not a load average", word)
		}
		*to = v
	}
	return r, nil
}

// Report implements Reading.
func (l *Load) Report(o *Observer) {
	o.Float(loadOne, l.One)
	o.Float(loadFive, l.Five)
	o.Float(loadFifteen, l.Fifteen)
}
