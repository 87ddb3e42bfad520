//go:build !linux

package instruments

import (
	"context"
	"runtime"
	"strconv"

	gopsutilcpu "github.com/shirou/gopsutil/v3/cpu"
)

// processorTimes reads the time in each state of all processors together and of each.
func (h *Host) processorTimes(ctx context.Context, _ Tick) (*procStat, error) {
	began := h.Now()
	each, failed := gopsutilcpu.TimesWithContext(ctx, true)
	total, err := gopsutilcpu.TimesWithContext(ctx, false)
	switch {
	case err != nil && failed != nil:
		return nil, err
	case err != nil && len(each) == 0, err == nil && len(total) == 0:
		return nil, ErrUnsupported
	case err != nil:
		total = []gopsutilcpu.TimesStat{sumOf(each)}
	}
	s := &procStat{total: ticksOf(total[0]), cores: make([]coreTime, len(each)), at: h.Now()}
	s.took = s.at.Sub(began)
	for i, c := range each {
		s.cores[i] = coreTime{id: c.CPU, ticks: ticksOf(c), guest: unknownCount, guestNice: unknownCount}
	}
	return s, nil
}

// sumOf adds up the times of processors.
func sumOf(each []gopsutilcpu.TimesStat) (total gopsutilcpu.TimesStat) {
	for _, c := range each {
		total.User, total.Nice, total.System, total.Idle = total.User+c.User, total.Nice+c.Nice, total.System+c.System, total.Idle+c.Idle
		total.Iowait, total.Irq, total.Softirq, total.Steal = total.Iowait+c.Iowait, total.Irq+c.Irq, total.Softirq+c.Softirq, total.Steal+c.Steal
	}
	return total
}

// ticksOf takes the states from gopsutil, which on Windows has interrupts in the time of
// the system, too.
func ticksOf(t gopsutilcpu.TimesStat) stateTicks {
	if runtime.GOOS == "windows" {
		t.System -= t.Irq
	}
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
