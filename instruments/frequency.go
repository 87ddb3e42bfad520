package instruments

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// frequencyEvery is how often frequencies are read. On machines with many cores
// one read of /proc/cpuinfo or cpufreq can interrupt every core.
const frequencyEvery = 10 * time.Second

// maxFrequency is more than any processor's, in Hz.
const maxFrequency = 100e9

// frequencies are what is known of the processors beside their times: their clock
// rates and the number of physical cores. All of it is read beside the tick, since some
// kernels take 20 ms for each core (prometheus/node_exporter#1086).
type frequencies struct {
	cores   beside[coreFrequency]
	nominal beside[map[string]float64]
	seen    beside[processorsSeen]
	// list names the processors as the kernel does, "0-3,5"; ids are the same.
	list string
	ids  []string
}

// coreFrequency is what cpufreq says of one processor, in Hz; 0 where it says nothing.
type coreFrequency struct{ current, min, max float64 }

// processorsSeen is what /sys shows of the processors.
type processorsSeen struct {
	online   string
	physical int
}

func newFrequencies() frequencies {
	return frequencies{
		cores: beside[coreFrequency]{every: frequencyEvery, read: func(h *Host, core string, before coreFrequency) coreFrequency {
			dir := "sys/devices/system/cpu/" + core + "/cpufreq/"
			now := coreFrequency{current: h.kilohertz(dir + "scaling_cur_freq"), min: before.min, max: before.max}
			if before == (coreFrequency{}) || now.current == 0 {
				now.min, now.max = h.kilohertz(dir+"cpuinfo_min_freq"), h.kilohertz(dir+"cpuinfo_max_freq")
			}
			return now
		}},
		nominal: beside[map[string]float64]{every: frequencyEvery, read: func(h *Host, _ string, _ map[string]float64) map[string]float64 {
			return h.nominalFrequencies()
		}},
		seen: beside[processorsSeen]{every: time.Minute, read: func(h *Host, _ string, before processorsSeen) processorsSeen {
			now := processorsSeen{online: h.onlineProcessors(), physical: before.physical}
			if now.physical == 0 || now.online != before.online {
				now.physical = h.physicalCores()
			}
			return now
		}},
	}
}

// fill fills in what is known of the processors of a reading.
func (f *frequencies) fill(r *CPU, h *Host, now time.Time) {
	f.follow(r.Cores)
	r.Frequency.Current, r.Frequency.Min, r.Frequency.Max = unknown, unknown, unknown
	seen, _ := f.seen.get(h, f.list, now)
	if seen.online != "" && seen.online != f.list {
		// A container that is shown fewer processors numbers them anew: what /sys has
		// under a name is another one's.
		r.hide("frequencies and physical cores", "not visible from here: /proc/stat shows the processors "+f.list+", /sys "+quoted([]byte(seen.online)))
		return
	}
	if seen.physical <= r.Logical {
		r.Physical = seen.physical
	}
	sum, known := 0.0, 0
	add := func(core *Core, hertz float64) {
		core.Frequency = hertz
		sum += hertz
		known++
	}
	for i := range r.Cores {
		core := &r.Cores[i]
		v, _ := f.cores.get(h, core.ID, now)
		if v.current > 0 {
			add(core, v.current)
		}
		if v.min > 0 && !(r.Frequency.Min <= v.min) {
			r.Frequency.Min = v.min
		}
		if v.max > 0 && !(r.Frequency.Max >= v.max) {
			r.Frequency.Max = v.max
		}
	}
	if known == 0 {
		nominal, _ := f.nominal.get(h, "", now)
		for i := range r.Cores {
			if v := nominal[r.Cores[i].ID]; v > 0 {
				add(&r.Cores[i], v)
			}
		}
	}
	if known > 0 {
		r.Frequency.Current = sum / float64(known)
	}
}

// follow notes which processors there are, and forgets the others.
func (f *frequencies) follow(cores []Core) {
	same := len(cores) == len(f.ids)
	for i := 0; same && i < len(cores); i++ {
		same = cores[i].ID == f.ids[i]
	}
	if same {
		return
	}
	before, list := f.ids, f.list
	f.ids = make([]string, len(cores))
	for i := range cores {
		f.ids[i] = cores[i].ID
	}
	for _, id := range before {
		if !slices.Contains(f.ids, id) {
			f.cores.forget(id)
		}
	}
	if f.list = processorList(f.ids); f.list != list {
		f.seen.forget(list)
	}
}

// processorList writes processors as the kernel does: "0-3,5".
func processorList(ids []string) string {
	var list []byte
	for i := 0; i < len(ids); {
		first, _ := strconv.Atoi(strings.TrimPrefix(ids[i], "cpu"))
		last := first
		for i++; i < len(ids) && ids[i] == "cpu"+strconv.Itoa(last+1); i++ {
			last++
		}
		if len(list) > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendInt(list, int64(first), 10)
		if last > first {
			list = strconv.AppendInt(append(list, '-'), int64(last), 10)
		}
	}
	return string(list)
}

// kilohertz reads a cpufreq file in Hz, 0 where there is none or what it says cannot be.
func (h *Host) kilohertz(name string) float64 {
	n, err := strconv.ParseUint(h.readText(name), 10, 64)
	if v := float64(n) * 1000; err == nil && v <= maxFrequency {
		return v
	}
	return 0
}

// parseMegahertz reads "cpu MHz" of each processor in /proc/cpuinfo, in Hz; POWER writes
// "clock : 3425.000000MHz", and s390 "cpu MHz dynamic" below "cpu number".
func parseMegahertz(text string) map[string]float64 {
	found := map[string]float64{}
	core := ""
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor", "cpu number":
			core = "cpu" + value
		case "cpu MHz", "cpu MHz dynamic", "clock":
			if v, err := strconv.ParseFloat(strings.TrimSuffix(value, "MHz"), 64); err == nil && v > 0 && v*1e6 <= maxFrequency {
				found[core] = v * 1e6
			}
		}
	}
	return found
}
