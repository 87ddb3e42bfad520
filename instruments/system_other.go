//go:build !linux

package instruments

import (
	"context"
	"time"

	gopsutilhost "github.com/shirou/gopsutil/v3/host"
)

// running asks the system when it started; other counts are not available.
func (*system) running(ctx context.Context, h *Host, _ Tick) (*System, error) {
	boot, err := gopsutilhost.BootTimeWithContext(ctx)
	if err != nil {
		return nil, err
	}
	at := time.Unix(int64(boot), 0)
	return &System{Uptime: h.Now().Sub(at).Seconds(), Boot: at}, nil
}
