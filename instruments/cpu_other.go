//go:build !linux

package instruments

import (
	"context"
	"strconv"

	gopsutilcpu "github.com/shirou/gopsutil/v3/cpu"
)

// processorTimes reads the time in each state of all processors together and of each.
func (h *Host) processorTimes(ctx context.Context, _ Tick) (*procStat, error) {
	began := h.Now()
	total, err := gopsutilcpu.TimesWithContext(ctx, false)
	if err != nil {
		return nil, err
	}
	each, err := gopsutilcpu.TimesWithContext(ctx, true)
	if err != nil {
		return nil, err
	}
	if len(total) == 0 {
		return nil, ErrUnsupported
	}
	s := &procStat{total: ticksOf(total[0]), cores: make([]coreTime, len(each)), at: h.Now()}
	s.took = s.at.Sub(began)
	for i, c := range each {
		s.cores[i] = coreTime{c.CPU, ticksOf(c)}
	}
	return s, nil
}

func ticksOf(t gopsutilcpu.TimesStat) stateTicks {
	var ticks stateTicks
	for i, seconds := range [cpuStates]float64{t.User, t.Nice, t.System, t.Idle, t.Iowait, t.Irq, t.Softirq, t.Steal} {
		ticks[i] = unknownCount
		if v := seconds * userHZ; v >= 0 && v <= maxTicks {
			ticks[i] = uint64(v)
		}
	}
	return ticks
}

// physicalCores counts physical cores, 0 where unknown.
func (h *Host) physicalCores() int {
	n, err := gopsutilcpu.CountsWithContext(context.Background(), false)
	if err != nil {
		return 0
	}
	return n
}

// onlineProcessors is "": only Linux lists them in a second place.
func (h *Host) onlineProcessors() string { return "" }

// nominalFrequencies asks the system for each processor's clock rate.
func (h *Host) nominalFrequencies() map[string]float64 {
	infos, err := gopsutilcpu.InfoWithContext(context.Background())
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
