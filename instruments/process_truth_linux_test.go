package instruments

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// realProcesses reads the machine that the test runs on. Its ticks come when
// the test wants, so it makes the collectors see a second pass.
type realProcesses struct {
	t         *testing.T
	host      *Host
	now       time.Time
	tick      Tick
	process   Collector
	processes Collector
}

func newRealProcesses(t *testing.T) *realProcesses {
	t.Helper()
	r := &realProcesses{t: t, host: NewHost("/"), now: time.Now(), tick: Tick{Interval: time.Second}, process: newProcess(Defaults()), processes: newProcesses()}
	r.host.Now = func() time.Time { return r.now }
	t.Cleanup(func() { r.host.table.close() })
	return r
}

func (r *realProcesses) read() *ProcessTable {
	r.t.Helper()
	r.now = r.now.Add(time.Second)
	r.tick.Seq++
	reading, err := r.process.Read(r.t.Context(), r.host, r.tick)
	if err != nil {
		r.t.Fatal(err)
	}
	return reading.(*ProcessTable)
}

// counts returns how many of these PIDs are in the table.
func counts(table *ProcessTable, pid int) int {
	n := 0
	for i := range table.All {
		if table.All[i].PID == pid {
			n++
		}
	}
	return n
}

// within checks a number against the truth to 1 %, or to the smallest step in
// which it is reported.
func within(t *testing.T, what string, got, truth, step float64) {
	t.Helper()
	if math.Abs(got-truth) > max(math.Abs(truth)/100, step) {
		t.Errorf("%s is %v, the truth is %v", what, got, truth)
	}
}

// TestTruthOfProcessCPU compares with what the kernel reports to the child itself.
func TestTruthOfProcessCPU(t *testing.T) {
	m := newRealProcesses(t)
	c := startChild(t)
	before := c.numbers("usage")
	m.read()
	after := c.numbers("burn 1500")
	table := m.read()
	p := row(t, table, c.pid)
	const tick = 1.0 / userHZ
	if p.Program != childName(os.Getpid()) {
		t.Errorf("the child is called %q", p.Program)
	}
	g := findProgram(t, table.Programs, childName(os.Getpid()))
	if g.Processes != 1 || g.Threads != p.Threads || p.Threads < 1 {
		t.Errorf("got %+v", g)
	}
	// User and system time are each cut to whole ticks.
	within(t, "CPU time since the start", p.CPUSeconds, after[0]+after[1], 2*tick)
	within(t, "user time", g.UserSeconds, after[0]-before[0], tick)
	within(t, "system time", g.SystemSeconds, after[1]-before[1], tick)
	used := after[0] + after[1] - before[0] - before[1]
	within(t, "share of the machine in a second", p.CPU*float64(table.Logical), used, 2*tick)
	if used < 1.5 || !p.Chosen {
		t.Errorf("the child used %v s, %+v", used, p)
	}
	if now := row(t, m.read(), c.pid); now.CPU*float64(table.Logical) > 2*tick {
		t.Errorf("a child that waits uses %v", now.CPU)
	}
}

// TestTruthOfANewProcess: what a process used before it was first seen counts,
// because it started since the tick before.
func TestTruthOfANewProcess(t *testing.T) {
	m := newRealProcesses(t)
	m.read()
	c := startChild(t)
	used := c.numbers("burn 500")
	table := m.read()
	p := row(t, table, c.pid)
	within(t, "share of the machine", p.CPU*float64(table.Logical), used[0]+used[1], 2.0/userHZ)
	if age := time.Since(p.Started).Seconds(); age < 0.3 || age > 60 {
		t.Errorf("it started %v s ago", age)
	}
	if p.ParentPID != os.Getpid() {
		t.Errorf("its parent is %d", p.ParentPID)
	}
}

func TestTruthOfProcessMemory(t *testing.T) {
	m := newRealProcesses(t)
	c := startChild(t)
	c.do("usage")
	before := row(t, m.read(), c.pid)
	const size = 128 << 20
	c.do("hold " + strconv.Itoa(size))
	// How much address space the child has is not the test's to say: its
	// runtime reserves more with each thread. So it is compared with the sum of
	// the ranges that the kernel lists, taken before and after the reading.
	mappedBefore := mapped(t, c.pid)
	after := row(t, m.read(), c.pid)
	mappedAfter := mapped(t, c.pid)
	within(t, "resident memory", float64(after.MemoryRSS)-float64(before.MemoryRSS), size, 0)
	if after.Virtual < min(mappedBefore, mappedAfter) || after.Virtual > max(mappedBefore, mappedAfter) {
		t.Errorf("virtual memory is %d, the ranges are %d, then %d", after.Virtual, mappedBefore, mappedAfter)
	}
	if grown := after.Virtual - before.Virtual; grown < size {
		t.Errorf("virtual memory grew by %d, %d were mapped", grown, size)
	}
	if !after.Chosen || after.Memory <= before.Memory || after.Memory > 1 {
		t.Errorf("got %+v", after)
	}
}

// mapped is the sum of the address ranges of a process, /proc/PID/maps. The
// page that the kernel shows every process, vsyscall, is none of its own.
func mapped(t *testing.T, pid int) uint64 {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sum uint64
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if !strings.Contains(line, "[vsyscall]") {
			sum += to - from
		}
	}
	return sum
}

func TestTruthOfProcessIO(t *testing.T) {
	dir := diskDir(t)
	m := newRealProcesses(t)
	c := startChild(t)
	c.do("usage")
	m.read()
	const size = 32 << 20
	c.do(fmt.Sprintf("write %s %d", filepath.Join(dir, "file"), size))
	table := m.read()
	p := row(t, table, c.pid)
	if !p.IOKnown {
		t.Fatalf("the I/O of a child cannot be read: %+v", p)
	}
	within(t, "bytes written", float64(p.WriteBytes), size, 0)
	within(t, "bytes written in a second", p.WriteBytesPerSecond, size, 0)
	within(t, "bytes written by the program", float64(findProgram(t, table.Programs, childName(os.Getpid())).WriteBytes), size, 0)
	if !p.Chosen {
		t.Errorf("got %+v", p)
	}
}

func TestTheRealTableIsWhole(t *testing.T) {
	m := newRealProcesses(t)
	m.read()
	table := m.read()
	self := row(t, table, os.Getpid())
	if self.Kernel || self.ParentPID != os.Getppid() || self.CPUSeconds <= 0 {
		t.Errorf("the test is %+v", self)
	}
	if init := row(t, table, 1); init.ParentPID != 0 || init.User == "" {
		t.Errorf("the first process is %+v", init)
	}
	var whole Totals
	for i := range table.All {
		p := &table.All[i]
		whole.add(p)
		if p.Name == "" || p.Program == "" || p.User == "" || p.Status == "unknown" || p.Threads < 1 || p.Started.IsZero() || p.CPU < 0 || p.CPU > 1.5 {
			t.Errorf("got %+v", *p)
		}
	}
	rows, others, _ := table.Top(10, ByMemory, "")
	for i := range rows {
		others.add(&rows[i])
	}
	if others.MemoryRSS != whole.MemoryRSS || others.Processes != len(table.All) || others.Threads != whole.Threads {
		t.Errorf("rows and others are %+v, the whole is %+v", others, whole)
	}
	if table.Unattributed < 0 || math.IsNaN(table.Unattributed) {
		t.Errorf("unattributed: %v", table.Unattributed)
	}
	r, err := m.processes.Read(t.Context(), m.host, m.tick)
	if err != nil || r.(*Processes).Total != len(table.All) {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestAnOpenFileOfAnEndedProcess: the file proves the identity. What was open
// is closed when its process is gone.
func TestAnOpenFileOfAnEndedProcess(t *testing.T) {
	m := newRealProcesses(t)
	c := startChild(t)
	c.do("usage")
	if counts(m.read(), c.pid) != 1 || !m.host.table.system.kept {
		t.Fatal("the child is not in the table")
	}
	at := slices.IndexFunc(m.host.table.entries, func(e *processEntry) bool { return e.pid == c.pid })
	e := m.host.table.entries[at]
	if e.file.stat == 0 {
		t.Fatal("its file is not open")
	}
	c.orders.Close()
	c.waitForEnd()
	if p := row(t, m.read(), c.pid); p.Status != "zombie" || p.Program != childName(os.Getpid()) {
		t.Errorf("got %+v", p)
	}
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	// As if it had ended after the list of PIDs was read.
	open := m.host.table.system.open
	if seen, err := m.host.table.refresh(e, c.pid); seen != nil || err != nil {
		t.Errorf("an ended process is %+v, %v", seen, err)
	}
	if e.file.stat != 0 || m.host.table.system.open != open-1 {
		t.Errorf("its file is still open: %+v, %d of %d", e.file.stat, m.host.table.system.open, open)
	}
	if n := counts(m.read(), c.pid); n != 0 {
		t.Errorf("%d rows are left of it", n)
	}
	m.host.table.close()
	if open := m.host.table.system.open; open != 0 {
		t.Errorf("%d files are counted as open", open)
	}
}

func TestExecChangesTheName(t *testing.T) {
	m := newRealProcesses(t)
	m.read()
	c := start(t, []string{"sh", "-c", "echo ready; read go; exec cat"}, "/bin/sh")
	if line, err := c.answer.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	before := row(t, m.read(), c.pid)
	if _, err := fmt.Fprintln(c.orders, "go"); err != nil {
		t.Fatal(err)
	}
	if got := c.do("hello"); got != "hello" {
		t.Fatalf("got %q", got)
	}
	after := row(t, m.read(), c.pid)
	if before.Program != "sh" || after.Program != "cat" || after.Name != "cat" || !after.Started.Equal(before.Started) {
		t.Errorf("before %+v\nafter  %+v", before, after)
	}
}

// TestFewFilesMayBeOpen: beyond the limit every file is opened at each tick.
func TestFewFilesMayBeOpen(t *testing.T) {
	m := newRealProcesses(t)
	whole := m.read()
	m.host.table.close()
	if err := m.host.table.openProc(); err != nil {
		t.Fatal(err)
	}
	m.host.table.system.limit = 3
	for range 3 {
		table := m.read()
		if open := m.host.table.system.open; open != 3 {
			t.Errorf("%d files are open", open)
		}
		if len(table.All) < len(whole.All)*9/10 {
			t.Errorf("%d rows, with all files open %d", len(table.All), len(whole.All))
		}
		if p := row(t, table, os.Getpid()); !p.IOKnown || math.IsNaN(p.CPU) {
			t.Errorf("got %+v", p)
		}
	}
}

// TestTruthOfAnEndedLeader: the first thread of a process has ended and others go on. The
// kernel shows a zombie without memory.
func TestTruthOfAnEndedLeader(t *testing.T) {
	c := Defaults()
	c.Processes.CommandLine = true
	m := newRealProcesses(t)
	m.process = newProcess(c)
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	job := start(t, []string{childName(os.Getpid()), "-test.run=^TestChild$"}, path, leaderVariable+"=1")
	before := job.numbers("usage")
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", job.pid))
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := parseProcessStat(stat); err != nil || raw.state != 'Z' || raw.threads < 2 || raw.pages != 0 {
		t.Fatalf("the first thread has not ended: %s", stat)
	}
	m.read()
	job.do("hold " + strconv.Itoa(68<<20))
	after := job.numbers("burn 400")
	table := m.read()
	p := row(t, table, job.pid)
	if p.Status == "zombie" || p.Name != childName(os.Getpid()) || p.Program != p.Name || !strings.Contains(p.CommandLine, "-test.run=") {
		t.Errorf("got %+v", p)
	}
	within(t, "CPU time", p.CPU*float64(table.Logical), after[0]+after[1]-before[0]-before[1], 2.0/userHZ)
	within(t, "resident memory", float64(p.MemoryRSS), float64(residentOfThreads(t, job.pid)), 1<<20)
	if p.MemoryRSS < 68<<20 || p.Virtual < 68<<20 {
		t.Errorf("%d bytes are resident of %d, 68 MiB are held", p.MemoryRSS, p.Virtual)
	}
	job.do("hold " + strconv.Itoa(32<<20))
	if now := row(t, m.read(), job.pid); now.MemoryRSS < p.MemoryRSS+31<<20 {
		t.Errorf("%d bytes are resident, 32 MiB more than %d are held", now.MemoryRSS, p.MemoryRSS)
	}
	all, err := m.processes.Read(t.Context(), m.host, m.tick)
	if err != nil {
		t.Fatal(err)
	}
	zombies := 0
	for i := range table.All {
		if table.All[i].Status == "zombie" {
			zombies++
		}
	}
	if n := all.(*Processes).Count["zombies"]; n > zombies+1 {
		t.Errorf("%d zombies are counted, %d are there", n, zombies)
	}
	job.orders.Close()
	job.waitForEnd()
	if p := row(t, m.read(), job.pid); p.Status != "zombie" || p.MemoryRSS != 0 {
		t.Errorf("after its end: %+v", p)
	}
}

// residentOfThreads is the memory that the last thread of a process has, VmRSS in
// /proc/PID/task/TID/status.
func residentOfThreads(t *testing.T, pid int) uint64 {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	text, err := os.ReadFile(names[len(names)-1])
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib uint64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatalf("no VmRSS in %s", names[len(names)-1])
	return 0
}

// family copies a shell, another shell and dd under names of their own: the same programs
// run beside the test.
func family(t *testing.T) (dir string, shell, inner, writer string) {
	t.Helper()
	dir = diskDir(t)
	names := [3]string{}
	for i, program := range [...]string{"/bin/bash", "/bin/sh", "/bin/dd"} {
		text, err := os.ReadFile(program)
		if err != nil {
			t.Skipf("there is no %s", program)
		}
		names[i] = fmt.Sprintf("%c%d-%d", "sid"[i], i, os.Getpid()%100_000)
		if err := os.WriteFile(filepath.Join(dir, names[i]), text, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, names[0], names[1], names[2]
}

// diskDir is a directory on a disk.
func diskDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		t.Skipf("%s is in memory: nothing that is written there reaches a disk. Set TMPDIR to a directory on a disk.", dir)
	}
	return dir
}

// written is what a program has written.
func written(table *ProcessTable, program string) uint64 {
	for _, g := range table.Programs {
		if g.Name == program {
			return g.WriteBytes
		}
	}
	return 0
}

// TestTruthOfInheritedIO: a shell waits for a shell that waits for one that writes. The
// kernel has what it wrote in the account of each.
func TestTruthOfInheritedIO(t *testing.T) {
	dir, shell, inner, writer := family(t)
	const size = 100 << 20
	half := make([]byte, size/2)
	for _, seen := range []bool{true, false} {
		for _, pace := range []time.Duration{time.Millisecond, 30 * time.Millisecond, 150 * time.Millisecond} {
			m := newRealProcesses(t)
			own := row(t, m.read(), os.Getpid()).WriteBytes
			command := fmt.Sprintf("./%s -c './%s of=file bs=1M iflag=fullblock conv=fsync 2>/dev/null; sleep 0.2'; sleep 0.2", inner, writer)
			cmd := exec.Command(filepath.Join(dir, shell), "-c", command)
			cmd.Dir = dir
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if seen { // What it writes before it has a name is in the others.
				for table := m.read(); !slices.ContainsFunc(table.Programs, func(g Program) bool { return g.Name == writer }); table = m.read() {
					runtime.Gosched()
				}
			}
			// A pipe holds 64 KiB, so the writer has the rest when this returns.
			if _, err := in.Write(half); err != nil {
				t.Fatal(err)
			}
			if seen {
				m.read()
			}
			if _, err := in.Write(half); err != nil {
				t.Fatal(err)
			}
			in.Close()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			var raw moved
			for running := true; running; {
				select {
				case err := <-ended:
					if running = false; err != nil {
						t.Fatal(err)
					}
				case <-time.After(pace):
				}
				if seen {
					m.read()
				}
				if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", cmd.Process.Pid)); err == nil {
					raw, _ = parseProcessIO(text)
				}
			}
			table := m.read()
			what := fmt.Sprintf("at a look every %s, the writer seen: %t", pace, seen)
			if raw.write < size || raw.write == unknownCount {
				t.Fatalf("%s: the kernel's account of the first shell has %d bytes", what, raw.write)
			}
			rest := row(t, table, os.Getpid()).WriteBytes - own
			for _, ancestor := range []string{shell, inner} {
				rest += written(table, ancestor)
			}
			if seen {
				within(t, what+": written by the writer", float64(written(table, writer)), size, 0)
				if rest > 1<<20 {
					t.Errorf("%s: those who wait for it have written %d bytes", what, rest)
				}
			} else {
				within(t, what+": written by all", float64(written(table, writer)+rest), size, 0)
			}
		}
	}
}

// TestTruthOfManyFamilies: at whatever moment a look comes, what is written is counted once.
func TestTruthOfManyFamilies(t *testing.T) {
	dir, shell, inner, writer := family(t)
	const families, size = 40, 4 << 20
	m := newRealProcesses(t)
	before := row(t, m.read(), os.Getpid()).WriteBytes
	ended := make(chan error)
	go func() {
		for i := range families {
			// One in three leaves its writer to the first process or another that takes orphans.
			wait := [...]string{"; true", "; sleep 0.02", " & sleep 0.01"}[i%3]
			command := fmt.Sprintf("./%s -c './%s if=/dev/zero of=file%d bs=1M count=4 conv=fsync 2>/dev/null%s'; true", inner, writer, i, wait)
			cmd := exec.Command(filepath.Join(dir, shell), "-c", command)
			cmd.Dir = dir
			if err := cmd.Run(); err != nil {
				ended <- err
				return
			}
		}
		close(ended)
	}()
	for running := true; running; {
		select {
		case err := <-ended:
			if running = false; err != nil {
				t.Fatal(err)
			}
		default:
		}
		m.read()
	}
	for i := range families { // Those that were left alone.
		for {
			if info, err := os.Stat(filepath.Join(dir, fmt.Sprint("file", i))); err == nil && info.Size() == size {
				break
			}
			m.read()
		}
	}
	for range 2 * ioTurn {
		m.read()
	}
	table := m.read()
	rest := row(t, table, os.Getpid()).WriteBytes - before + written(table, shell) + written(table, inner)
	all := rest + written(table, writer)
	t.Logf("%d bytes, %d of them not the writers'", all, rest)
	// /proc is not read in one moment. These looks follow one another at once, so one in a
	// hundred families ends within one, which at a look a second is one in tens of thousands.
	if all > families*size*115/100 {
		t.Errorf("%d bytes are counted, %d were written", all, families*size)
	}
	// Who is left to another process, and was never seen, is that one's.
	if all < families*size*6/10 {
		t.Errorf("%d bytes are counted, %d were written", all, families*size)
	}
}
