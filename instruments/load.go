package instruments

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strconv"

	gopsutilload "github.com/shirou/gopsutil/v3/load"
)

// Load is a reading of the load averages: the mean number of threads that ran,
// waited for a processor or slept uninterruptibly (mostly for a disk).
type Load struct {
	misread

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
	return parseLoad(text)
}

// parseLoad reads the three averages of /proc/loadavg, proc_loadavg(5). It is an
// error only if none can be read.
func parseLoad(text []byte) (*Load, error) {
	r := &Load{}
	good := false
	all, _, _ := bytes.Cut(text, []byte{'\n'})
	text = all
	for _, one := range [...]struct {
		name string
		to   *float64
	}{{"1m", &r.One}, {"5m", &r.Five}, {"15m", &r.Fifteen}} {
		var word []byte
		word, text = cutWord(text)
		v, err := strconv.ParseFloat(string(word), 64)
		if err != nil || !(v >= 0 && v < maxLoad) {
			*one.to = unknown
			r.note("/proc/loadavg: "+one.name, notNumber(word))
			continue
		}
		*one.to, good = v, true
	}
	if !good {
		word, _ := cutWord(all)
		return nil, fmt.Errorf("parse /proc/loadavg: %s is not a load average", quoted(word))
	}
	return r, nil
}

// maxLoad is more threads than a machine can have (PID_MAX_LIMIT of Linux).
const maxLoad = 1 << 22

// Report implements Reading.
func (l *Load) Report(o *Observer) {
	o.Float(loadOne, l.One)
	o.Float(loadFive, l.Five)
	o.Float(loadFifteen, l.Fifteen)
}
