package instruments

import "context"

// Pressure is a reading of the kernel's pressure stall information: how long
// tasks had to wait for a resource.
type Pressure struct {
	misread

	Resources []ResourcePressure
}

// ResourcePressure is how long tasks waited for one resource.
type ResourcePressure struct {
	// Resource is cpu, memory, io or irq.
	Resource string
	// Some is time in which at least one task waited, Full time in which all
	// tasks that had work waited; nil where the kernel does not measure it.
	Some, Full *Stall
}

// Stall is how long tasks waited.
type Stall struct {
	// Time is the sum since boot, in seconds.
	Time float64
	// Utilization is the share of the time since the reading before, 0 to 1.
	Utilization float64
	// Avg10, Avg60 and Avg300 are the kernel's own means over so many seconds, 0 to 1.
	Avg10, Avg60, Avg300 float64
}

var (
	pressureResourceKey = Key{Name: "resource", Help: "cpu, memory, io, irq"}
	pressureKindKey     = Key{Name: "kind", Help: "some: at least one task waited; full: all tasks that had work waited"}

	pressureTime = &Metric{
		Name: "sysotel.pressure.time", Unit: "s", Kind: Counter, Keys: []Key{pressureResourceKey, pressureKindKey},
		Help: "Time in which tasks waited for a resource; waiting for the end of a CPU quota (container, unit) counts as cpu, however idle the processors are.", Source: "/proc/pressure/{cpu,memory,io,irq}, total; full of cpu is left out, since the kernel always reports 0 for the whole machine",
	}
	pressureUtilization = &Metric{
		Name: "sysotel.pressure.utilization", Unit: "1", Kind: Gauge, Keys: []Key{pressureResourceKey, pressureKindKey},
		Help: "Share of the last tick in which tasks waited for a resource; waiting for the end of a CPU quota (container, unit) counts as cpu, however idle the processors are.", Source: "difference of sysotel.pressure.time over the time that passed",
	}
)

// pressure reads pressure stall information.
type pressure struct {
	files  []pressureFile
	totals map[pressureSeries]*trail[[1]uint64]
	span   span
}

// pressureFile is one file of /proc/pressure.
type pressureFile struct {
	resource string
	file     *file
}

// pressureSeries names one line of one file of /proc/pressure.
type pressureSeries struct{ resource, kind string }

func newPressure() Collector { return &pressure{totals: map[pressureSeries]*trail[[1]uint64]{}} }

func (*pressure) Name() string { return "pressure" }

func (*pressure) Metrics() []*Metric { return []*Metric{pressureTime, pressureUtilization} }

func (p *pressure) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	r := &Pressure{}
	stalls, err := p.stalls(ctx, h, &r.misread)
	if err != nil {
		return nil, err
	}
	seconds := p.span.next(h.Now(), t.Interval)
	r.Resources = make([]ResourcePressure, 0, len(stalls))
	for _, s := range stalls {
		resource := ResourcePressure{Resource: s.resource}
		if s.some.known {
			resource.Some = p.stall(pressureSeries{s.resource, "some"}, s.some, seconds)
		}
		if s.full.known && s.resource != "cpu" {
			resource.Full = p.stall(pressureSeries{s.resource, "full"}, s.full, seconds)
		}
		r.Resources = append(r.Resources, resource)
	}
	return r, nil
}

// stall compares a line with the same line of the previous reading.
func (p *pressure) stall(of pressureSeries, line pressureLine, seconds float64) *Stall {
	total := p.totals[of]
	if total == nil {
		total = &trail[[1]uint64]{}
		p.totals[of] = total
	}
	total.next([1]uint64{line.total})
	s := &Stall{
		Time: float64(total.ever(0)) / 1e6, Utilization: unknown,
		Avg10: line.avg10 / 100, Avg60: line.avg60 / 100, Avg300: line.avg300 / 100,
	}
	// The kernel's clock and ours are read a little apart, so a machine that
	// waited all the time can seem to have waited a little longer. Much longer is
	// no waiting but a number that jumped.
	const slack = 0.1
	if share := total.grown(0) / 1e6 / seconds; share <= 1+slack {
		s.Utilization = min(share, 1)
	}
	return s
}

// resourceStalls is one file of /proc/pressure.
type resourceStalls struct {
	resource   string
	some, full pressureLine
}

// pressureLine is one line of a file of /proc/pressure: percentages and microseconds.
type pressureLine struct {
	avg10, avg60, avg300 float64
	total                uint64
	known                bool
}

// Report implements Reading.
func (p *Pressure) Report(o *Observer) {
	for i := range p.Resources {
		r := &p.Resources[i]
		r.Some.report(o, r.Resource, "some")
		r.Full.report(o, r.Resource, "full")
	}
}

func (s *Stall) report(o *Observer, resource, kind string) {
	if s == nil {
		return
	}
	o.Float(pressureTime, s.Time, resource, kind)
	o.Float(pressureUtilization, s.Utilization, resource, kind)
}
