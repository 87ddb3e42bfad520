package instruments

import (
	"context"

	gopsutilcpu "github.com/shirou/gopsutil/v3/cpu"
)

// cpuTimes reads the time in each state of all processors together and of each.
// gopsutil would read /proc/stat once for the sum and once for the cores, and
// other collectors twice more; here one read a tick serves them all.
func (h *Host) cpuTimes(ctx context.Context, t Tick) (CPUStates, []coreTime, error) {
	s, err := h.procStat(ctx, t)
	if err != nil {
		return CPUStates{}, nil, err
	}
	return s.total, s.cores, nil
}

// physicalCores counts physical cores, 0 where unknown.
func (h *Host) physicalCores(ctx context.Context) int {
	n, err := gopsutilcpu.CountsWithContext(h.gopsutil(ctx), false)
	if err != nil {
		return 0
	}
	return n
}

// nominalFrequencies reads /proc/cpuinfo, the only source in virtual machines.
func (h *Host) nominalFrequencies(context.Context) map[string]float64 {
	return parseMegahertz(h.readText("proc/cpuinfo"))
}
