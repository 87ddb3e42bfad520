package instruments

import "context"

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

func (l *load) Read(ctx context.Context, h *Host, _ Tick) (Reading, error) {
	r, err := l.averages(ctx, h)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// Report implements Reading.
func (l *Load) Report(o *Observer) {
	o.Float(loadOne, l.One)
	o.Float(loadFive, l.Five)
	o.Float(loadFifteen, l.Fifteen)
}
