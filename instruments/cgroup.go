package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
)

// Cgroup is a reading of the control groups of the machine, and of the limits of the agent
// itself: those of its container, LXC guest or systemd unit.
type Cgroup struct {
	misread

	// Path is the agent's own control group, as in /proc/self/cgroup.
	Path string
	// Version is that of the control groups, 1 or 2.
	Version int
	// CPULimit is the number of processors that the tightest limit on the way up
	// from Path allows; unknown where nothing limits the processors, as are the
	// three below. What allows more than the machine has is no limit.
	CPULimit float64
	// CPUTime is what the group that has this limit used, in seconds.
	CPUTime float64
	// CPUUsage is the share of the limit used since the reading before, 0 to 1;
	// the kernel lets a group exceed its limit a little within one tick.
	CPUUsage float64
	// CPUThrottled is the time the group's threads were held back, in seconds.
	CPUThrottled float64
	// MemoryLimit is the tightest limit on the way up from Path, in bytes; 0
	// where nothing limits memory. What allows more than the machine has is no limit.
	MemoryLimit uint64
	// MemoryUsage is the working set of the group that has this limit: what it is
	// charged for without the file cache it did not use recently, which the
	// kernel takes back before it lets the group run out of memory.
	MemoryUsage uint64
	// MemoryUtilization is MemoryUsage over MemoryLimit, unknown without limit.
	MemoryUtilization float64

	// Groups are the control groups of the machine that have a name of their own in
	// metrics, in the order of their paths; the sum of the rest, if any, is the last of
	// them. Unnamed are those of the rest.
	Groups, Unnamed []ControlGroup
}

var (
	cgroupCPULimit = &Metric{
		Name: "sysotel.cgroup.cpu.limit", Unit: "{cpu}", Kind: Gauge,
		Help: "Number of processors of the agent's own limit (container, unit), not of the host.", Source: "cpu.max, or cpu.cfs_quota_us over cpu.cfs_period_us, the minimum from the agent's control group up; none where it allows more than the machine has",
	}
	cgroupCPUTime = &Metric{
		Name: "sysotel.cgroup.cpu.time", Unit: "s", Kind: Counter,
		Help: "CPU time used under the agent's own limit, by everything that shares it.", Source: "cpu.stat, usage_usec, or cpuacct.usage, of the control group that has the limit",
	}
	cgroupCPUUsage = &Metric{
		Name: "sysotel.cgroup.cpu.usage", Unit: "1", Kind: Gauge,
		Help: "Share of the agent's own CPU limit used in the last tick; sysotel.cpu.usage is of the host.", Source: "difference of sysotel.cgroup.cpu.time over the time that passed and sysotel.cgroup.cpu.limit",
	}
	cgroupCPUThrottled = &Metric{
		Name: "sysotel.cgroup.cpu.throttled.time", Unit: "s", Kind: Counter,
		Help: "Time for which threads were held back by the agent's own CPU limit.", Source: "cpu.stat, throttled_usec or throttled_time, of the control group that has the limit",
	}
	cgroupMemoryLimit = &Metric{
		Name: "sysotel.cgroup.memory.limit", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Memory of the agent's own limit (container, unit), not of the host.", Source: "memory.max or memory.limit_in_bytes, the minimum from the agent's control group up; none where it allows more than the machine has",
	}
	cgroupMemoryUsage = &Metric{
		Name: "sysotel.cgroup.memory.usage", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Working set under the agent's own memory limit: what is charged without file cache that was not used recently.", Source: "memory.current or memory.usage_in_bytes, less inactive_file of memory.stat, of the control group that has the limit",
	}
	cgroupMemoryUtilization = &Metric{
		Name: "sysotel.cgroup.memory.utilization", Unit: "1", Kind: Gauge,
		Help: "Share of the agent's own memory limit in use; system.memory.utilization is of the host.", Source: "sysotel.cgroup.memory.usage over sysotel.cgroup.memory.limit",
	}
)

// cgroup reads the agent's own limits and the machine's control groups. See cgroups(7) and
// Documentation/admin-guide/cgroup-v2.rst of Linux.
type cgroup struct {
	self    *file
	text    string // what self contained when the levels were found
	path    string
	version int
	// cpu and memory are the groups from the agent's own up to the mount's root.
	cpu, memory []*cgroupLevel

	// used are the CPU time and the throttled time of the group usedBy, in nanoseconds.
	used   trail[[2]uint64]
	usedBy *cgroupLevel
	span   span
	tree   groupTree
}

// cgroupLevel is one control group of one hierarchy, with its files of interest.
type cgroupLevel struct {
	// limit is cpu.max, memory.max, memory.limit_in_bytes or cpu.cfs_quota_us;
	// period is only there for the last.
	limit, period *file
	// usage is memory.current, memory.usage_in_bytes or cpuacct.usage; version 2
	// has the CPU time in stat.
	usage, stat *file
}

func newCgroup(c Config) Collector {
	return &cgroup{tree: groupTree{roster: roster{most: c.names("cgroup"), minLooks: 3}}}
}

// Configure implements Configurable.
func (c *cgroup) Configure(to Config) { c.tree.roster.most = to.names("cgroup") }

func (*cgroup) Name() string { return "cgroup" }

func (*cgroup) Metrics() []*Metric {
	return []*Metric{
		cgroupCPULimit, cgroupCPUTime, cgroupCPUUsage, cgroupCPUThrottled,
		cgroupMemoryLimit, cgroupMemoryUsage, cgroupMemoryUtilization,
		groupCPUTimeMetric, groupCPUUsageMetric, groupCPULimitMetric, groupPeriodsMetric, groupThrottledPeriodsMetric, groupThrottledTimeMetric, groupThrottledRatioMetric,
		groupMemoryMetric, groupWorkingSetMetric, groupPartMetric, groupMemoryLimitMetric, groupMemoryUtilizationMetric, groupEventsMetric,
		groupIOMetric, groupPressureMetric, groupProcessesMetric,
		containerCPUTime, containerMemoryUsage, containerMemoryWorkingSet, containerMemoryRSS, containerDiskIO,
		podCPUTime, podMemoryUsage, podMemoryWorkingSet, podMemoryRSS, serviceCPUTime,
	}
}

func (c *cgroup) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	own := c.locate(h.own)
	if own != nil && !errors.Is(own, ErrUnsupported) {
		return nil, own
	}
	r := &Cgroup{
		Path: c.path, Version: c.version,
		CPULimit: unknown, CPUTime: unknown, CPUUsage: unknown, CPUThrottled: unknown, MemoryUtilization: unknown,
	}
	count := func() int { return h.processorCount(ctx, t) }
	if own == nil {
		c.readCPU(r, c.span.next(h.Now(), t.Interval), count)
		c.readMemory(r, func() uint64 { return h.totalMemory(t) })
	}
	c.tree.read(h, t, r, count)
	if len(r.Groups) == 0 && r.MemoryLimit == 0 && math.IsNaN(r.CPULimit) && len(r.Missing()) == 0 {
		return nil, ErrUnsupported
	}
	return r, nil
}

// locate finds the agent's control groups, again when it was moved.
func (c *cgroup) locate(own *Host) error {
	if c.self == nil {
		c.self = own.open("proc/self/cgroup")
	}
	text, err := c.self.read()
	if errors.Is(err, fs.ErrNotExist) {
		return ErrUnsupported
	}
	if err != nil {
		return err
	}
	if string(text) == c.text {
		return nil
	}
	mounts, err := own.readFile("proc/self/mountinfo")
	if err != nil {
		return err
	}
	paths := parseCgroupPaths(text)
	c.text, c.cpu, c.memory, c.usedBy = string(text), nil, nil, nil
	c.path, c.version = paths[""], 2
	if path, ok := paths["memory"]; ok {
		c.path, c.version = path, 1
	} else if path, ok := paths["cpu"]; ok {
		c.path, c.version = path, 1
	}
	points := parseCgroupMounts(mounts)
	for _, dir := range cgroupLevels(points, paths, "cpu") {
		level := &cgroupLevel{stat: own.open(dir.path + "/cpu.stat")}
		if dir.version == 2 {
			level.limit = own.open(dir.path + "/cpu.max")
		} else {
			level.limit, level.period = own.open(dir.path+"/cpu.cfs_quota_us"), own.open(dir.path+"/cpu.cfs_period_us")
			// cpuacct may be a hierarchy of its own with the same groups.
			for _, account := range cgroupLevels(points, paths, "cpuacct") {
				if account.group == dir.group {
					level.usage = own.open(account.path + "/cpuacct.usage")
				}
			}
		}
		c.cpu = append(c.cpu, level)
	}
	for _, dir := range cgroupLevels(points, paths, "memory") {
		limit, usage := "/memory.max", "/memory.current"
		if dir.version == 1 {
			limit, usage = "/memory.limit_in_bytes", "/memory.usage_in_bytes"
		}
		c.memory = append(c.memory, &cgroupLevel{
			limit: own.open(dir.path + limit), usage: own.open(dir.path + usage), stat: own.open(dir.path + "/memory.stat"),
		})
	}
	return nil
}

// readCPU fills in the numbers of the group with the tightest CPU limit. A level that
// cannot be read is left out and named.
func (c *cgroup) readCPU(r *Cgroup, seconds float64, count func() int) {
	processors := 0 // What the machine has, counted where something is limited.
	var tightest *cgroupLevel
	for _, level := range c.cpu {
		limit, err := level.cpus()
		if err != nil {
			r.note("/"+level.limit.name, err.Error())
			continue
		}
		if limit > 0 && processors == 0 {
			processors = count()
		}
		if limit > 0 && !(r.CPULimit <= limit) && limit <= float64(processors) {
			r.CPULimit, tightest = limit, level
		}
	}
	if tightest == nil {
		c.usedBy = nil
		return
	}
	used, throttled := uint64(unknownCount), uint64(unknownCount)
	text, err := tightest.stat.read()
	if err != nil {
		r.lost("/"+tightest.stat.name, err)
	} else {
		used = cgroupTime(text, "usage_usec", 1000)
		throttled = cgroupTime(text, "throttled_usec", 1000)
		if throttled == unknownCount {
			throttled = cgroupTime(text, "throttled_time", 1)
		}
	}
	if tightest.usage != nil {
		if used, err = tightest.usage.number(); err != nil || used > maxNanoseconds {
			used = unknownCount
			r.note("/"+tightest.usage.name, "is not a time that can be")
		}
	} else if err == nil && used == unknownCount {
		r.note("/"+tightest.stat.name+": usage_usec", "is not a time that can be")
	}
	if c.usedBy != tightest {
		c.usedBy, c.used = tightest, trail[[2]uint64]{}
	}
	c.used.next([2]uint64{used, throttled})
	r.CPUTime, r.CPUThrottled = nanoseconds(c.used.count(0)), nanoseconds(c.used.count(1))
	// Nobody uses more than the processors have.
	if grown := c.used.grown(0) / 1e9; grown <= (1.1*seconds+0.1)*float64(processors) {
		r.CPUUsage = grown / seconds / r.CPULimit
	}
}

// maxNanoseconds is three hundred years of one processor.
const maxNanoseconds = 1<<63 - 1

// nanoseconds turns a time of the kernel into seconds.
func nanoseconds(n uint64) float64 {
	if n == unknownCount {
		return unknown
	}
	return float64(n) / 1e9
}

// cgroupTime finds a time in cpu.stat, in nanoseconds; unknownCount where there is none that can be.
func cgroupTime(text []byte, key string, unit uint64) uint64 {
	v, ok := statValue(text, key)
	if !ok || v > maxNanoseconds/unit {
		return unknownCount
	}
	return v * unit
}

// readMemory fills in the numbers of the group with the tightest memory limit.
func (c *cgroup) readMemory(r *Cgroup, total func() uint64) {
	var tightest *cgroupLevel
	for _, level := range c.memory {
		limit, err := level.limit.number()
		if errors.Is(err, fs.ErrNotExist) {
			continue // The root of all groups has no limit.
		}
		if err != nil {
			r.note("/"+level.limit.name, err.Error())
			continue
		}
		// Version 1 writes no limit as the largest number of whole pages.
		if limit <= maxBytes && (tightest == nil || limit < r.MemoryLimit) {
			r.MemoryLimit, tightest = limit, level
		}
	}
	if tightest == nil || r.MemoryLimit > total() {
		r.MemoryLimit = 0
		return
	}
	r.MemoryUsage = unknownCount
	charged, err := tightest.usage.number()
	if err != nil || charged > maxBytes {
		r.note("/"+tightest.usage.name, "is not a number of bytes that can be")
		return
	}
	text, err := tightest.stat.read()
	if err != nil {
		r.lost("/"+tightest.stat.name, err)
		return
	}
	// total_ is version 1's word for a group with those below it.
	idle, ok := statValue(text, "total_inactive_file")
	if !ok {
		idle, ok = statValue(text, "inactive_file")
	}
	if !ok || idle > charged+charged/8+1<<20 {
		// Without the cache the rest would look like a group that is nearly full. A
		// little more than what is charged is a count that lags behind.
		r.note("/"+tightest.stat.name+": inactive_file", "is not a number of bytes that can be")
		return
	}
	r.MemoryUsage = saturatingSub(charged, idle)
	r.MemoryUtilization = ratio(float64(r.MemoryUsage), float64(r.MemoryLimit))
}

// maxBytes is more than a machine can address.
const maxBytes = 1 << 57

// cpus is the level's CPU limit in processors, 0 where there is none.
func (l *cgroupLevel) cpus() (float64, error) {
	text, err := l.limit.read()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // The root of all groups, or a hierarchy without this controller.
	}
	if err != nil {
		return 0, err
	}
	quota, period, _ := bytes.Cut(bytes.TrimSpace(text), []byte{' '})
	if string(quota) == "max" || string(quota) == "-1" {
		return 0, nil
	}
	q, ok := parseUint(quota)
	if !ok {
		return 0, fmt.Errorf("%s is not a quota", quoted(quota))
	}
	var p uint64
	if l.period != nil {
		if p, err = l.period.number(); err != nil {
			return 0, err
		}
	} else if p, ok = parseUint(period); !ok {
		return 0, fmt.Errorf("%s is not a period", quoted(period))
	}
	if p == 0 {
		return 0, errors.New("the period is 0")
	}
	return float64(q) / float64(p), nil
}

// number reads a file of one number; "max" is the largest there is.
func (f *file) number() (uint64, error) {
	text, err := f.read()
	if err != nil {
		return 0, err
	}
	text = bytes.TrimSpace(text)
	if string(text) == "max" {
		return 1<<64 - 1, nil
	}
	v, ok := parseUint(text)
	if !ok {
		return 0, fmt.Errorf("parse %s: %s is not a number", f.name, quoted(text))
	}
	return v, nil
}

// statValue finds "key 123" in the lines of cpu.stat or memory.stat.
func statValue(text []byte, key string) (uint64, bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte{'\n'})
		if len(line) > len(key) && line[len(key)] == ' ' && string(line[:len(key)]) == key {
			return parseUint(line[len(key)+1:])
		}
	}
	return 0, false
}

// parseCgroupPaths reads /proc/self/cgroup: the path of the process in each
// hierarchy, by controller of version 1; "" is version 2.
func parseCgroupPaths(text []byte) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(string(text)) {
		// A path may hold colons.
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) < 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			paths[controller] = parts[2]
		}
	}
	return paths
}

// cgroupMount is a place where a hierarchy of control groups is mounted.
type cgroupMount struct {
	version int
	// options holds the controllers of version 1.
	options string
	// root is the group that is found at point.
	root, point string
}

// parseCgroupMounts finds the control groups in /proc/self/mountinfo,
// proc_pid_mountinfo(5).
func parseCgroupMounts(text []byte) []cgroupMount {
	var mounts []cgroupMount
	for line := range strings.Lines(string(text)) {
		place, system, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(place), strings.Fields(system)
		if !ok || len(fields) < 6 || len(kind) < 3 {
			continue
		}
		m := cgroupMount{root: unescapeOctal([]byte(fields[3])), point: unescapeOctal([]byte(fields[4])), options: kind[2]}
		switch kind[0] {
		case "cgroup":
			m.version = 1
		case "cgroup2":
			m.version = 2
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// cgroupDir is a control group and the directory where its files are.
type cgroupDir struct {
	version     int
	group, path string
}

// cgroupLevels lists the process's group of a controller and those above it that
// can be seen. A container may see only its own part of the tree (the mount's
// root), or have the whole tree mounted a second time somewhere.
func cgroupLevels(mounts []cgroupMount, paths map[string]string, controller string) []cgroupDir {
	version := 1
	group, ok := paths[controller]
	if !ok {
		version = 2
		if group, ok = paths[""]; !ok {
			return nil
		}
	}
	for _, m := range mounts {
		if m.version != version || version == 1 && !strings.Contains(","+m.options+",", ","+controller+",") {
			continue
		}
		root := strings.TrimSuffix(m.root, "/")
		below, ok := strings.CutPrefix(group, root)
		if !ok || below != "" && below[0] != '/' || strings.HasPrefix(below, "/..") {
			continue // The process is not in the part that is mounted here.
		}
		below = strings.TrimSuffix(below, "/")
		var levels []cgroupDir
		for {
			levels = append(levels, cgroupDir{version, root + below, strings.TrimPrefix(m.point, "/") + below})
			if below == "" {
				return levels
			}
			below = below[:strings.LastIndexByte(below, '/')]
		}
	}
	return nil
}

// Report implements Reading.
func (c *Cgroup) Report(o *Observer) {
	o.Float(cgroupCPULimit, c.CPULimit)
	o.Float(cgroupCPUTime, c.CPUTime)
	o.Float(cgroupCPUUsage, c.CPUUsage)
	o.Float(cgroupCPUThrottled, c.CPUThrottled)
	if c.MemoryLimit > 0 {
		o.Uint(cgroupMemoryLimit, c.MemoryLimit)
		o.Uint(cgroupMemoryUsage, c.MemoryUsage)
		o.Float(cgroupMemoryUtilization, c.MemoryUtilization)
	}
	for i := range c.Groups {
		c.Groups[i].report(o)
	}
}

// Limited reports whether the agent itself has a limit of processors or memory.
func (c *Cgroup) Limited() bool { return c.MemoryLimit > 0 || !math.IsNaN(c.CPULimit) }
