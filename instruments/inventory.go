package instruments

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sysotel/instruments/sanitize"
)

// Inventory is a reading of what the machine is and what its parts can: its system, its
// firmware, the limits of its processors' frequencies, its software RAID.
type Inventory struct {
	misread

	points []sensorPoint
	// threads are those of the machine.
	threads uint64
}

var (
	osKeys = []Key{
		{Name: "id", Help: "debian, fedora, ..."}, {Name: "id_like", Help: "what it is made of"}, {Name: "name", Help: "its name"},
		{Name: "pretty_name", Help: "its name and version"}, {Name: "version", Help: "version with its name"}, {Name: "version_id", Help: "version"},
		{Name: "version_codename", Help: "name of the version"}, {Name: "variant", Help: "edition"}, {Name: "variant_id", Help: "edition in lower case"},
		{Name: "build_id", Help: "build"}, {Name: "image_id", Help: "image"}, {Name: "image_version", Help: "its version"},
	}
	dmiKeys = []Key{
		{Name: "bios_vendor", Help: "who made the firmware"}, {Name: "bios_version", Help: "its version"}, {Name: "bios_date", Help: "its date"}, {Name: "bios_release", Help: "its release"},
		{Name: "board_vendor", Help: "who made the board"}, {Name: "board_name", Help: "its name"}, {Name: "board_version", Help: "its version"},
		{Name: "chassis_vendor", Help: "who made the case"}, {Name: "chassis_version", Help: "its version"},
		{Name: "product_family", Help: "family of the machine"}, {Name: "product_name", Help: "name of the machine"}, {Name: "product_sku", Help: "its article number"}, {Name: "product_version", Help: "its version"},
		{Name: "system_vendor", Help: "who made the machine"},
	}
	raidKey = Key{Name: "device", Help: "md0"}

	inventoryOS = &Metric{
		Name: "sysotel.os.info", Kind: Gauge, Integer: true, Keys: osKeys,
		Help: "1; the attributes describe the system.", Source: "/etc/os-release, else /usr/lib/os-release, read every 10 s as all of this collector",
	}
	inventoryOSVersion = &Metric{
		Name: "sysotel.os.version", Kind: Gauge, Keys: osKeys[:3],
		Help: "First two numbers of the system's version, as one number.", Source: "/etc/os-release, VERSION_ID",
	}
	inventoryOSEnd = &Metric{
		Name: "sysotel.os.support.end", Unit: "s", Kind: Gauge,
		Help: "Unix time at which the support of the system's version ends, where it says so.", Source: "/etc/os-release, SUPPORT_END",
	}
	inventoryDMI = &Metric{
		Name: "sysotel.dmi.info", Kind: Gauge, Integer: true, Keys: dmiKeys,
		Help: "1; the attributes describe the machine and its firmware, without serial numbers.", Source: "/sys/class/dmi/id",
	}
	inventorySELinux = &Metric{
		Name: "sysotel.selinux.enabled", Kind: Gauge, Integer: true,
		Help: "1 while SELinux is on, else 0.", Source: "/sys/fs/selinux",
	}
	inventorySELinuxMode = &Metric{
		Name: "sysotel.selinux.mode", Kind: Gauge, Integer: true, Keys: []Key{{Name: "kind", Help: "current, or config for that of the next boot"}},
		Help: "1 enforces, 0 only reports, -1 is off; not sent where SELinux is off.", Source: "/sys/fs/selinux/enforce; /etc/selinux/config, SELINUX",
	}
	inventoryFrequency = &Metric{
		Name: "sysotel.cpu.core.frequency.limit", Unit: "Hz", Kind: Gauge,
		Keys: []Key{coreKey, {Name: "kind", Help: "min and max of the hardware, scaling_min and scaling_max as they are set"}},
		Help: "Between what the frequency of each processor can be.", Source: "/sys/devices/system/cpu/cpuN/cpufreq: cpuinfo_min_freq, cpuinfo_max_freq, scaling_min_freq, scaling_max_freq",
	}
	inventoryThreads = &Metric{
		Name: "sysotel.kernel.threads.usage", Unit: "{thread}", Kind: UpDownCounter, Integer: true,
		Help: "Threads of all processes, and of the kernel.", Source: "/proc/loadavg, fourth field, behind the slash",
	}
	inventoryThreadsLimit = &Metric{
		Name: "sysotel.kernel.threads.limit", Unit: "{thread}", Kind: UpDownCounter, Integer: true,
		Help: "Threads that there can be.", Source: "/proc/sys/kernel/threads-max",
	}
	inventoryPIDLimit = &Metric{
		Name: "sysotel.kernel.pids.limit", Unit: "{process}", Kind: UpDownCounter, Integer: true,
		Help: "Numbers that there are for processes and threads.", Source: "/proc/sys/kernel/pid_max",
	}
	raidState = &Metric{
		Name: "sysotel.raid.state", Kind: Gauge, Integer: true,
		Keys: []Key{raidKey, {Name: "state", Help: "active, inactive, recovering, resync, check, reshape"}},
		Help: "1 for the state that each software RAID is in, 0 for the others.", Source: "/proc/mdstat",
	}
	raidDisks = &Metric{
		Name: "sysotel.raid.disks", Unit: "{disk}", Kind: Gauge, Integer: true,
		Keys: []Key{raidKey, {Name: "state", Help: "active, failed, spare"}},
		Help: "Disks of each software RAID.", Source: "/proc/mdstat: of [2/1] the second number, (F), (S)",
	}
	raidRequired = &Metric{
		Name: "sysotel.raid.disks.required", Unit: "{disk}", Kind: Gauge, Integer: true, Keys: []Key{raidKey},
		Help: "Disks that each software RAID needs to be whole.", Source: "/proc/mdstat: of [2/1] the first number",
	}
	raidSize = &Metric{
		Name: "sysotel.raid.size", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{raidKey},
		Help: "Size of each software RAID.", Source: "/proc/mdstat, blocks of 1 KiB",
	}
	raidSynced = &Metric{
		Name: "sysotel.raid.synced", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{raidKey},
		Help: "What of each software RAID is in step; all of it while nothing is made good.", Source: "/proc/mdstat, blocks of 1 KiB of the line of progress",
	}
)

// raidStates are the values of state that are always told.
var raidStates = [...]string{"active", "inactive", "recovering", "resync", "check", "reshape"}

// inventory reads what hardly ever changes, beside the ticks.
type inventory struct {
	all     beside[sensorRead]
	slow    slowLane
	threads uint64
}

func newInventory() Collector {
	return &inventory{all: beside[sensorRead]{every: slowEvery, read: func(h *Host, _ string, _ sensorRead) sensorRead { return h.inventory() }}}
}

func (*inventory) Name() string { return "inventory" }

func (*inventory) Metrics() []*Metric {
	return []*Metric{
		inventoryOS, inventoryOSVersion, inventoryOSEnd, inventoryDMI, inventorySELinux, inventorySELinuxMode, inventoryFrequency,
		inventoryThreads, inventoryThreadsLimit, inventoryPIDLimit, raidState, raidDisks, raidRequired, raidSize, raidSynced,
	}
}

func (i *inventory) Read(_ context.Context, h *Host, _ Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	now := h.Now()
	read, _ := i.all.get(h, "", now)
	if i.slow.due(now) {
		i.threads = unknownCount
		if fields := strings.Fields(h.readText("proc/loadavg")); len(fields) > 3 {
			_, text, _ := strings.Cut(fields[3], "/")
			if n, ok := countOf([]byte(text)); ok {
				i.threads = n
			}
		}
	}
	return &Inventory{misread: read.misread, points: read.points, threads: i.threads}, nil
}

// inventory reads all of it.
func (h *Host) inventory() (r sensorRead) {
	h.osRelease(&r)
	values, some := make([]string, len(dmiKeys)), false
	for i, k := range dmiKeys {
		values[i] = h.word("sys/class/dmi/id/" + strings.Replace(k.Name, "system_", "sys_", 1))
		some = some || values[i] != ""
	}
	if some {
		r.add(inventoryDMI, 1, values...)
	}
	h.selinux(&r)
	for _, name := range numbered(h.list("sys/devices/system/cpu")) {
		if number, ok := strings.CutPrefix(name, "cpu"); !ok || strings.Trim(number, "0123456789") != "" || number == "" {
			continue
		}
		for _, kind := range [...]string{"scaling_min", "scaling_max", "min", "max"} {
			file := kind + "_freq"
			if !strings.HasPrefix(kind, "scaling_") {
				file = "cpuinfo_" + file
			}
			if hertz := h.kilohertz("sys/devices/system/cpu/" + name + "/cpufreq/" + file); hertz > 0 {
				r.add(inventoryFrequency, hertz, name, kind)
			}
		}
	}
	r.add(inventoryThreadsLimit, r.number(h, "proc/sys/kernel/threads-max"))
	r.add(inventoryPIDLimit, r.number(h, "proc/sys/kernel/pid_max"))
	if text, err := h.readFile("proc/mdstat"); err == nil {
		readRAID(string(text), &r)
	}
	return r
}

// majorMinor are the first two numbers of a version.
var majorMinor = regexp.MustCompile(`^[0-9]+\.?[0-9]*`)

// osRelease reads os-release(5).
func (h *Host) osRelease(r *sensorRead) {
	text, err := h.readFile("etc/os-release")
	if err != nil {
		if text, err = h.readFile("usr/lib/os-release"); err != nil {
			return
		}
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if n := len(value); n > 1 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		value = strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(value)
		fields[strings.ToLower(key)] = sanitize.EscapeControl(value)
	}
	values, some := make([]string, len(osKeys)), false
	for i, k := range osKeys {
		values[i] = fields[k.Name]
		some = some || values[i] != ""
	}
	if !some {
		r.note("/etc/os-release", "it does not name the system")
		return
	}
	r.add(inventoryOS, 1, values...)
	if version, err := strconv.ParseFloat(majorMinor.FindString(values[5]), 64); err == nil {
		r.add(inventoryOSVersion, version, values[:3]...)
	}
	if end, err := time.Parse(time.DateOnly, fields["support_end"]); err == nil {
		r.add(inventoryOSEnd, float64(end.Unix()))
	}
}

// selinux reads whether SELinux is on.
func (h *Host) selinux(r *sensorRead) {
	const dir = "sys/fs/selinux"
	if !h.exists(dir + "/enforce") {
		r.add(inventorySELinux, 0)
		return
	}
	r.add(inventorySELinux, 1)
	r.add(inventorySELinuxMode, r.number(h, dir+"/enforce"), "current")
	text, err := h.readFile("etc/selinux/config")
	if err != nil {
		return
	}
	config := unknown
	for line := range strings.Lines(string(text)) {
		if word, ok := strings.CutPrefix(strings.TrimSpace(line), "SELINUX="); ok {
			if mode, ok := map[string]float64{"enforcing": 1, "permissive": 0, "disabled": -1}[strings.ToLower(strings.TrimSpace(word))]; ok {
				config = mode
			}
		}
	}
	r.add(inventorySELinuxMode, config, "config")
}

var (
	raidCounts   = regexp.MustCompile(`\[([0-9]+)/([0-9]+)\] \[[U_]+\]`)
	raidProgress = regexp.MustCompile(`(recovery|resync|reshape|check) *= *(?:[0-9.]+% \(([0-9]+)/[0-9]+\)|(PENDING|DELAYED))`)
)

// readRAID reads /proc/mdstat: an array is a line with its name, one with its size, and
// others with what is done to it.
func readRAID(text string, r *sensorRead) {
	lines := strings.Split(text, "\n")
	arrays := map[string]bool{}
	for i, line := range lines {
		name, rest, ok := strings.Cut(line, " : ")
		if !ok || line[0] == ' ' || strings.HasPrefix(line, "Personalities") {
			continue
		}
		const most = 128
		name = sanitize.EscapeControl(name)
		if arrays[name] {
			r.note("/proc/mdstat: "+name, "the array is there twice")
			continue
		}
		if len(arrays) >= most {
			r.more++
			continue
		}
		arrays[name] = true
		var more []string
		for _, next := range lines[i+1:] {
			if !strings.HasPrefix(next, " ") || strings.TrimSpace(next) == "" {
				break
			}
			more = append(more, next)
		}
		if err := oneRAID(name, rest, more, r); err != nil {
			r.note("/proc/mdstat: "+name, err.Error())
		}
	}
}

// oneRAID reads an array of the lines that are about it.
func oneRAID(name, line string, more []string, r *sensorRead) error {
	words := strings.Fields(line)
	if len(words) == 0 || len(more) == 0 {
		return fmt.Errorf("there is no size")
	}
	first, _, _ := strings.Cut(strings.TrimSpace(more[0]), " ")
	blocks, ok := parseUint([]byte(first))
	const block, largest = 1024, 1 << 53
	if !ok || blocks > largest/block {
		return fmt.Errorf("%s", notNumber([]byte(first)))
	}
	state, synced := words[0], blocks
	required, active := math.NaN(), math.NaN()
	switch counts := raidCounts.FindStringSubmatch(more[0]); {
	case strings.Contains(line, " raid0 ") || strings.Contains(line, " linear "):
		required = float64(strings.Count(line, "["))
		active = required
	case state == "inactive":
		required, active = 0, 0
	case counts == nil:
		return fmt.Errorf("it does not say how many disks there are")
	default:
		if n, err := strconv.ParseUint(counts[1], 10, 31); err == nil {
			required = float64(n)
		}
		if n, err := strconv.ParseUint(counts[2], 10, 31); err == nil {
			active = float64(n)
		}
	}
	for _, l := range more[1:] {
		if p := raidProgress.FindStringSubmatch(l); p != nil {
			state = strings.Replace(p[1], "recovery", "recovering", 1)
			if synced, ok = parseUint([]byte(p[2])); !ok {
				synced = 0 // It waits for another array.
			}
			break
		}
	}
	for _, s := range raidStates {
		r.add(raidState, float64(oneIf(s == state)), name, s)
	}
	r.add(raidRequired, required, name)
	r.add(raidDisks, active, name, "active")
	r.add(raidDisks, float64(strings.Count(line, "(F)")), name, "failed")
	r.add(raidDisks, float64(strings.Count(line, "(S)")), name, "spare")
	r.add(raidSize, float64(blocks*block), name)
	r.add(raidSynced, float64(min(synced, largest/block)*block), name)
	return nil
}

// Report implements Reading.
func (i *Inventory) Report(o *Observer) {
	reportPoints(o, i.points)
	o.Uint(inventoryThreads, i.threads)
}
