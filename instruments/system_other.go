//go:build !linux

package instruments

import (
	"context"
	"time"

	gopsutilhost "github.com/shirou/gopsutil/v3/host"
)

// running asks the system when it started; other counts are not available.
func (s *system) running(ctx context.Context, h *Host, _ Tick) (*System, error) {
	boot, err := gopsutilhost.BootTimeWithContext(ctx)
	if err != nil {
		return nil, err
	}
	// Windows has the uptime, from which the start is a second more or less each time.
	if at := time.Unix(int64(boot), 0); at.Sub(s.begun).Abs() > 2*time.Second {
		s.begun = at
	}
	return &System{Uptime: h.Now().Sub(s.begun).Seconds(), Boot: s.begun}, nil
}
