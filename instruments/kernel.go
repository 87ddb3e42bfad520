package instruments

import (
	"bytes"
	"context"
	"runtime"
	"time"

	"sysotel/instruments/sanitize"
)

// Kernel is a reading of what the kernel counts and allots for the whole machine; a
// number above 2^63-1 is unknown.
type Kernel struct {
	misread

	// Interrupts counts all hardware interrupts, Softirqs those that the kernel raises
	// itself by softirqKinds.
	Interrupts uint64
	Softirqs   [softirqs]uint64
	// Running and Blocked are the tasks that can run, and that wait for a disk.
	Running, Blocked uint64
	// Files are the open files of all processes, FilesLimit how many there can be.
	Files, FilesLimit uint64
	// Entropy is that of the random pool and EntropyLimit the pool's size, in bits.
	Entropy, EntropyLimit uint64
	// HungTasks counts tasks that the kernel found hung.
	HungTasks uint64
	// RebootRequired is 1 where an update waits for a reboot, 0 where not,
	// unknownCount where the system would not say so.
	RebootRequired uint64
	// Info names the kernel and the machine.
	Info KernelInfo
	// Guests are the processors' times for virtual machines on this one, in seconds.
	Guests []GuestTime
}

// GuestTime is what guests took of a processor's user and nice time; it can be unknown.
type GuestTime struct {
	// ID is the kernel's name of the processor: cpu0.
	ID         string
	User, Nice float64
}

// KernelInfo is what uname(2) says.
type KernelInfo struct{ System, Release, Version, Machine, Node, Domain string }

const softirqs = 10

// softirqKinds are the softirqs in the kernel's order (include/linux/interrupt.h).
var softirqKinds = [softirqs]string{"hi", "timer", "net_tx", "net_rx", "block", "irq_poll", "tasklet", "sched", "hrtimer", "rcu"}

var (
	kernelInterrupts = &Metric{
		Name: "sysotel.kernel.interrupts", Unit: "{interrupt}", Kind: Counter, Integer: true,
		Help: "Hardware interrupts of all processors.", Source: "/proc/stat, intr",
	}
	kernelSoftirqs = &Metric{
		Name: "sysotel.kernel.softirqs", Unit: "{softirq}", Kind: Counter, Integer: true,
		Keys: []Key{{Name: "kind", Help: "hi, timer, net_tx, net_rx, block, irq_poll, tasklet, sched, hrtimer, rcu"}},
		Help: "Software interrupts of all processors by kind.", Source: "/proc/stat, softirq",
	}
	kernelTasks = &Metric{
		Name: "sysotel.kernel.tasks", Unit: "{task}", Kind: Gauge, Integer: true,
		Keys: []Key{{Name: "state", Help: "running (can run) or blocked (waits for a disk)"}},
		Help: "Threads that can run and that wait for a disk, as the kernel counts them.", Source: "/proc/stat, procs_running and procs_blocked",
	}
	kernelFiles = &Metric{
		Name: "sysotel.kernel.files.usage", Unit: "{file}", Kind: UpDownCounter, Integer: true,
		Help: "Open files of all processes.", Source: "/proc/sys/fs/file-nr, first number",
	}
	kernelFilesLimit = &Metric{
		Name: "sysotel.kernel.files.limit", Unit: "{file}", Kind: UpDownCounter, Integer: true,
		Help: "Open files that all processes together can have.", Source: "/proc/sys/fs/file-nr, third number",
	}
	kernelEntropy = &Metric{
		Name: "sysotel.kernel.entropy.available", Unit: "bit", Kind: Gauge, Integer: true,
		Help: "Entropy of the kernel's random pool.", Source: "/proc/sys/kernel/random/entropy_avail",
	}
	kernelEntropyLimit = &Metric{
		Name: "sysotel.kernel.entropy.limit", Unit: "bit", Kind: Gauge, Integer: true,
		Help: "Size of the kernel's random pool.", Source: "/proc/sys/kernel/random/poolsize",
	}
	kernelHungTasks = &Metric{
		Name: "sysotel.kernel.hung_tasks", Unit: "{task}", Kind: Counter, Integer: true,
		Help: "Tasks that the kernel found hung: blocked for longer than kernel.hung_task_timeout_secs.", Source: "/proc/sys/kernel/hung_task_detect_count, since Linux 6.13",
	}
	kernelReboot = &Metric{
		Name: "sysotel.kernel.reboot_required", Kind: Gauge, Integer: true,
		Help: "1 while an update waits for a reboot of the machine, else 0.", Source: "/run/reboot-required (Debian, Ubuntu); not sent by systems without dpkg",
	}
	kernelGuest = &Metric{
		Name: "sysotel.cpu.guest.time", Unit: "s", Kind: Counter, Keys: []Key{coreKey, {Name: "state", Help: "user or nice"}},
		Help: "Time that virtual machines took of each processor; it is in user and nice of system.cpu.time too.", Source: "/proc/stat, lines cpuN",
	}
	kernelInfo = &Metric{
		Name: "sysotel.kernel.info", Kind: Gauge, Integer: true,
		Keys: []Key{
			{Name: "sysname", Help: "Linux"}, {Name: "release", Help: "release of the kernel"}, {Name: "version", Help: "build of the kernel"},
			{Name: "machine", Help: "architecture: x86_64"}, {Name: "nodename", Help: "host name"}, {Name: "domainname", Help: "NIS domain"},
		},
		Help: "1; the attributes name the kernel as uname(2) does.", Source: "/proc/sys/kernel: ostype, osrelease, version, arch, hostname, domainname, read every 10 s",
	}
)

// kernel reads the kernel's counters.
type kernel struct {
	files, entropy, hung *file
	// counts are the interrupts, the hung tasks and the softirqs.
	counts ledger
	// guests are the guest times of each processor.
	guests map[string]ledger
	slow   slowLane
	// What follows is read on the slow lane.
	poolsize, reboot uint64
	info             KernelInfo
}

// Places of the counters in kernel.counts.
const (
	kernelInterruptsAt = iota
	kernelHungAt
	kernelSoftirqsAt
)

func newKernel() Collector {
	return &kernel{counts: make(ledger, kernelSoftirqsAt+softirqs), guests: map[string]ledger{}}
}

func (*kernel) Name() string { return "kernel" }

func (*kernel) Metrics() []*Metric {
	return []*Metric{
		kernelInterrupts, kernelSoftirqs, kernelTasks, kernelFiles, kernelFilesLimit, kernelEntropy, kernelEntropyLimit,
		kernelHungTasks, kernelReboot, kernelGuest, kernelInfo,
	}
}

func (k *kernel) Read(ctx context.Context, h *Host, t Tick) (Reading, error) {
	if !linux {
		return nil, ErrUnsupported
	}
	if k.files == nil {
		k.files, k.entropy = h.open("proc/sys/fs/file-nr"), h.open("proc/sys/kernel/random/entropy_avail")
		k.hung = h.open("proc/sys/kernel/hung_task_detect_count")
	}
	r := &Kernel{Interrupts: unknownCount, Running: unknownCount, Blocked: unknownCount}
	for i := range r.Softirqs {
		r.Softirqs[i] = unknownCount
	}
	stat, err := h.procStat(ctx, t)
	if err == nil {
		r.Running, r.Blocked, r.misread = stat.running, stat.blocked, stat.oddKernel
		r.Interrupts = k.counts.next(kernelInterruptsAt, stat.interrupts)
		for i, n := range stat.softirqs {
			r.Softirqs[i] = k.counts.next(kernelSoftirqsAt+i, n)
		}
		k.readGuests(r, stat)
	} else { // Some phones and containers close it.
		k.counts.miss()
		r.lost("/proc/stat", err)
	}
	r.Files, r.FilesLimit = k.openFiles(&r.misread)
	r.Entropy = oneCount(k.entropy, &r.misread)
	r.HungTasks = k.counts.next(kernelHungAt, oneCount(k.hung, &r.misread))
	if err != nil && !isCount(r.Files) && !isCount(r.Entropy) {
		return nil, err
	}
	if k.slow.due(h.Now()) {
		k.readSlow(h)
	}
	r.EntropyLimit, r.RebootRequired, r.Info = k.poolsize, k.reboot, k.info
	return r, nil
}

// readGuests follows the times of guests.
func (k *kernel) readGuests(r *Kernel, stat *procStat) {
	seconds := func(ticks uint64) float64 {
		if !isCount(ticks) {
			return unknown
		}
		return float64(ticks) / userHZ
	}
	r.Guests = make([]GuestTime, 0, len(stat.cores))
	for i := range stat.cores {
		core := &stat.cores[i]
		counts := k.guests[core.id]
		if counts == nil {
			counts = make(ledger, 2)
			k.guests[core.id] = counts
		}
		r.Guests = append(r.Guests, GuestTime{core.id, seconds(counts.next(0, core.guest)), seconds(counts.next(1, core.guestNice))})
	}
	if len(k.guests) > 2*len(stat.cores)+8 {
		clear(k.guests) // Processors came and went; those that are here begin anew.
	}
}

// openFiles reads /proc/sys/fs/file-nr, proc_sys_fs(5): allocated, free and most.
func (k *kernel) openFiles(odd *misread) (open, limit uint64) {
	text, err := k.files.read()
	if err != nil {
		odd.lost("/proc/sys/fs/file-nr", err)
		return unknownCount, unknownCount
	}
	text, _, _ = bytes.Cut(text, []byte{'\n'})
	first, rest := cutWord(text)
	_, rest = cutWord(rest)
	third, _ := cutWord(rest)
	var ok bool
	if open, ok = countOf(first); !ok {
		odd.note("/proc/sys/fs/file-nr: allocated", notNumber(first))
	}
	// Where there is no limit the kernel writes 2^63-1 or more, which is no number of files.
	if limit, ok = parseUint(third); !ok {
		odd.note("/proc/sys/fs/file-nr: maximum", notNumber(third))
		limit = unknownCount
	}
	return open, limit
}

// oneCount reads a file of one number; a kernel without it is no fault.
func oneCount(f *file, odd *misread) uint64 {
	text, err := f.read()
	if err != nil {
		odd.lost("/"+f.name, err)
		return unknownCount
	}
	word, _ := cutWord(bytes.TrimSpace(text))
	n, ok := countOf(word)
	if !ok {
		odd.note("/"+f.name, notNumber(word))
	}
	return n
}

// readSlow reads what hardly ever changes.
func (k *kernel) readSlow(h *Host) {
	var ok bool
	if k.poolsize, ok = countOf([]byte(h.readText("proc/sys/kernel/random/poolsize"))); !ok {
		k.poolsize = unknownCount
	}
	switch {
	case h.exists("run/reboot-required"):
		k.reboot = 1
	case h.exists("var/lib/dpkg/status"):
		k.reboot = 0
	default:
		k.reboot = unknownCount
	}
	text := func(name string) string { return sanitize.EscapeControl(h.readText("proc/sys/kernel/" + name)) }
	k.info = KernelInfo{
		System: text("ostype"), Release: text("osrelease"), Version: text("version"), Machine: text("arch"),
		Node: text("hostname"), Domain: text("domainname"),
	}
	if k.info.Machine == "" { // Before Linux 6.1.
		k.info.Machine = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}[runtime.GOARCH]
	}
}

// Report implements Reading.
func (k *Kernel) Report(o *Observer) {
	o.Uint(kernelInterrupts, k.Interrupts)
	for i, n := range k.Softirqs {
		o.Uint(kernelSoftirqs, n, softirqKinds[i])
	}
	o.Uint(kernelTasks, k.Running, "running")
	o.Uint(kernelTasks, k.Blocked, "blocked")
	o.Uint(kernelFiles, k.Files)
	o.Uint(kernelFilesLimit, k.FilesLimit)
	o.Uint(kernelEntropy, k.Entropy)
	o.Uint(kernelEntropyLimit, k.EntropyLimit)
	o.Uint(kernelHungTasks, k.HungTasks)
	o.Uint(kernelReboot, k.RebootRequired)
	for i := range k.Guests {
		g := &k.Guests[i]
		o.Float(kernelGuest, g.User, g.ID, "user")
		o.Float(kernelGuest, g.Nice, g.ID, "nice")
	}
	if i := &k.Info; i.Release != "" {
		o.Int(kernelInfo, 1, i.System, i.Release, i.Version, i.Machine, i.Node, i.Domain)
	}
}

// slowEvery is how often a collector reads what changes little or costs much; between
// two such looks it reports what it saw.
const slowEvery = 10 * time.Second

// slowLane says when it is time for that.
type slowLane struct{ at time.Time }

// due reports whether it is time by the running clock, and takes it as done.
func (s *slowLane) due(now time.Time) bool {
	if !s.at.IsZero() && now.Sub(s.at) < slowEvery {
		return false
	}
	s.at = now
	return true
}
