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
	stat, err := h.procStat(ctx, t)
	if err != nil {
		return nil, err
	}
	if stat.boot == 0 {
		return nil, errors.New("parse /proc/stat: no line btime")
	}
	text, err := s.uptime.read()
	if err != nil {
		return nil, err
	}
	uptime, err := parseUptime(text)
	if err != nil {
		return nil, fmt.Errorf("parse /proc/uptime: %w", err)
	}
	return &System{Uptime: uptime, Boot: t.believed(time.Unix(stat.boot, 0), h.Now()), Created: stat.created, ContextSwitches: stat.switches}, nil
}

// parseUptime reads the first number of /proc/uptime, proc_uptime(5).
func parseUptime(text []byte) (float64, error) {
	word, _, _ := bytes.Cut(text, []byte{' '})
	v, err := strconv.ParseFloat(string(bytes.TrimSpace(word)), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0, fmt.Errorf("%q is not a number of seconds", word)
	}
	return v, nil
}
