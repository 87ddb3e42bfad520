package sampler

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// chronicle writes down what happens: it sees each tick's readings and what
// becomes of ticks. All but happened belongs to the sampler's goroutine.
type chronicle struct {
	toRecords
	host     *instruments.Host
	hostName string
	version  string
	log      *slog.Logger
	// alive is the last sign of life of the run before this one.
	alive   time.Time
	devices []*deviceList
	oom     oomWatch
	tell    func(records.Event)
}

func newChronicle(o Options) *chronicle {
	c := &chronicle{
		toRecords: toRecords{records: o.Records, interval: o.Interval, boot: o.Host.BootID()},
		host:      o.Host, hostName: o.HostName, version: o.Version, log: o.Log,
		alive: o.Records.Newest(), devices: newDeviceLists(), oom: oomWatch{log: o.Log},
	}
	c.tell = func(e records.Event) {
		c.happened(e)
		c.log.Info("event", "event", e.Kind, "subject", e.Subject, "cause", e.Cause, "detail", e.Detail)
	}
	if boot := c.host.Boot(); c.boot == "" && !boot.IsZero() {
		c.boot = "boot at " + strconv.FormatInt(boot.Unix(), 10)
	}
	return c
}

// open opens the kernel's log; end closes it.
func (c *chronicle) open() {
	kernel, err := c.host.OpenKernelLog()
	if err != nil {
		c.log.Info("the kernel's log cannot be read; processes killed for want of memory have no names", "err", err)
		return
	}
	c.oom.kernel = kernel
}

// happened hands over an event.
func (c *chronicle) happened(e records.Event) {
	if err := c.records.AddEvent(e); err != nil {
		c.log.Error("an event is not kept", "event", e.Kind, "err", err)
	}
}

// see takes a complete tick.
func (c *chronicle) see(s *Sampler, t instruments.Tick) {
	// A family that is read less often than every tick tells nothing new in between.
	fresh := func(name string) instruments.Reading {
		if r, at := s.Newest(name); at.Equal(t.Time) {
			return r
		}
		return nil
	}
	for _, l := range c.devices {
		if r := fresh(l.family); r != nil {
			l.compare(r, t.Time, c.tell)
		}
	}
	if paging, ok := fresh("paging").(*instruments.Paging); ok {
		c.oom.look(paging, t.Time, c.tell)
	}
	if table, ok := fresh("process").(*instruments.ProcessTable); ok {
		c.oom.table(table)
		c.tick(table, t.Time)
	}
}

// configured is called between two ticks when families have new settings: what
// they show from now on is not what they showed before.
func (c *chronicle) configured() {
	for _, l := range c.devices {
		l.known = false
	}
}

// gap takes a run of ticks that were missed.
func (c *chronicle) gap(g gap) {
	e := records.Event{Time: g.to, Kind: records.Gap, Cause: g.cause, From: g.from, To: g.to, Detail: map[string]string{"missed": strconv.FormatUint(g.missed, 10)}}
	if g.to.IsZero() {
		e.Time, e.To = g.from, g.from
	}
	c.happened(e)
}

// moved takes what the clock and the machine did between two ticks: a suspend and a
// step are events of their own, whatever ticks they cost.
func (c *chronicle) moved(before, now moment, slept, set time.Duration, g gap) {
	seconds := func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
	if slept >= time.Second {
		detail := map[string]string{"slept_seconds": seconds(slept)}
		if g.cause == causeSuspend {
			detail["missed"] = strconv.FormatUint(g.missed, 10)
		}
		// When it fell asleep in between is not known.
		c.happened(records.Event{Time: now.wall, Kind: records.Suspend, From: before.wall, To: now.wall, Detail: detail})
	}
	if g.cause == causeClock {
		detail := map[string]string{"step_seconds": seconds(set), "missed": strconv.FormatUint(g.missed, 10)}
		c.happened(records.Event{Time: now.wall, Kind: records.ClockStep, From: now.wall.Add(-set), To: now.wall, Detail: detail})
	}
}

// family takes a change of a family's state: it failed at a tick, or gives readings
// again since then.
func (c *chronicle) family(name string, ok bool, cause, reason string, since, at time.Time) {
	e := records.Event{Time: at, Kind: records.Gap, Cause: cause, Subject: name, From: at, Detail: map[string]string{"state": "began"}}
	if ok {
		e.From, e.To, e.Detail["state"] = since, at, "ended"
	} else if reason != "" {
		e.Detail["reason"] = reason
	}
	c.happened(e)
}

// begin tells that the agent has started, and what became of the run before.
func (c *chronicle) begin(ctx context.Context, now time.Time) {
	boot, id := c.host.Boot(), c.host.BootID()
	start := records.Event{Time: now, Kind: records.Start, Subject: c.hostName, Detail: map[string]string{"version": c.version, "previous": "none"}}
	if id != "" {
		start.Detail["boot_id"] = id
	}
	if !boot.IsZero() {
		start.Detail["boot_time"] = boot.Format(time.RFC3339)
	}
	last, before, err := c.lastRun(ctx)
	if err != nil {
		start.Detail["previous"] = "unknown"
		c.log.Warn("what became of the run before cannot be read", "err", err)
	}
	if before != nil {
		alive, clean := c.alive, last.Kind == records.Stop
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
			c.tell(c.reboot(was, id, alive, boot, now, clean))
		}
	}
	c.happened(start)
}

// lastRun returns the last of all starts and stops, and the last start; nil where
// the agent has never run here. The order of events is that of their numbers: the
// clock may have been set back.
func (c *chronicle) lastRun(ctx context.Context) (last, start *records.Event, err error) {
	page, err := c.records.Events(ctx, records.EventQuery{Start: time.Unix(0, 0), End: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Kinds: []records.Kind{records.Start, records.Stop}, Limit: 100})
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

// reboot makes the event of a reboot between the run before and this one.
func (c *chronicle) reboot(was, id string, alive, boot, now time.Time, clean bool) records.Event {
	ending, evidence := c.host.LastEnding(alive)
	e := records.Event{
		Time: now, Kind: records.Reboot, Subject: c.hostName, Cause: string(ending),
		Detail: map[string]string{"evidence": evidence, "agent": "no clean stop", "boot_id": id, "previous_boot_id": was},
	}
	if clean {
		e.Detail["agent"] = "stopped before"
		if ending == instruments.EndingUnknown {
			// Mostly the system stops its services when it is shut down; but it may
			// have been stopped for itself.
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

// end tells that the agent was stopped in good order.
func (c *chronicle) end(now time.Time) {
	c.happened(records.Event{Time: now, Kind: records.Stop, Subject: c.hostName, Cause: "clean", Detail: map[string]string{"version": c.version}})
}
