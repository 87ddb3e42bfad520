package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// running reads how long the machine runs. The moment of boot is the kernel's
// own btime: now less the uptime would move by a second from tick to tick.
func (s *system) running(ctx context.Context, h *Host, t Tick) (*System, error) {
	if s.uptime == nil {
		s.uptime = h.open("proc/uptime")
	}
	r := &System{Uptime: unknown, Created: unknownCount, ContextSwitches: unknownCount}
	stat, statErr := h.procStat(ctx, t)
	if statErr == nil {
		s.counts.next([2]uint64{stat.created, stat.switches})
		r.Created, r.ContextSwitches, r.misread = s.counts.count(0), s.counts.count(1), stat.oddCounts
		if stat.boot > 0 {
			r.Boot = time.Unix(stat.boot, 0)
		} else {
			r.note("/proc/stat: btime", "there is no number")
		}
	} else {
		s.counts.miss()
		r.lost("/proc/stat", statErr)
	}
	text, err := s.uptime.read()
	if err == nil {
		r.Uptime, err = parseUptime(text)
	}
	if err != nil {
		r.Uptime = unknown
		r.lost("/proc/uptime", err)
	}
	if err != nil && statErr != nil {
		return nil, errors.Join(statErr, err)
	}
	now := h.Now()
	s.compare(r, now)
	if !r.Boot.IsZero() {
		r.Boot = t.believed(r.Boot, now)
	}
	return r, nil
}

// compare puts the two views of how long the machine runs beside each other. A container
// can be shown its own beginning in one of them (lxcfs, OpenVZ): the machine began first.
func (s *system) compare(r *System, now time.Time) {
	if r.Boot.IsZero() || math.IsNaN(r.Uptime) {
		return
	}
	const slack = time.Minute
	begun := now.Add(-time.Duration(r.Uptime * float64(time.Second)))
	switch {
	case r.Boot.After(now):
		// The clock was set back since somebody recorded this: nothing to compare.
	case begun.Sub(r.Boot) > slack:
		r.Uptime = now.Sub(r.Boot).Seconds()
		r.hide("/proc/uptime", "is not the machine's but a container's; the time since btime in /proc/stat is taken")
	case r.Boot.Sub(begun) > slack && begun.Unix() <= 0:
		r.Uptime = now.Sub(r.Boot).Seconds()
		r.note("/proc/uptime", "is more than can be; the time since btime in /proc/stat is taken")
	case r.Boot.Sub(begun) > slack:
		// It moves by what the clock is set, and not from tick to tick.
		if begun = begun.Truncate(time.Second); begun.Sub(s.begun).Abs() > 2*time.Second {
			s.begun = begun
		}
		r.Boot = s.begun
		r.hide("/proc/stat: btime", "is not the machine's but a container's; now less /proc/uptime is taken")
	}
}

// parseUptime reads the first number of /proc/uptime, proc_uptime(5).
func parseUptime(text []byte) (float64, error) {
	word, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte{' '})
	v, err := strconv.ParseFloat(string(word), 64)
	if err != nil || !(v >= 0 && v <= maxTicks/userHZ) {
		return 0, fmt.Errorf("%s is not a number of seconds", quoted(word))
	}
	return v, nil
}
