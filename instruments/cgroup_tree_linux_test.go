package instruments

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// groupBench is a machine with control groups made of files, and its own clock.
type groupBench struct {
	t         testing.TB
	tree      string
	h         *Host
	c         Collector
	now       time.Time
	seq       uint64
	collected *Cgroup
}

func newGroupBench(t testing.TB, mounts string) *groupBench {
	b := &groupBench{t: t, tree: t.TempDir(), now: time.Unix(1_700_000_000, 0)}
	b.write("proc/1/mountinfo", mounts)
	b.write("proc/stat", "cpu 1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n")
	b.write("proc/meminfo", "MemTotal: 8000000 kB\n")
	b.h = NewHost(b.tree)
	b.h.own = &Host{root: b.tree + "/own"}
	b.h.Now = func() time.Time { return b.now }
	b.c = newCgroup(Defaults())
	return b
}

const (
	v2Mount = "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	v1Mount = "1 2 0:3 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n2 2 0:4 / /cg/memory rw - cgroup cgroup rw,memory\n3 2 0:5 / /cg/blkio rw - cgroup cgroup rw,blkio\n4 2 0:6 / /cg/pids rw - cgroup cgroup rw,pids\n5 2 0:7 / /cg/unified rw - cgroup2 cgroup2 rw\n"
)

func (b *groupBench) write(name, text string) {
	b.t.Helper()
	path := filepath.Join(b.tree, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// group writes files of a group of version 2: name, text, name, text ...
func (b *groupBench) group(path string, files ...string) {
	b.t.Helper()
	for i := 0; i < len(files); i += 2 {
		b.write("sys/fs/cgroup/"+path+"/"+files[i], files[i+1])
	}
}

func (b *groupBench) remove(path string) {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.tree, path)); err != nil {
		b.t.Fatal(err)
	}
}

// tick reads a second later, and returns the groups by their path.
func (b *groupBench) tick() map[string]*ControlGroup {
	b.t.Helper()
	b.seq++
	b.now = b.now.Add(time.Second)
	r, err := b.c.Read(b.t.Context(), b.h, Tick{Seq: b.seq, Interval: time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	b.collected = r.(*Cgroup)
	found := map[string]*ControlGroup{}
	for i := range b.collected.Groups {
		found[b.collected.Groups[i].Path] = &b.collected.Groups[i]
	}
	return found
}

func isNear(t testing.TB, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9*math.Max(1, math.Abs(want))) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// TestGroupsVersion2: every number of a group, and what the kernel writes that is odd.
func TestGroupsVersion2(t *testing.T) {
	b := newGroupBench(t, v2Mount)
	for _, device := range []string{"8:0", "9:0", "253:0"} {
		b.write("sys/dev/block/"+device+"/size", "1")
	}
	b.write("sys/dev/block/253:0/slaves/sda/size", "1")
	b.write("sys/dev/block/9:0/slaves/sda/size", "1")
	const web = "system.slice/web.service"
	b.group(web,
		"cpu.stat", "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 2\nthrottled_usec 500000\n",
		"cpu.max", "150000 100000\n", "memory.current", "1000000\n", "memory.max", "2000000\n", "memory.swap.current", "4096\n",
		"memory.stat", "anon 300000\nfile 500000\nkernel 50000\nkernel_stack 1\nslab 40000\npagetables 10000\ninactive_file 400000\n",
		"memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n",
		"io.stat", "8:0 rbytes=1000 wbytes=2000 rios=1 wios=2 dbytes=0 dios=0\n253:0 rbytes=1000 wbytes=2000\n9:0 rbytes=1000 wbytes=2000\n7:0 rbytes=9 wbytes=9\n8:16 \n",
		"cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\n",
		"cgroup.procs", "10\n11\n")
	b.group(web+"/worker", "cgroup.procs", "12\n")
	b.group("system.slice", "cpu.stat", "user_usec 2000000\nsystem_usec 1000000\n", "cgroup.procs", "")
	first := b.tick()["/"+web]
	if first == nil {
		t.Fatalf("the groups are %+v", b.collected.Groups)
	}
	if first.Kind != GroupService || first.Unit != "web.service" || !math.IsNaN(first.CPUUsage) || !math.IsNaN(first.ReadPerSecond) || !math.IsNaN(first.ThrottledRatio) {
		t.Errorf("at first sight there is no rate: %+v", first)
	}
	b.group(web,
		"cpu.stat", "usage_usec 4500000\nuser_usec 3000000\nsystem_usec 1500000\nnr_periods 20\nnr_throttled 9\nthrottled_usec 5500000\n",
		"io.stat", "8:0 rbytes=4000 wbytes=2000\n253:0 rbytes=4000 wbytes=2000\n8:16 rbytes=10 wbytes=5\n")
	g := b.tick()["/"+web]
	isNear(t, "user time", secondsOf(g.Counts[groupUserTime]), 3)
	isNear(t, "system time", secondsOf(g.Counts[groupSystemTime]), 1.5)
	isNear(t, "usage", g.CPUUsage, 1.5)
	isNear(t, "limit", g.CPULimit, 1.5)
	isNear(t, "throttled time", secondsOf(g.Counts[groupThrottledTime]), 5.5)
	isNear(t, "throttled ratio", g.ThrottledRatio, 0.7)
	isNear(t, "read", g.ReadPerSecond, 3010)
	isNear(t, "written", g.WrittenPerSecond, 5)
	isNear(t, "utilization", g.MemoryUtilization, 0.3)
	got := fmt.Sprint(g.Memory, g.WorkingSet, g.Anon, g.File, g.Kernel, g.Swap, g.MemoryLimit, g.Processes, g.Counts[groupEventLow:groupEventOOMKill+1], g.Counts[groupReadBytes:], g.Counts[groupCPUSome:groupIOSome])
	want := "1000000 600000 300000 500000 50000 4096 2000000 3 [0 1 2 3 4] [4010 2005] [1000000000 2000000000 1500000000]"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if slice := b.tick()["/system.slice"]; slice.Processes != 3 || !slice.Inner || slice.MemoryLimit != 0 || isCount(slice.Memory) {
		t.Errorf("the slice is %+v", slice)
	}
	if len(b.collected.Missing()) > 0 {
		t.Errorf("missing: %v", b.collected.Missing())
	}
}

// TestGroupNumbersThatCannotBe: each is unknown by itself and named.
func TestGroupNumbersThatCannotBe(t *testing.T) {
	b := newGroupBench(t, v2Mount)
	b.group("a.service", "cpu.stat", "user_usec x\nsystem_usec 1000000\n", "memory.current", "-1\n", "memory.stat", "anon 1\nfile\n", "memory.events", "max -3\noom 1\n", "cpu.max", "lots\n")
	g := b.tick()["/a.service"]
	if isCount(g.Counts[groupUserTime]) || g.Counts[groupSystemTime] != 1e9 || isCount(g.Memory) || isCount(g.WorkingSet) || g.Anon != 1 || isCount(g.File) || isCount(g.Counts[groupEventMax]) || g.Counts[groupEventOOM] != 1 || !math.IsNaN(g.CPULimit) {
		t.Errorf("got %+v", g)
	}
	text := fmt.Sprint(b.collected.Missing())
	for _, part := range []string{"/a.service/cpu.stat: user_usec", "/a.service/memory.current", "/a.service/memory.stat: file", "/a.service/memory.events: max"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not named in %s", part, text)
		}
	}
	Visit(b.collected, func(m *Metric, v float64, _ []string) {
		if v < 0 || m == groupMemoryMetric {
			t.Errorf("%s reports %v", m.Name, v)
		}
	})
}

// TestThrottledFromAbove: a group without a limit of its own is held back by those above it.
func TestThrottledFromAbove(t *testing.T) {
	b := newGroupBench(t, v2Mount)
	write := func(periods, throttled int) {
		b.group("a.slice", "cpu.stat", fmt.Sprintf("user_usec 1\nsystem_usec 1\nnr_periods %d\nnr_throttled %d\nthrottled_usec 1\n", periods, throttled))
		b.group("a.slice/b.slice", "cpu.stat", fmt.Sprintf("user_usec 1\nsystem_usec 1\nnr_periods %d\nnr_throttled 1\nthrottled_usec 1\n", periods))
		b.group("a.slice/b.slice/c.service", "cpu.stat", "user_usec 1\nsystem_usec 1\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n")
		b.group("d.service", "cpu.stat", "user_usec 1\nsystem_usec 1\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n")
	}
	write(10, 1)
	b.tick()
	write(20, 7)
	found := b.tick()
	c := found["/a.slice/b.slice/c.service"]
	if isNear(t, "the share", c.ThrottledRatio, 0.6); c.ThrottledBy != "/a.slice" {
		t.Errorf("it is held back by %q", c.ThrottledBy)
	}
	if d := found["/d.service"]; !math.IsNaN(d.ThrottledRatio) || d.ThrottledBy != "" {
		t.Errorf("a group without a limit: %v by %q", d.ThrottledRatio, d.ThrottledBy)
	}
}

// TestGroupEnds: what vanished is not 0 but ended; another group under its name begins anew.
func TestGroupEnds(t *testing.T) {
	b := newGroupBench(t, v2Mount)
	cpu := func(path string, usec int) {
		b.group(path, "cpu.stat", fmt.Sprintf("user_usec %d\nsystem_usec 0\n", usec), "io.stat", fmt.Sprintf("8:0 rbytes=%d wbytes=0\n", usec))
	}
	cpu("a.service", 1e6)
	cpu("b.slice/c.service", 1e6)
	b.tick()
	b.remove("sys/fs/cgroup/b.slice")
	b.now = b.now.Add(slowEvery)
	if found := b.tick(); len(found) != 1 || found["/a.service"] == nil {
		t.Errorf("after its end there are %v", found)
	}
	cpu("b.slice/c.service", 5e6)
	b.now = b.now.Add(slowEvery)
	if c := b.tick()["/b.slice/c.service"]; c == nil || c.Counts[groupUserTime] != 5e9 || !math.IsNaN(c.CPUUsage) {
		t.Errorf("made again: %+v", c)
	}
	// Within a tick: the inode is another one, and the old directory still exists.
	if err := os.Rename(b.tree+"/sys/fs/cgroup/a.service", b.tree+"/old"); err != nil {
		t.Fatal(err)
	}
	cpu("a.service", 9e6)
	b.now = b.now.Add(slowEvery)
	if a := b.tick()["/a.service"]; a == nil || a.CPUUsage == a.CPUUsage || a.ReadPerSecond == a.ReadPerSecond || a.Counts[groupUserTime] != 0 {
		t.Errorf("replaced: %+v", a)
	}
	cpu("a.service", 9.5e6)
	if a := b.tick()["/a.service"]; a.Counts[groupUserTime] != 9.5e9 {
		t.Errorf("a tick later: %+v", a)
	}
}

// TestGroupsAreBounded: so many have a name, the sums are true, and nothing is counted twice.
func TestGroupsAreBounded(t *testing.T) {
	b := newGroupBench(t, v2Mount)
	const n = 130
	write := func(step int) {
		b.group("system.slice", "cpu.stat", fmt.Sprintf("user_usec %d\nsystem_usec 0\n", step*n*1000))
		for i := range n {
			b.group(fmt.Sprintf("system.slice/s%03d.service", i), "cpu.stat", fmt.Sprintf("user_usec %d\nsystem_usec 0\n", step*1000), "memory.current", "4096\n")
		}
	}
	sums := func() (cpu, memory float64, named int) {
		for _, g := range b.collected.Groups {
			if !g.Inner {
				cpu += secondsOf(g.Counts[groupUserTime])
				memory += float64(g.Memory)
				named++
			}
		}
		return cpu, memory, named
	}
	write(1)
	b.tick()
	before, _, _ := sums()
	write(2)
	found := b.tick()
	after, memory, named := sums()
	isNear(t, "the growth of all", after-before, n*0.001)
	isNear(t, "memory of all", memory, n*4096)
	if others := found[otherNames]; others == nil || !others.Sum || named > defaultNames+1 {
		t.Errorf("%d groups have a name, others is %+v", named, others)
	}
	if things, full := b.collected.Folded(); things != n+1-defaultNames || !full {
		t.Errorf("%d are folded, %v", things, full)
	}
}

// TestGroupsVersion1: the same of a tree for each controller.
func TestGroupsVersion1(t *testing.T) {
	b := newGroupBench(t, v1Mount)
	id := strings.Repeat("ab", 32)
	at := func(controller, name, text string) { b.write("cg/"+controller+"/docker/"+id+"/"+name, text) }
	at("cpu", "cpu.stat", "nr_periods 10\nnr_throttled 5\nthrottled_time 2000000000\n")
	at("cpu", "cpuacct.usage_user", "1000000000\n")
	at("cpu", "cpuacct.usage_sys", "500000000\n")
	at("cpu", "cpu.cfs_quota_us", "50000\n")
	at("cpu", "cpu.cfs_period_us", "100000\n")
	at("memory", "memory.usage_in_bytes", "1000000\n")
	at("memory", "memory.limit_in_bytes", "9223372036854771712\n")
	at("memory", "memory.failcnt", "7\n")
	at("memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
	at("memory", "memory.stat", "cache 1\nrss 1\ninactive_file 1\ntotal_cache 600000\ntotal_rss 300000\ntotal_swap 100\ntotal_inactive_file 200000\n")
	at("blkio", "blkio.throttle.io_service_bytes_recursive", "8:0 Read 100\n8:0 Write 200\n8:0 Sync 300\n8:0 Discard 0\n8:0 Total 300\nTotal 300\n")
	at("pids", "cgroup.procs", "5\n6\n")
	at("unified", "cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n")
	b.tick()
	g := b.tick()["/docker/"+id]
	if g == nil {
		t.Fatalf("the groups are %+v", b.collected.Groups)
	}
	got := fmt.Sprint(g.Kind, g.Runtime, g.Counts[:5], g.CPULimit, g.Memory, g.WorkingSet, g.Anon, g.File, g.Swap, g.MemoryLimit, g.Counts[groupEventMax], g.Counts[groupEventOOMKill], g.Counts[groupReadBytes:], g.Processes, g.Counts[groupCPUSome])
	want := "containerdocker[1000000000 500000000 2000000000 10 5] 0.5 1000000 800000 300000 600000 100 0 7 2 [100 200] 2 7000"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// skipGroups skips a test that needs real control groups, and fails it in CI.
func skipGroups(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("CI must run this: %s", why)
	}
	t.Skip(why)
}

// realGroup makes a control group of the test's own in a controller of version 1.
func realGroup(t *testing.T, controller, name string) string {
	t.Helper()
	dir := "/sys/fs/cgroup/" + controller + "/" + name
	if _, err := os.Stat("/sys/fs/cgroup/" + controller + "/cgroup.procs"); err != nil {
		skipGroups(t, "no control groups of version 1 for "+controller)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		skipGroups(t, "control groups cannot be made: "+err.Error())
	}
	t.Cleanup(func() {
		for range 100 {
			if os.Remove(dir) == nil {
				return
			}
			<-time.After(20 * time.Millisecond)
		}
		t.Errorf("%s cannot be removed", dir)
	})
	return dir
}

func setGroup(t *testing.T, dir, file, value string) {
	t.Helper()
	if err := os.WriteFile(dir+"/"+file, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readGroups reads this machine.
func readGroups(t *testing.T, c Collector, h *Host, seq uint64) map[string]*ControlGroup {
	t.Helper()
	r, err := c.Read(t.Context(), h, Tick{Seq: seq, Interval: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*ControlGroup{}
	groups := append(r.(*Cgroup).Groups, r.(*Cgroup).Unnamed...)
	for i := range groups {
		found[groups[i].Path] = &groups[i]
	}
	return found
}

// TestThrottledGroup: a child burns in a group that may have a fifth of a processor.
func TestThrottledGroup(t *testing.T) {
	name := fmt.Sprintf("sysotel-test-%d", os.Getpid())
	h, c := NewHost("/"), newCgroup(Defaults())
	readGroups(t, c, h, 1)
	dir := realGroup(t, "cpu", name)
	account := realGroup(t, "cpuacct", name)
	// A kernel may look only at its ticks, ten milliseconds apart, whether more is used.
	setGroup(t, dir, "cpu.cfs_period_us", "100000")
	setGroup(t, dir, "cpu.cfs_quota_us", "20000")
	burner := exec.Command("/bin/sh", "-c", "read x; while :; do :; done")
	in, err := burner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := burner.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = burner.Process.Kill(); _ = burner.Wait() }
	defer stop()
	for _, d := range []string{dir, account} {
		setGroup(t, d, "cgroup.procs", strconv.Itoa(burner.Process.Pid))
	}
	if g := readGroups(t, c, h, 2)["/"+name]; g == nil {
		t.Fatal("the new group is not found at the next tick")
	}
	_, _ = in.Write([]byte("go\n"))
	begun := time.Now()
	<-time.After(3 * time.Second)
	g := readGroups(t, c, h, 3)["/"+name]
	took := time.Since(begun).Seconds()
	used := secondsOf(g.Counts[groupUserTime]) + secondsOf(g.Counts[groupSystemTime])
	t.Logf("%.3f s of CPU time in %.3f s, throttled in %.2f of %d periods for %.2f s", used, took, g.ThrottledRatio, g.Counts[groupPeriods], secondsOf(g.Counts[groupThrottledTime]))
	if used < 0.1*took || used > 0.35*took {
		t.Errorf("a fifth of a processor is used %.3f s in %.3f s", used, took)
	}
	isNear(t, "the limit", g.CPULimit, 0.2)
	if g.ThrottledRatio < 0.5 || g.ThrottledBy != "/"+name {
		t.Errorf("it is throttled in %v of its periods, by %q", g.ThrottledRatio, g.ThrottledBy)
	}
	stop()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(account); err != nil {
		t.Fatal(err)
	}
	if g := readGroups(t, c, h, 4)["/"+name]; g != nil {
		t.Errorf("a group that ended is still there: %+v", g)
	}
	for _, d := range []string{dir, account} { // For the cleanup.
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKilledInGroup: a child fills a group up to its memory limit, and is killed.
func TestKilledInGroup(t *testing.T) {
	name := fmt.Sprintf("sysotel-test-oom-%d", os.Getpid())
	dir := realGroup(t, "memory", name)
	const limit = 64 << 20
	setGroup(t, dir, "memory.limit_in_bytes", strconv.Itoa(limit))
	h, c := NewHost("/"), newCgroup(Defaults())
	if g := readGroups(t, c, h, 1)["/"+name]; g == nil || g.MemoryLimit != limit || g.Counts[groupEventOOMKill] != 0 {
		t.Fatalf("before: %+v", g)
	}
	// tail keeps what has no line, in memory.
	fill := func(bytes int) (*exec.Cmd, error) {
		cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("echo $$ > %s/cgroup.procs; (head -c %d /dev/zero; sleep 2) | tail", dir, bytes))
		return cmd, cmd.Start()
	}
	cmd, err := fill(32 << 20)
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	g := readGroups(t, c, h, 2)["/"+name]
	t.Logf("with 32 MiB: %d charged, %d anonymous, working set %d", g.Memory, g.Anon, g.WorkingSet)
	if g.Anon < 32<<20 || g.Anon > 60<<20 || g.MemoryUtilization < 0.5 {
		t.Errorf("32 MiB are %d bytes, %v of the limit", g.Anon, g.MemoryUtilization)
	}
	_ = cmd.Wait()
	if cmd, err = fill(200 << 20); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	g = readGroups(t, c, h, 3)["/"+name]
	if g.Counts[groupEventOOMKill] < 1 || g.Counts[groupEventMax] < 1 {
		t.Errorf("%d processes were killed, %d times at the limit", g.Counts[groupEventOOMKill], g.Counts[groupEventMax])
	}
}

// BenchmarkHundredGroups reads 100 real control groups.
func BenchmarkHundredGroups(b *testing.B) {
	var dirs []string
	for _, controller := range []string{"cpu", "cpuacct", "memory", "blkio", "pids", "unified"} {
		for i := range 100 {
			dir := fmt.Sprintf("/sys/fs/cgroup/%s/sysotel-bench-%d-%d", controller, os.Getpid(), i)
			if err := os.Mkdir(dir, 0o755); err != nil {
				b.Skipf("control groups cannot be made: %v", err)
			}
			dirs = append(dirs, dir)
		}
	}
	defer func() {
		for _, dir := range dirs {
			_ = os.Remove(dir)
		}
	}()
	h, c := NewHost("/"), newCgroup(Defaults())
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		seq++
		if _, err := c.Read(b.Context(), h, Tick{Seq: seq, Interval: time.Second}); err != nil {
			b.Fatal(err)
		}
	}
}
