//go:build !linux

package instruments

import (
	"context"
	"strconv"

	gopsutilcpu "github.com/shirou/gopsutil/v3/cpu"
)

// cpuTimes reads the time in each state of all processors together and of each.
func (h *Host) cpuTimes(ctx context.Context, _ Tick) (CPUStates, []coreTime, error) {
	total, err := gopsutilcpu.TimesWithContext(ctx, false)
	if err != nil {
		return CPUStates{}, nil, err
	}
	each, err := gopsutilcpu.TimesWithContext(ctx, true)
	if err != nil {
		return CPUStates{}, nil, err
	}
	cores := make([]coreTime, len(each))
	for i, c := range each {
		cores[i] = coreTime{c.CPU, states(c)}
	}
	if len(total) == 0 {
		return CPUStates{}, nil, ErrUnsupported
	}
	return states(total[0]), cores, nil
}

func states(t gopsutilcpu.TimesStat) CPUStates {
	return CPUStates{
		User: t.User, Nice: t.Nice, System: t.System, Idle: t.Idle,
		Wait: t.Iowait, Interrupt: t.Irq, SoftIRQ: t.Softirq, Steal: t.Steal,
	}
}

// physicalCores counts physical cores, 0 where unknown.
func (h *Host) physicalCores(ctx context.Context) int {
	n, err := gopsutilcpu.CountsWithContext(ctx, false)
	if err != nil {
		return 0
	}
	return n
}

// nominalFrequencies asks the system for each processor's clock rate.
func (h *Host) nominalFrequencies(ctx context.Context) map[string]float64 {
	infos, err := gopsutilcpu.InfoWithContext(ctx)
	if err != nil {
		return nil
	}
	found := map[string]float64{}
	for _, i := range infos {
		if i.Mhz > 0 {
			found["cpu"+strconv.Itoa(int(i.CPU))] = i.Mhz * 1e6
		}
	}
	return found
}
