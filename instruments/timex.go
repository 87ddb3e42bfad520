package instruments

import (
	"context"
	"slices"
	"strings"

	"sysotel/instruments/sanitize"
)

// Timex is a reading of how the kernel keeps the time.
type Timex struct {
	ClockState

	// Time is that of the clock when it was read, in seconds since 1970.
	Time float64
	// Source is what the kernel counts time by, Sources what it could count by, that one
	// included; "" and none where that is not shown.
	Source  string
	Sources []string
}

// ClockState is what adjtimex(2) says. Times are in seconds.
type ClockState struct {
	// Known is false where the kernel was not asked, or refused.
	Known bool
	// Synchronized is set while a time server or another source keeps the clock right.
	Synchronized bool
	// Offset is what is still to be corrected, MaxError and EstimatedError how wrong the
	// clock can be and probably is.
	Offset, MaxError, EstimatedError float64
	// Frequency is by how much the clock is made faster, 1 is not at all.
	Frequency float64
	// Status has the bits of adjtimex(2), Constant is that of the phase-locked loop, Tick
	// the time between two ticks, TAI the distance to International Atomic Time.
	Status, Constant int64
	Tick, TAI        float64
	// Zone is the agent's time zone and ZoneOffset its distance from UTC, in seconds; they
	// are known even if the kernel was not asked.
	Zone       string
	ZoneOffset int
	// PPS is about a pulse per second, which few machines have.
	PPS PulseState
}

// PulseState is about a pulse per second: frequencies in Hz, times in seconds.
type PulseState struct {
	Frequency, Jitter, Shift, Stability                     float64
	JitterExceeded, Calibrations, Errors, StabilityExceeded uint64
}

var (
	timexTime = &Metric{
		Name: "sysotel.timex.time", Unit: "s", Kind: Gauge,
		Help: "Unix time of the machine's clock when it was read.", Source: "clock_gettime(2)",
	}
	timexSynchronized = &Metric{
		Name: "sysotel.timex.synchronized", Kind: Gauge, Integer: true,
		Help: "1 while a time server or another source keeps the clock right, else 0.", Source: "adjtimex(2): not TIME_ERROR",
	}
	timexOffset = &Metric{
		Name: "sysotel.timex.offset", Unit: "s", Kind: Gauge,
		Help: "What is still to be corrected of the clock.", Source: "adjtimex(2), offset",
	}
	timexMaxError = &Metric{
		Name: "sysotel.timex.error.limit", Unit: "s", Kind: Gauge,
		Help: "How wrong the clock can be; it grows for as long as no source is heard.", Source: "adjtimex(2), maxerror",
	}
	timexEstimatedError = &Metric{
		Name: "sysotel.timex.error.estimate", Unit: "s", Kind: Gauge,
		Help: "How wrong the clock probably is.", Source: "adjtimex(2), esterror",
	}
	timexFrequency = &Metric{
		Name: "sysotel.timex.frequency.adjustment", Kind: Gauge,
		Help: "By how much the clock is made faster; 1 is not at all.", Source: "adjtimex(2), freq",
	}
	timexStatus = &Metric{
		Name: "sysotel.timex.status", Kind: Gauge, Integer: true,
		Help: "Bits of the clock's state.", Source: "adjtimex(2), status",
	}
	timexConstant = &Metric{
		Name: "sysotel.timex.loop.constant", Kind: Gauge, Integer: true,
		Help: "Time constant of the phase-locked loop that corrects the clock.", Source: "adjtimex(2), constant",
	}
	timexTick = &Metric{
		Name: "sysotel.timex.tick", Unit: "s", Kind: Gauge,
		Help: "Time between two ticks of the clock.", Source: "adjtimex(2), tick",
	}
	timexTAI = &Metric{
		Name: "sysotel.timex.tai.offset", Unit: "s", Kind: Gauge,
		Help: "Distance to International Atomic Time; 0 where the kernel was not told.", Source: "adjtimex(2), tai",
	}
	timexPulse = &Metric{
		Name: "sysotel.timex.pps", Kind: Gauge,
		Keys: []Key{{Name: "value", Help: "frequency and stability (Hz), jitter and shift (s)"}},
		Help: "State of a pulse per second; 0 where there is none.", Source: "adjtimex(2): ppsfreq, stabil, jitter, shift",
	}
	timexPulseEvents = &Metric{
		Name: "sysotel.timex.pps.events", Unit: "{event}", Kind: Counter, Integer: true,
		Keys: []Key{{Name: "event", Help: "jitter, calibration, error, stability_exceeded"}},
		Help: "Events of a pulse per second.", Source: "adjtimex(2): jitcnt, calcnt, errcnt, stbcnt",
	}
	timexSource = &Metric{
		Name: "sysotel.timex.clocksource", Kind: Gauge, Integer: true,
		Keys: []Key{{Name: "clocksource", Help: "tsc, kvm-clock, hpet, ..."}, {Name: "state", Help: "current or available"}},
		Help: "1; what the kernel counts time by, and what it could count by; read every 10 s.", Source: "/sys/devices/system/clocksource/clocksource0",
	}
	timexZone = &Metric{
		Name: "sysotel.timex.zone.offset", Unit: "s", Kind: Gauge, Integer: true,
		Keys: []Key{{Name: "time_zone", Help: "UTC, CET, KST, ..."}},
		Help: "Distance of the agent's time zone from UTC.", Source: "the agent's time zone",
	}
)

// timex reads how the time is kept.
type timex struct {
	slow    slowLane
	source  string
	sources []string
}

func newTimex() Collector { return &timex{} }

func (*timex) Name() string { return "timex" }

func (*timex) Metrics() []*Metric {
	return []*Metric{
		timexTime, timexSynchronized, timexOffset, timexMaxError, timexEstimatedError, timexFrequency, timexStatus, timexConstant,
		timexTick, timexTAI, timexPulse, timexPulseEvents, timexSource, timexZone,
	}
}

func (t *timex) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	now := h.Now()
	if t.slow.due(now) {
		const dir = "sys/devices/system/clocksource/clocksource0/"
		t.source = sanitize.EscapeControl(h.readText(dir + "current_clocksource"))
		t.sources = nil
		const most = 16
		for word := range strings.FieldsSeq(sanitize.EscapeControl(h.readText(dir + "available_clocksource"))) {
			if len(t.sources) < most && !slices.Contains(t.sources, word) {
				t.sources = append(t.sources, word)
			}
		}
	}
	return &Timex{ClockState: h.clock(), Time: float64(now.UnixMicro()) / 1e6, Source: t.source, Sources: t.sources}, nil
}

// Report implements Reading.
func (t *Timex) Report(o *Observer) {
	o.Float(timexTime, t.Time)
	if t.Known {
		o.Int(timexSynchronized, oneIf(t.Synchronized))
		o.Float(timexOffset, t.Offset)
		o.Float(timexMaxError, t.MaxError)
		o.Float(timexEstimatedError, t.EstimatedError)
		o.Float(timexFrequency, t.Frequency)
		o.Int(timexStatus, t.Status)
		o.Int(timexConstant, t.Constant)
		o.Float(timexTick, t.Tick)
		o.Float(timexTAI, t.TAI)
		o.Float(timexPulse, t.PPS.Frequency, "frequency")
		o.Float(timexPulse, t.PPS.Jitter, "jitter")
		o.Float(timexPulse, t.PPS.Shift, "shift")
		o.Float(timexPulse, t.PPS.Stability, "stability")
		o.Uint(timexPulseEvents, t.PPS.JitterExceeded, "jitter")
		o.Uint(timexPulseEvents, t.PPS.Calibrations, "calibration")
		o.Uint(timexPulseEvents, t.PPS.Errors, "error")
		o.Uint(timexPulseEvents, t.PPS.StabilityExceeded, "stability_exceeded")
	}
	if t.Source != "" {
		o.Int(timexSource, 1, t.Source, "current")
	}
	for _, source := range t.Sources {
		o.Int(timexSource, 1, source, "available")
	}
	o.Int(timexZone, int64(t.ZoneOffset), t.Zone)
}
