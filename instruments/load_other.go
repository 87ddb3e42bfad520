//go:build !linux

package instruments

import (
	"context"
	"runtime"

	gopsutilload "github.com/shirou/gopsutil/v3/load"
)

// averages asks the system. Windows has no load average: gopsutil would make one
// up from the processor queue in a goroutine that never ends.
func (*load) averages(ctx context.Context, _ *Host) (Load, error) {
	if runtime.GOOS == "windows" {
		return Load{}, ErrUnsupported
	}
	avg, err := gopsutilload.AvgWithContext(ctx)
	if err != nil {
		return Load{}, err
	}
	return Load{avg.Load1, avg.Load5, avg.Load15}, nil
}
