package instruments

import (
	"context"

	gopsutilcpu "github.com/shirou/gopsutil/v3/cpu"
)

// processorTimes reads the time in each state of all processors together and of each.
// gopsutil would read /proc/stat once for the sum and once for the cores, and
// other collectors twice more; here one read a tick serves them all.
func (h *Host) processorTimes(ctx context.Context, t Tick) (*procStat, error) {
	return h.procStat(ctx, t)
}

// physicalCores counts physical cores, 0 where unknown.
func (h *Host) physicalCores() int {
	n, err := gopsutilcpu.CountsWithContext(h.gopsutil(context.Background()), false)
	if err != nil {
		return 0
	}
	return n
}

// onlineProcessors is the kernel's list of those that are online, such as "0-3,5";
// "" where it cannot be read.
func (h *Host) onlineProcessors() string { return h.readText("sys/devices/system/cpu/online") }

// nominalFrequencies reads /proc/cpuinfo, the only source in virtual machines.
func (h *Host) nominalFrequencies() map[string]float64 {
	return parseMegahertz(h.readText("proc/cpuinfo"))
}
