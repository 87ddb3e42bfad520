//go:build !linux && !windows

package instruments

import (
	"context"
	"maps"
	"runtime"
	"slices"

	gopsutildisk "github.com/shirou/gopsutil/v3/disk"
)

// diskDetails: neither macOS nor Windows counts merges or busy time; what
// gopsutil calls busy time on macOS is the sum over operations.
const diskDetails = runtime.GOOS != "darwin" && runtime.GOOS != "windows"

// diskSource reads from gopsutil: disks on macOS and the BSDs, the drive
// letters of fixed disks on Windows.
type diskSource struct{}

// each calls visit for every disk.
func (diskSource) each(ctx context.Context, _ *Host, _ *misread, visit func(name []byte, c *diskCounters)) error {
	found, err := gopsutildisk.IOCountersWithContext(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		c := found[name]
		counters := &diskCounters{
			reads: c.ReadCount, readsMerged: c.MergedReadCount, readBytes: c.ReadBytes, readTime: c.ReadTime,
			writes: c.WriteCount, writesMerged: c.MergedWriteCount, writeBytes: c.WriteBytes, writeTime: c.WriteTime,
			pending: c.IopsInProgress, ioTime: c.IoTime, weightedIOTime: c.WeightedIO,
		}
		for i := range counters.more {
			counters.more[i] = unknownCount
		}
		visit([]byte(name), counters)
	}
	return nil
}
