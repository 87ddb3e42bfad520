package instruments

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// frequencyEvery is how often frequencies are read. On machines with many cores
// one read of /proc/cpuinfo or cpufreq can interrupt every core.
const frequencyEvery = 10 * time.Second

// frequencies are the processors' clock rates, in Hz.
type frequencies struct {
	at       time.Time
	current  map[string]float64
	min, max float64
}

// read refreshes the frequencies when they are old, from cpufreq where the
// kernel has it, else (virtual machines) from /proc/cpuinfo.
func (f *frequencies) read(ctx context.Context, h *Host, cores []coreTime) {
	now := h.Now()
	if !f.at.IsZero() && now.Sub(f.at) < frequencyEvery && len(f.current) == len(cores) {
		return
	}
	f.at, f.current, f.min, f.max = now, make(map[string]float64, len(cores)), unknown, unknown
	for _, c := range cores {
		dir := "sys/devices/system/cpu/" + c.id + "/cpufreq/"
		if v := h.kilohertz(dir + "scaling_cur_freq"); v > 0 {
			f.current[c.id] = v
		}
		if v := h.kilohertz(dir + "cpuinfo_min_freq"); v > 0 && !(f.min <= v) {
			f.min = v
		}
		if v := h.kilohertz(dir + "cpuinfo_max_freq"); v > 0 && !(f.max >= v) {
			f.max = v
		}
	}
	if len(f.current) == 0 {
		f.current = h.nominalFrequencies(ctx)
	}
}

// of is the current frequency of a core, unknown if the system does not report it.
func (f *frequencies) of(core string) float64 {
	if v, ok := f.current[core]; ok {
		return v
	}
	return unknown
}

// mean is the mean over all cores.
func (f *frequencies) mean() float64 {
	if len(f.current) == 0 {
		return unknown
	}
	sum := 0.0
	for _, v := range f.current {
		sum += v
	}
	return sum / float64(len(f.current))
}

// kilohertz reads a cpufreq file in Hz, 0 where there is none.
func (h *Host) kilohertz(name string) float64 {
	n, err := strconv.ParseFloat(h.readText(name), 64)
	if err != nil {
		return 0
	}
	return n * 1000
}

// parseMegahertz reads "cpu MHz" of each processor in /proc/cpuinfo, in Hz.
func parseMegahertz(text string) map[string]float64 {
	found := map[string]float64{}
	core := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			core = "cpu" + value
		case "cpu MHz":
			if v, err := strconv.ParseFloat(value, 64); err == nil && v > 0 {
				found[core] = v * 1e6
			}
		}
	}
	return found
}
