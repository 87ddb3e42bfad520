package sampler

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"sysotel/agent/clock"
	"sysotel/agent/records"
	"sysotel/instruments"
)

// eventRecorder records events, and process tables through processRecorder. It is
// called after each tick and when ticks are missed. All methods but record belong
// to the sampler's goroutine.
type eventRecorder struct {
	processRecorder
	host     *instruments.Host
	hostName string
	version  string
	log      *slog.Logger
	// alive is when the previous run was last known to be alive.
	alive   time.Time
	devices []*deviceList
	oom     oomWatch
	emit    func(records.Event) // Records and logs an event.
}

func newEventRecorder(o Options) *eventRecorder {
	rec := &eventRecorder{
		processRecorder: processRecorder{records: o.Records, interval: o.Interval, boot: o.Host.BootID()},
		host:            o.Host, hostName: o.HostName, version: o.Version, log: o.Log,
		alive: o.Records.Newest(), devices: newDeviceLists(), oom: oomWatch{log: o.Log},
	}
	rec.emit = func(e records.Event) {
		rec.record(e)
		rec.log.Info("event", "event", e.Kind, "subject", e.Subject, "cause", e.Cause, "detail", e.Detail)
	}
	if boot := rec.host.Boot(); rec.boot == "" && !boot.IsZero() {
		rec.boot = "boot at " + strconv.FormatInt(boot.Unix(), 10)
	}
	return rec
}

// open opens the kernel log; the sampler closes it after the last tick.
func (rec *eventRecorder) open() {
	kernel, err := rec.host.OpenKernelLog()
	if err != nil {
		rec.log.Info("cannot read the kernel log; OOM kill events will not name the process", "err", err)
		return
	}
	rec.oom.kernel = kernel
}

// record keeps an event.
func (rec *eventRecorder) record(e records.Event) {
	if err := rec.records.AddEvent(e); err != nil {
		rec.log.Error("cannot record event", "event", e.Kind, "err", err)
	}
}

// afterTick takes a complete tick.
func (rec *eventRecorder) afterTick(s *Sampler, t instruments.Tick) {
	// A collector with a longer interval has nothing new in between.
	fresh := func(name string) instruments.Reading {
		if r, at := s.Newest(name); at.Equal(t.Time) {
			return r
		}
		return nil
	}
	for _, l := range rec.devices {
		if r := fresh(l.collector); r != nil {
			l.compare(r, t.Time, rec.emit)
		}
	}
	if paging, ok := fresh("paging").(*instruments.Paging); ok {
		rec.oom.check(paging, t.Time, rec.emit)
	}
	if table, ok := fresh("process").(*instruments.ProcessTable); ok {
		rec.oom.table(table)
		rec.addTable(table, t.Time)
	}
}

// configured is called between two ticks when collectors have new settings: devices
// that appear or vanish with them are no events.
func (rec *eventRecorder) configured() {
	for _, l := range rec.devices {
		l.known = false
	}
}

// gap records a run of missed ticks.
func (rec *eventRecorder) gap(g gap) {
	e := records.Event{Time: g.to, Kind: records.Gap, Cause: g.cause, From: g.from, To: g.to, Detail: map[string]string{"missed": strconv.FormatUint(g.missed, 10)}}
	if g.to.IsZero() {
		e.Time, e.To = g.from, g.from
	}
	rec.record(e)
}

// seconds formats a duration.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// suspended records a suspend between two ticks, whatever ticks it cost.
func (rec *eventRecorder) suspended(before, now moment, slept time.Duration, g gap) {
	if slept >= time.Second {
		detail := map[string]string{"slept_seconds": seconds(slept)}
		if g.cause == causeSuspend {
			detail["missed"] = strconv.FormatUint(g.missed, 10)
		}
		// When in between the suspend began is unknown.
		rec.record(records.Event{Time: now.wall, Kind: records.Suspend, From: before.wall, To: now.wall, Detail: detail})
	}
}

// clockSet records that the clock was set, and what became of it.
func (rec *eventRecorder) clockSet(c *clock.Change, g gap) {
	detail := map[string]string{"step_seconds": seconds(c.By()), "missed": strconv.FormatUint(g.missed, 10)}
	if !c.AheadUntil.IsZero() {
		detail["set_aside_until"] = c.AheadUntil.UTC().Format(time.RFC3339)
	}
	rec.record(records.Event{Time: c.To, Kind: records.ClockStep, Cause: string(c.Cause), From: c.From, To: c.To, Detail: detail})
}

// collector records that a collector failed at a tick, or returns readings again.
func (rec *eventRecorder) collector(name string, ok bool, cause, reason string, since, at time.Time) {
	e := records.Event{Time: at, Kind: records.Gap, Cause: cause, Subject: name, From: at, Detail: map[string]string{"state": "began"}}
	if ok {
		e.From, e.To, e.Detail["state"] = since, at, "ended"
	} else if reason != "" {
		e.Detail["reason"] = reason
	}
	rec.record(e)
}

// start records that the agent has started, how the previous run ended, and a reboot
// in between.
func (rec *eventRecorder) start(ctx context.Context, now time.Time) {
	boot, id := rec.host.Boot(), rec.host.BootID()
	start := records.Event{Time: now, Kind: records.Start, Subject: rec.hostName, Detail: map[string]string{"version": rec.version, "previous": "none"}}
	if id != "" {
		start.Detail["boot_id"] = id
	}
	if !boot.IsZero() {
		start.Detail["boot_time"] = boot.Format(time.RFC3339)
	}
	last, before, err := rec.lastRun(ctx)
	if err != nil {
		start.Detail["previous"] = "unknown"
		rec.log.Warn("cannot read how the previous run ended", "err", err)
	}
	if before != nil {
		alive, clean := rec.alive, last.Kind == records.Stop
		if last.Time.After(alive) || clean {
			alive = last.Time
		}
		start.Detail["previous"] = "no clean stop"
		if clean {
			start.Detail["previous"] = "stopped"
		}
		if alive.Before(now) {
			start.From, start.To = alive, now
		}
		was := before.Detail["boot_id"]
		if id != "" && was != "" && id != was || (id == "" || was == "") && boot.After(alive) {
			rec.emit(rec.reboot(was, id, alive, boot, now, clean))
		}
	}
	rec.record(start)
}

// lastRun returns the last start or stop, and the last start; nil if the agent has
// never run here. Events are in the order of their IDs: the clock may have been set
// back.
func (rec *eventRecorder) lastRun(ctx context.Context) (last, start *records.Event, err error) {
	page, err := rec.records.Events(ctx, records.EventQuery{
		Start: time.Unix(0, 0), End: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		Kinds: []records.Kind{records.Start, records.Stop}, Limit: 100,
	})
	if err != nil {
		return nil, nil, err
	}
	for i := range page.Events {
		e := &page.Events[i]
		if last == nil || e.ID > last.ID {
			last = e
		}
		if e.Kind == records.Start && (start == nil || e.ID > start.ID) {
			start = e
		}
	}
	return last, start, nil
}

// reboot returns the event of a reboot since the previous run.
func (rec *eventRecorder) reboot(was, id string, alive, boot, now time.Time, clean bool) records.Event {
	ending, evidence := rec.host.LastEnding(alive)
	e := records.Event{
		Time: now, Kind: records.Reboot, Subject: rec.hostName, Cause: string(ending),
		Detail: map[string]string{"evidence": evidence, "agent": "no clean stop", "boot_id": id, "previous_boot_id": was},
	}
	if clean {
		e.Detail["agent"] = "stopped before"
		if ending == instruments.EndingUnknown {
			// The shutdown probably stopped the agent, but an operator may have done so
			// before it.
			e.Cause = "agent_stopped_before"
		}
	}
	if !boot.IsZero() {
		e.Time = boot
		e.Detail["boot_time"] = boot.Format(time.RFC3339)
		if alive.Before(boot) {
			e.From, e.To = alive, boot
		}
	}
	return e
}

// stop records a clean stop of the agent.
func (rec *eventRecorder) stop(now time.Time) {
	rec.record(records.Event{Time: now, Kind: records.Stop, Subject: rec.hostName, Cause: "clean", Detail: map[string]string{"version": rec.version}})
}
