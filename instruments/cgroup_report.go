package instruments

import (
	"math"
	"strconv"
)

var (
	groupPathKey = Key{Name: "cgroup", Help: "path of the control group; what is beyond instruments.cgroup.names is others"}
	groupKindKey = Key{Name: "kind", Help: "service, scope, slice, unit (mount, socket, swap area), container, pod, vm, session, user, or group where the path does not say what it is"}
	groupUnitKey = Key{Name: "systemd.unit.name", Help: "systemd unit of the group, as systemctl writes it; left out where it has none"}
	groupIDKey   = Key{Name: "container.id", Help: "identifier of the container, or its name where it has none; left out on other groups"}
	groupPodKey  = Key{Name: "k8s.pod.uid", Help: "UID of the Kubernetes pod that the group is part of"}
	runtimeKey   = Key{Name: "container.runtime.name", Help: "docker, podman, containerd, cri-o, lxc or systemd-nspawn; left out where the path does not say it"}
	groupModeKey = Key{Name: "state", Semconv: "cpu.mode", Help: "user or system"}
	groupIOKey   = Key{Name: "direction", Semconv: "disk.io.direction", Help: "read or write"}
)

// groupKeys are the keys of a metric of all groups, before those of its own.
func groupKeys(more ...Key) []Key {
	return append([]Key{groupPathKey, groupKindKey, groupUnitKey, groupIDKey, groupPodKey}, more...)
}

const (
	groupCPUSource    = "cpu.stat, or cpuacct.usage_user and cpuacct.usage_sys"
	groupMemorySource = "memory.stat"
)

var (
	groupCPUTimeMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.time", Unit: "s", Kind: Counter, Keys: groupKeys(groupModeKey),
		Help: "CPU time used by each control group and those below it.", Source: groupCPUSource,
	}
	groupCPUUsageMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.usage", Unit: "{cpu}", Kind: Gauge, Keys: groupKeys(),
		Help: "Number of processors that each control group used in the last tick.", Source: "difference of sysotel.cgroup.group.cpu.time over the time that passed",
	}
	groupCPULimitMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.limit", Unit: "{cpu}", Kind: Gauge, Keys: groupKeys(),
		Help: "Number of processors that each control group's own limit allows; no point without one. Read every 10 s.", Source: "cpu.max, or cpu.cfs_quota_us over cpu.cfs_period_us",
	}
	groupPeriodsMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.periods", Unit: "{period}", Kind: Counter, Integer: true, Keys: groupKeys(),
		Help: "Periods for which each control group's own CPU limit was in force.", Source: "cpu.stat, nr_periods",
	}
	groupThrottledPeriodsMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.throttled.periods", Unit: "{period}", Kind: Counter, Integer: true, Keys: groupKeys(),
		Help: "Periods in which each control group was held back by its own CPU limit.", Source: "cpu.stat, nr_throttled",
	}
	groupThrottledTimeMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.throttled.time", Unit: "s", Kind: Counter, Keys: groupKeys(),
		Help: "Time for which each control group was held back by its own CPU limit, summed over processors: it can exceed the time that passed.", Source: "cpu.stat, throttled_usec or throttled_time",
	}
	groupThrottledRatioMetric = &Metric{
		Name: "sysotel.cgroup.group.cpu.throttled.ratio", Unit: "1", Kind: Gauge, Keys: groupKeys(),
		Help: "Share of the last tick's periods in which each control group or one above it was held back by a CPU limit: the largest of them. No point where no limit is in force.", Source: "difference of nr_throttled over that of nr_periods, of cpu.stat of the group and those above it",
	}
	groupMemoryMetric = &Metric{
		Name: "sysotel.cgroup.group.memory.usage", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: groupKeys(),
		Help: "Memory that is charged to each control group. File cache is charged to the group that touched the file first.", Source: "memory.current or memory.usage_in_bytes",
	}
	groupWorkingSetMetric = &Metric{
		Name: "sysotel.cgroup.group.memory.working_set", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: groupKeys(),
		Help: "Memory that is charged to each control group without the file cache that was not used recently.", Source: "sysotel.cgroup.group.memory.usage less inactive_file of memory.stat",
	}
	groupPartMetric = &Metric{
		Name: "sysotel.cgroup.group.memory.part", Unit: "By", Kind: UpDownCounter, Integer: true,
		Keys: groupKeys(Key{Name: "part", Help: "anon (of programs), file (cache and shared memory), kernel (with slabs and page tables; version 2 only), swap (moved out, not part of the usage)"}),
		Help: "What the memory of each control group is used for.", Source: groupMemorySource + ", memory.swap.current",
	}
	groupMemoryLimitMetric = &Metric{
		Name: "sysotel.cgroup.group.memory.limit", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: groupKeys(),
		Help: "Each control group's own memory limit; no point without one. Read every 10 s.", Source: "memory.max or memory.limit_in_bytes",
	}
	groupMemoryUtilizationMetric = &Metric{
		Name: "sysotel.cgroup.group.memory.utilization", Unit: "1", Kind: Gauge, Keys: groupKeys(),
		Help: "Share of each control group's own memory limit in use.", Source: "sysotel.cgroup.group.memory.working_set over sysotel.cgroup.group.memory.limit",
	}
	groupEventsMetric = &Metric{
		Name: "sysotel.cgroup.group.memory.events", Unit: "{event}", Kind: Counter, Integer: true,
		Keys: groupKeys(Key{Name: "event", Help: "the kernel's word: low (reclaimed below its protection), high (slowed at memory.high), max (at its limit), oom (could not be given memory), oom_kill (processes killed for it); version 1 has max and oom_kill"}),
		Help: "What happened to each control group for lack of memory. Version 1 counts those below it apart.", Source: "memory.events; version 1 memory.failcnt and oom_kill of memory.oom_control",
	}
	groupIOMetric = &Metric{
		Name: "sysotel.cgroup.group.disk.io", Unit: "By", Kind: Counter, Integer: true, Keys: groupKeys(groupIOKey),
		Help: "Bytes that each control group read from and wrote to devices, each layer of stacked devices once.", Source: "io.stat or blkio.throttle.io_service_bytes_recursive, summed over devices that stand on no other",
	}
	groupPressureMetric = &Metric{
		Name: "sysotel.cgroup.group.pressure.time", Unit: "s", Kind: Counter,
		Keys: groupKeys(Key{Name: "resource", Help: "cpu, memory or io"}, Key{Name: "stall", Help: "some: at least one thread waited; full: all that had something to do"}),
		Help: "Time in which threads of each control group waited for a resource.", Source: "cpu.pressure, memory.pressure and io.pressure of version 2",
	}
	groupProcessesMetric = &Metric{
		Name: "sysotel.cgroup.group.processes", Unit: "{process}", Kind: UpDownCounter, Integer: true, Keys: groupKeys(),
		Help: "Processes in each control group and those below it, without zombies. Read every 10 s.", Source: "cgroup.procs",
	}

	// The semantic conventions' names for containers and pods, and the Collector's for services.
	containerCPUTime = &Metric{
		Name: "container.cpu.time", Unit: "s", Kind: Counter, Keys: []Key{groupIDKey, runtimeKey, groupPodKey, groupModeKey},
		Help: "CPU time used by each container.", Source: groupCPUSource,
	}
	containerMemoryUsage = &Metric{
		Name: "container.memory.usage", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{groupIDKey, runtimeKey, groupPodKey},
		Help: "Memory that is charged to each container.", Source: groupMemoryMetric.Source,
	}
	containerMemoryWorkingSet = &Metric{
		Name: "container.memory.working_set", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{groupIDKey, runtimeKey, groupPodKey},
		Help: "Memory of each container without the file cache that was not used recently.", Source: groupWorkingSetMetric.Source,
	}
	containerMemoryRSS = &Metric{
		Name: "container.memory.rss", Unit: "By", Kind: UpDownCounter, Integer: true, Keys: []Key{groupIDKey, runtimeKey, groupPodKey},
		Help: "Memory of each container's programs.", Source: groupMemorySource + ", anon or total_rss",
	}
	containerDiskIO = &Metric{
		Name: "container.disk.io", Unit: "By", Kind: Counter, Integer: true, Keys: []Key{groupIDKey, runtimeKey, groupPodKey, groupIOKey},
		Help: "Bytes that each container read and wrote.", Source: groupIOMetric.Source,
	}
	podCPUTime = &Metric{
		Name: "k8s.pod.cpu.time", Unit: "s", Kind: Counter, Keys: []Key{groupPodKey},
		Help: "CPU time used by each Kubernetes pod.", Source: groupCPUSource,
	}
	podMemoryUsage = &Metric{
		Name: "k8s.pod.memory.usage", Unit: "By", Kind: Gauge, Integer: true, Keys: []Key{groupPodKey},
		Help: "Memory that is charged to each Kubernetes pod.", Source: groupMemoryMetric.Source,
	}
	podMemoryWorkingSet = &Metric{
		Name: "k8s.pod.memory.working_set", Unit: "By", Kind: Gauge, Integer: true, Keys: []Key{groupPodKey},
		Help: "Memory of each Kubernetes pod without the file cache that was not used recently.", Source: groupWorkingSetMetric.Source,
	}
	podMemoryRSS = &Metric{
		Name: "k8s.pod.memory.rss", Unit: "By", Kind: Gauge, Integer: true, Keys: []Key{groupPodKey},
		Help: "Memory of each Kubernetes pod's programs.", Source: groupMemorySource + ", anon or total_rss",
	}
	serviceCPUTime = &Metric{
		Name: "systemd.service.cpu.time", Unit: "s", Kind: Counter, Keys: []Key{groupUnitKey, groupModeKey},
		Help: "CPU time used by each systemd service.", Source: groupCPUSource,
	}
)

// summed are the counts that are reported of the sum of groups: the rest has no sum.
func summed(i int) bool { return i < groupCPUSome || i > groupIOFull }

// fold gives names to the groups and adds up those that have none. Groups that are sums
// of others are left out of that: nothing is counted twice.
func (t *groupTree) fold(r *Cgroup, tick Tick, processors int, memory uint64) {
	seconds := tick.Interval.Seconds()
	t.roster.begin()
	shown := 0
	for _, n := range t.order {
		if n.last.IsZero() {
			continue // It ended while it was read.
		}
		shown++
		share := orZero(n.one.CPUUsage) / float64(max(processors, 1))
		if isCount(n.one.WorkingSet) && memory > 0 {
			share += float64(n.one.WorkingSet) / float64(memory) / 10
		}
		t.roster.see(&n.place, true, share, seconds)
	}
	if t.roster.choose(seconds, tick.Halved) > 0 && t.others == nil {
		t.others = &ControlGroup{GroupName: GroupName{Kind: GroupOther, Path: otherNames, Name: otherNames}, Sum: true}
	}
	r.Groups = make([]ControlGroup, 0, shown+1)
	unnamed := 0
	for _, n := range t.order {
		if !n.last.IsZero() && n.place.named {
			r.Groups = append(r.Groups, n.one)
		} else if !n.last.IsZero() {
			unnamed++
		}
	}
	if t.others == nil {
		return
	}
	o := t.others
	o.CPUUsage, o.CPULimit, o.ThrottledRatio, o.MemoryUtilization = 0, unknown, unknown, unknown
	o.ReadPerSecond, o.WrittenPerSecond = 0, 0
	gauges := func(g *ControlGroup) [7]*uint64 {
		return [7]*uint64{&g.Memory, &g.WorkingSet, &g.Anon, &g.File, &g.Kernel, &g.Swap, &g.Processes}
	}
	for _, to := range gauges(o) {
		*to = 0
	}
	r.Unnamed = make([]ControlGroup, 0, unnamed)
	for _, n := range t.order {
		if n.last.IsZero() {
			continue
		}
		g := &n.one
		if !g.Inner && (!n.place.named || !n.place.was) {
			for i, grown := range g.grown {
				if grown > 0 {
					o.Counts[i] += uint64(grown)
				}
			}
		}
		if n.place.named {
			continue
		}
		r.Unnamed = append(r.Unnamed, *g)
		if g.Inner {
			continue
		}
		o.CPUUsage += orZero(g.CPUUsage)
		o.ReadPerSecond += orZero(g.ReadPerSecond)
		o.WrittenPerSecond += orZero(g.WrittenPerSecond)
		from := gauges(g)
		for i, to := range gauges(o) {
			if isCount(*from[i]) {
				*to += *from[i]
			}
		}
	}
	sum := *o
	for i := range sum.Counts {
		if !summed(i) {
			sum.Counts[i] = unknownCount
		}
	}
	r.Groups = append(r.Groups, sum)
}

// Folded implements Folder.
func (c *Cgroup) Folded() (things int, full bool) { return len(c.Unnamed), len(c.Unnamed) > 0 }

var (
	groupEventNames = [...]string{"low", "high", "max", "oom", "oom_kill"}
	groupStallNames = [...][2]string{{"cpu", "some"}, {"memory", "some"}, {"memory", "full"}, {"io", "some"}, {"io", "full"}}
)

// report hands one group's numbers to the observer.
func (g *ControlGroup) report(o *Observer) {
	path, kind, unit, id, pod := g.Path, g.Kind, g.Unit, g.Container, g.Pod
	user, system := secondsOf(g.Counts[groupUserTime]), secondsOf(g.Counts[groupSystemTime])
	o.Float(groupCPUTimeMetric, user, path, kind, unit, id, pod, "user")
	o.Float(groupCPUTimeMetric, system, path, kind, unit, id, pod, "system")
	o.Float(groupCPUUsageMetric, g.CPUUsage, path, kind, unit, id, pod)
	o.Float(groupCPULimitMetric, g.CPULimit, path, kind, unit, id, pod)
	if g.Counts[groupPeriods] > 0 { // Without a limit there are none.
		o.Uint(groupPeriodsMetric, g.Counts[groupPeriods], path, kind, unit, id, pod)
		o.Uint(groupThrottledPeriodsMetric, g.Counts[groupThrottledPeriods], path, kind, unit, id, pod)
		o.Float(groupThrottledTimeMetric, secondsOf(g.Counts[groupThrottledTime]), path, kind, unit, id, pod)
	}
	o.Float(groupThrottledRatioMetric, g.ThrottledRatio, path, kind, unit, id, pod)
	o.Uint(groupMemoryMetric, g.Memory, path, kind, unit, id, pod)
	o.Uint(groupWorkingSetMetric, g.WorkingSet, path, kind, unit, id, pod)
	o.Uint(groupPartMetric, g.Anon, path, kind, unit, id, pod, "anon")
	o.Uint(groupPartMetric, g.File, path, kind, unit, id, pod, "file")
	o.Uint(groupPartMetric, g.Kernel, path, kind, unit, id, pod, "kernel")
	o.Uint(groupPartMetric, g.Swap, path, kind, unit, id, pod, "swap")
	if g.MemoryLimit > 0 {
		o.Uint(groupMemoryLimitMetric, g.MemoryLimit, path, kind, unit, id, pod)
		o.Float(groupMemoryUtilizationMetric, g.MemoryUtilization, path, kind, unit, id, pod)
	}
	for i, event := range groupEventNames {
		o.Uint(groupEventsMetric, g.Counts[groupEventLow+i], path, kind, unit, id, pod, event)
	}
	o.Uint(groupIOMetric, g.Counts[groupReadBytes], path, kind, unit, id, pod, "read")
	o.Uint(groupIOMetric, g.Counts[groupWrittenBytes], path, kind, unit, id, pod, "write")
	for i, stall := range groupStallNames {
		o.Float(groupPressureMetric, secondsOf(g.Counts[groupCPUSome+i]), path, kind, unit, id, pod, stall[0], stall[1])
	}
	o.Uint(groupProcessesMetric, g.Processes, path, kind, unit, id, pod)
	switch g.Kind {
	case GroupContainer:
		o.Float(containerCPUTime, user, id, g.Runtime, pod, "user")
		o.Float(containerCPUTime, system, id, g.Runtime, pod, "system")
		o.Uint(containerMemoryUsage, g.Memory, id, g.Runtime, pod)
		o.Uint(containerMemoryWorkingSet, g.WorkingSet, id, g.Runtime, pod)
		o.Uint(containerMemoryRSS, g.Anon, id, g.Runtime, pod)
		o.Uint(containerDiskIO, g.Counts[groupReadBytes], id, g.Runtime, pod, "read")
		o.Uint(containerDiskIO, g.Counts[groupWrittenBytes], id, g.Runtime, pod, "write")
	case GroupPod:
		o.Float(podCPUTime, math.Max(user+system, 0), pod)
		o.Uint(podMemoryUsage, g.Memory, pod)
		o.Uint(podMemoryWorkingSet, g.WorkingSet, pod)
		o.Uint(podMemoryRSS, g.Anon, pod)
	case GroupService:
		o.Float(serviceCPUTime, user, unit, "user")
		o.Float(serviceCPUTime, system, unit, "system")
	}
}

func formatDevice(d ioDevice) string {
	return strconv.FormatUint(d.major, 10) + ":" + strconv.FormatUint(d.minor, 10)
}
