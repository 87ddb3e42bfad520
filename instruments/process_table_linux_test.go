package instruments

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processTree is a machine made up for a test, with two processors and a
// page size of the real one. Its clock moves by a second at each tick.
type processTree struct {
	t    *testing.T
	root string
	host *Host
	now  time.Time
	tick Tick
	// uptime is in hundredths of a second, user is the machine's user time in them.
	uptime, user int
	// boot is btime.
	boot      int
	process   Collector
	processes Collector
	// nobody reads the tree without the capability to read every file.
	nobody bool
}

func newProcessTree(t *testing.T, c Config) *processTree {
	t.Helper()
	p := &processTree{t: t, root: memoryDir(t), now: time.Now(), tick: Tick{Interval: time.Second}, uptime: 100_000, boot: 1_700_000_000}
	p.write("proc/meminfo", "MemTotal:       1000000 kB\nMemFree:  1 kB\n")
	p.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\nbroken\nx:x:y:z\n")
	p.clock()
	p.host = NewHost(p.root)
	p.host.Now = func() time.Time { return p.now }
	t.Cleanup(func() { p.host.table.close() })
	p.process, p.processes = newProcess(c), newProcesses()
	return p
}

func (p *processTree) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// clock writes the files with the time.
func (p *processTree) clock() {
	p.t.Helper()
	p.write("proc/uptime", fmt.Sprintf("%d.%02d 5.00\n", p.uptime/100, p.uptime%100))
	p.write("proc/stat", fmt.Sprintf("cpu  %d 0 0 1000 0 0 0 0 0 0\ncpu0 %d 0 0 500 0 0 0 0 0 0\ncpu1 0 0 0 500 0 0 0 0 0 0\nctxt %d\nbtime %d\n", p.user, p.user, p.uptime, p.boot))
}

// fake is a process of the tree. Times are in hundredths of a second.
type fake struct {
	pid, start, user, system int
	comm, line               string
	state                    byte
	pages                    int
	read, write              int
	kernel, noIO             bool
	// parent is 1 where it is 0; faults and childFaults are page faults.
	parent, faults, childFaults int
}

// put writes the files of processes.
func (p *processTree) put(fakes ...fake) {
	p.t.Helper()
	for _, f := range fakes {
		if f.comm == "" {
			f.comm = "job"
		}
		if f.state == 0 {
			f.state = 'S'
		}
		flags := 4194560
		if f.kernel {
			flags |= kernelThread
		}
		dir := fmt.Sprintf("proc/%d/", f.pid)
		p.write(dir+"stat", fmt.Sprintf("%d (%s) %c %d 1 1 0 -1 %d %d %d 0 0 %d %d 0 0 20 0 2 0 %d 4096000 %d 0\n",
			f.pid, f.comm, f.state, max(f.parent, 1), flags, f.faults, f.childFaults, f.user, f.system, f.start, f.pages))
		if !f.kernel {
			p.write(dir+"cmdline", strings.ReplaceAll(f.line, "|", "\x00"))
		}
		if !f.noIO {
			p.write(dir+"io", fmt.Sprintf("rchar: 9\nread_bytes: %d\nwrite_bytes: %d\n", f.read, f.write))
		}
	}
}

// remove takes processes away.
func (p *processTree) remove(pids ...int) {
	p.t.Helper()
	for _, pid := range pids {
		if err := os.RemoveAll(filepath.Join(p.root, "proc", fmt.Sprint(pid))); err != nil {
			p.t.Fatal(err)
		}
	}
}

// read ticks once.
func (p *processTree) read() *ProcessTable {
	p.t.Helper()
	p.now, p.uptime = p.now.Add(time.Second), p.uptime+100
	p.tick.Seq++
	p.clock()
	if p.nobody {
		defer asNobody(p.t)()
	}
	r, err := p.process.Read(p.t.Context(), p.host, p.tick)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.(*ProcessTable)
}

func row(t *testing.T, table *ProcessTable, pid int) Process {
	t.Helper()
	for _, r := range table.All {
		if r.PID == pid {
			return r
		}
	}
	t.Fatalf("no process %d among %d", pid, len(table.All))
	return Process{}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestProcessRow(t *testing.T) {
	c := Defaults()
	c.Processes.CommandLine = true
	p := newProcessTree(t, c)
	p.put(fake{pid: 7, start: 12_345, user: 500, system: 100, comm: "python3", line: "/usr/bin/python3|manage.py|run|", pages: 1000, state: 'R', read: 4096})
	p.put(fake{pid: 8, start: 12_346, comm: "kworker/0:1-events", kernel: true, state: 'I'})

	first := p.read()
	if r := row(t, first, 7); !math.IsNaN(r.CPU) || !math.IsNaN(r.ReadBytesPerSecond) || !math.IsNaN(first.Unattributed) {
		t.Errorf("the first look has a rate: %+v", r)
	}
	if first.Logical != 2 || first.MemoryTotal != 1_024_000_000 {
		t.Errorf("%d processors, %d bytes", first.Logical, first.MemoryTotal)
	}
	p.put(fake{pid: 7, start: 12_345, user: 540, system: 110, comm: "python3", line: "/usr/bin/python3|manage.py|run|", pages: 1000, state: 'D', read: 4096 + 5000, write: 300})
	r := row(t, p.read(), 7)
	want := Process{
		PID: 7, ParentPID: 1, Name: "python3", Program: "python3:manage.py", User: "root", Status: "blocked",
		CommandLine: "/usr/bin/python3 manage.py run", CPU: 0.25, CPUSeconds: 6.5,
		MemoryRSS: 1000 * pageSize, Virtual: 4096000, Memory: float64(1000*pageSize) / 1_024_000_000, Threads: 2,
		ReadBytesPerSecond: 5000, WriteBytesPerSecond: 300, ReadBytes: 9096, WriteBytes: 300, IOKnown: true,
		Started: time.Unix(1_700_000_000, 0).Add(123_450 * time.Millisecond).UTC(), Start: 12_345, Chosen: true,
	}
	if os.Getuid() != 0 {
		want.User = r.User
	}
	if r != want {
		t.Errorf("got  %+v\nwant %+v", r, want)
	}
	k := row(t, p.read(), 8)
	if k.Name != "kworker/0:1-events" || k.Program != "kworker" || !k.Kernel || k.Status != "idle" || k.Chosen || k.CommandLine != "" {
		t.Errorf("kernel thread: %+v", k)
	}
}

// TestStartFollowsTheClock: a board without a battery starts in the past, and its clock is
// set later. A start is what the clock says now, and so is the machine's.
func TestStartFollowsTheClock(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.boot = 1_577_836_800
	p.put(fake{pid: 7, start: 3000}, fake{pid: 8, start: 2999})
	started := func() string { return row(t, p.read(), 7).Started.Format(time.RFC3339) }
	if got := started(); got != "2020-01-01T00:00:30Z" {
		t.Errorf("started %s", got)
	}
	p.read()
	p.boot = 1_767_225_600
	p.put(fake{pid: 9, start: 2998})
	if got := started(); got != "2026-01-01T00:00:30Z" {
		t.Errorf("started %s after the clock was set", got)
	}
	rows, _, _ := p.read().Top(0, ByStarted, "")
	if fmt.Sprint(rows[0].PID, rows[1].PID, rows[2].PID) != "7 8 9" {
		t.Errorf("in the order of starts: %+v", rows)
	}
	// A clock that is not believed: the ticks go on without it, and a start is as long ago
	// as it is.
	p.tick.Time = p.now.Add(time.Second + 6*365*24*time.Hour)
	if got := started(); got != "2031-12-31T00:00:30Z" {
		t.Errorf("started %s by a clock that is not believed", got)
	}
	system, err := newSystem().Read(t.Context(), p.host, p.tick)
	if err != nil {
		t.Fatal(err)
	}
	if got := system.(*System).Boot.UTC().Format(time.RFC3339); got != "2031-12-31T00:00:00Z" {
		t.Errorf("the machine started %s", got)
	}
}

// TestStartsOfAnotherClock: in a container the uptime can be the container's while starts
// are the machine's; then nothing shows which processes are new.
func TestStartsOfAnotherClock(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 1, start: 90_000_000})
	p.read()
	p.put(fake{pid: 9, start: 80_000_000, user: 700_000, read: 1 << 40})
	table := p.read()
	if r := row(t, table, 9); !math.IsNaN(r.CPU) || r.Young || !math.IsNaN(r.ReadBytesPerSecond) {
		t.Errorf("got %+v", r)
	}
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 0 || g.ReadBytes != 0 {
		t.Errorf("got %+v", g)
	}
}

func TestCommandLinesAreOffByDefault(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, user: 5, pages: 10, comm: "x", line: "x|--password=secret"})
	if r := row(t, p.read(), 7); !r.Chosen || r.CommandLine != "" {
		t.Errorf("got %+v", r)
	}
}

func TestPIDReuse(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, start: 500, user: 90, comm: "old", read: 1000})
	p.read()
	// Within one tick the old process ended and another got its PID, which has
	// used more than the old one.
	p.put(fake{pid: 7, start: 100_120, user: 140, comm: "new", read: 5000})
	table := p.read()
	r := row(t, table, 7)
	if r.Name != "new" || !near(r.CPU, 1.40/2) || r.ReadBytesPerSecond != 5000 {
		t.Errorf("the new process has the old one's past: %+v", r)
	}
	if g := findProgram(t, table.Programs, "old"); g.Processes != 0 || g.UserSeconds != 0 {
		t.Errorf("the old program got %+v", g)
	}
	// Its counters begin at the tick at which it gets its name.
	if g := findProgram(t, table.Programs, "new"); g.UserSeconds != 0 || g.ReadBytes != 0 || !g.IOKnown || !near(g.User, 0.7) {
		t.Errorf("the new program got %+v", g)
	}
	if g := findProgram(t, table.Programs, otherNames); g.UserSeconds != 1.4 || g.ReadBytes != 5000 || g.User != 0 {
		t.Errorf("the others got %+v", g)
	}
}

// TestAProcessSeenLateHasNoPast: it is not new, it was only not seen (hidden,
// moved into the namespace). What it used before is not of this tick.
func TestAProcessSeenLateHasNoPast(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 1})
	p.read()
	p.put(fake{pid: 9, start: 50_000, user: 7000, read: 1 << 30})
	table := p.read()
	if r := row(t, table, 9); !math.IsNaN(r.CPU) || !math.IsNaN(r.ReadBytesPerSecond) {
		t.Errorf("got %+v", r)
	}
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 0 || g.ReadBytes != 0 {
		t.Errorf("got %+v", g)
	}
}

// TestCountersThatGoBackAreHeld: those of one process cannot fall, so what is less than
// before is a reading that failed.
func TestCountersThatGoBackAreHeld(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, user: 100, read: 1000, pages: 1})
	p.read()
	p.put(fake{pid: 7, user: 90, read: 900, pages: 1})
	if r := row(t, p.read(), 7); !math.IsNaN(r.CPU) || !math.IsNaN(r.ReadBytesPerSecond) || r.CPUSeconds != 1 || r.ReadBytes != 1000 {
		t.Errorf("got %+v", r)
	}
	p.put(fake{pid: 7, user: 110, read: 1050, pages: 1})
	table := p.read()
	if r := row(t, table, 7); !near(r.CPU, 0.05) || r.ReadBytesPerSecond != 50 || r.CPUSeconds != 1.1 {
		t.Errorf("got %+v", r)
	}
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 0.10 || g.ReadBytes != 50 {
		t.Errorf("got %+v", g)
	}
	// A reset does not happen to a process, but would count on.
	p.put(fake{pid: 7, user: 20, read: 400, pages: 1})
	p.read()
	p.put(fake{pid: 7, user: 30, read: 500, pages: 1})
	if r := row(t, p.read(), 7); !near(r.CPU, 0.05) || r.ReadBytesPerSecond != 100 || r.CPUSeconds != 1.1 {
		t.Errorf("after a reset: %+v", r)
	}
	// No process uses more than all processors, and none moves a petabyte in a second.
	p.put(fake{pid: 7, user: 1 << 50, read: 1 << 50, pages: 1})
	table = p.read()
	if r := row(t, table, 7); !math.IsNaN(r.CPU) || !math.IsNaN(r.ReadBytesPerSecond) {
		t.Errorf("nonsense: %+v", r)
	}
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 0.20 || g.ReadBytes != 150 {
		t.Errorf("after nonsense: %+v", g)
	}
}

// TestIOBelowZero: a sentinel is no count, and costs only itself.
func TestIOBelowZero(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, start: 5, read: 100, write: 8192})
	p.read()
	for i := range 3 {
		p.put(fake{pid: 7, start: 5, user: i + 1, read: 200 * (i + 1)})
		p.write("proc/7/io", fmt.Sprintf("read_bytes: %d\nwrite_bytes: 18446744073709543424\n", 200*(i+1)))
		table := p.read()
		if r := row(t, table, 7); !math.IsNaN(r.WriteBytesPerSecond) || r.WriteBytes != 8192 || r.ReadBytesPerSecond > 200 {
			t.Errorf("got %+v", r)
		}
		if g := findProgram(t, table.Programs, "job"); g.WriteBytes != 0 || g.ReadBytes != uint64(100+200*i) {
			t.Errorf("got %+v", g)
		}
	}
	p.put(fake{pid: 7, start: 5, user: 9, read: 600, write: 8292})
	table := p.read()
	if r := row(t, table, 7); r.WriteBytesPerSecond != 100 {
		t.Errorf("got %+v", r)
	}
	if g := findProgram(t, table.Programs, "job"); g.WriteBytes != 100 {
		t.Errorf("got %+v", g)
	}
}

// TestOddTimes: a time that is no count is unknown by itself.
func TestOddTimes(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, user: 100, pages: 3})
	p.read()
	p.put(fake{pid: 7, user: -1, pages: 4})
	if r := row(t, p.read(), 7); !math.IsNaN(r.CPU) || !math.IsNaN(r.CPUSeconds) || r.MemoryRSS != 4*pageSize {
		t.Errorf("got %+v", r)
	}
	p.put(fake{pid: 7, user: 140, pages: 4})
	table := p.read()
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 0.4 {
		t.Errorf("got %+v", g)
	}
}

func TestForkStorm(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 1, comm: "init"})
	p.read()
	before := 0.0
	for tick := range 4 {
		for i := range 250 {
			p.put(fake{pid: 1000 + 250*tick + i, start: p.uptime + 10, user: 1, comm: fmt.Sprintf("t%d", i), kernel: true})
		}
		table := p.read()
		if len(table.All) != 251 || len(table.Programs) > defaultPrograms+1 {
			t.Fatalf("%d rows, %d programs", len(table.All), len(table.Programs))
		}
		sum := 0.0
		for _, g := range table.Programs {
			sum += g.UserSeconds
		}
		// Every one is younger than the tick, so all that it used is counted.
		if !near(sum, before+2.5) {
			t.Fatalf("tick %d: programs hold %v s, want %v", tick, sum, before+2.5)
		}
		before = sum
		for i := range 250 {
			p.remove(1000 + 250*tick + i)
		}
	}
	if table := p.read(); len(table.All) != 1 {
		t.Errorf("%d rows are left", len(table.All))
	}
}

func TestAProcessThatEndsDuringTheScan(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 1}, fake{pid: 7}, fake{pid: 9})
	p.read()
	// It was in the list of PIDs, and is gone when its file is opened; another
	// is there, but has nothing to read yet.
	if err := os.Remove(filepath.Join(p.root, "proc/7/stat")); err != nil {
		t.Fatal(err)
	}
	p.write("proc/9/stat", "")
	if table := p.read(); len(table.All) != 1 || table.Hidden != 0 {
		t.Errorf("rows %+v", table.All)
	}
	// One whose other files are gone has a row; what cannot be read is unknown.
	p.put(fake{pid: 11, comm: "gone"})
	for _, name := range []string{"io", "cmdline"} {
		if err := os.Remove(filepath.Join(p.root, "proc/11", name)); err != nil {
			t.Fatal(err)
		}
	}
	table := p.read()
	if r := row(t, table, 11); r.Name != "gone" || r.IOKnown || !math.IsNaN(r.ReadBytesPerSecond) {
		t.Errorf("got %+v", r)
	}
	if g := findProgram(t, table.Programs, "gone"); g.IOKnown {
		t.Errorf("got %+v", g)
	}
}

// TestAnOddProcessIsMissing: one that cannot be read costs only its own row, and is
// named; a table of which nothing can be read is an error.
func TestAnOddProcessIsMissing(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7}, fake{pid: 8, user: 10})
	p.read()
	p.write("proc/7/stat", "nonsense")
	p.put(fake{pid: 8, user: 50})
	table := p.read()
	if r := row(t, table, 8); len(table.All) != 1 || !near(r.CPU, 0.2) {
		t.Errorf("got %+v", table.All)
	}
	if missing := table.Missing(); len(missing) != 1 || missing[0].Subject != "process 7" || !strings.Contains(missing[0].Reason, "/proc/7/stat: not the text of") {
		t.Errorf("got %v", missing)
	}
	p.put(fake{pid: 7, user: 50})
	table = p.read()
	if got := row(t, table, 7); got.CPUSeconds != 0.5 || table.Missing() != nil {
		t.Errorf("after the failure: %+v, %v", got, table.Missing())
	}
	p.write("proc/7/stat", "nonsense")
	p.write("proc/8/stat", "nonsense")
	p.tick.Seq++
	if r, err := p.process.Read(t.Context(), p.host, p.tick); err == nil {
		t.Errorf("got %+v", r)
	}
	if r, err := p.processes.Read(t.Context(), p.host, p.tick); err == nil {
		t.Errorf("got %+v", r)
	}
	p.host.root = filepath.Join(p.root, "nowhere")
	p.tick.Seq++
	if _, err := p.processes.Read(t.Context(), p.host, p.tick); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAScanThatIsStoppedForgetsNothing(t *testing.T) {
	p := newProcessTree(t, Defaults())
	for pid := 1; pid <= 600; pid++ {
		p.put(fake{pid: pid, user: pid, kernel: true, noIO: true})
	}
	p.read()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.tick.Seq++
	if _, err := p.process.Read(ctx, p.host, p.tick); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	p.put(fake{pid: 599, user: 609, kernel: true, noIO: true})
	table := p.read()
	if len(table.All) != 600 {
		t.Fatalf("%d rows", len(table.All))
	}
	// The look before was two seconds ago.
	if r := row(t, table, 599); !near(r.CPU, 0.05) {
		t.Errorf("got %+v", r)
	}
}

func TestHiddenProcessesAreCounted(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7}, fake{pid: 8}, fake{pid: 9})
	for _, name := range []string{"proc/7/stat", "proc/8/io"} {
		if err := os.Chmod(filepath.Join(p.root, name), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(p.root), 0o755); err != nil {
		t.Fatal(err)
	}
	p.nobody = true
	table := p.read()
	if len(table.All) != 2 || table.Hidden != 1 || table.Denied != 1 {
		t.Errorf("%d rows, %d hidden, %d denied", len(table.All), table.Hidden, table.Denied)
	}
	if r := row(t, table, 8); r.IOKnown || !math.IsNaN(r.WriteBytesPerSecond) {
		t.Errorf("got %+v", r)
	}
	for range ioTurn {
		table = p.read()
	}
	if r := row(t, table, 8); table.Denied != 1 || r.IOKnown {
		t.Errorf("%d denied, %+v", table.Denied, r)
	}
}

// asNobody takes from the test's thread the capability to read every file, which
// root has, until the returned function is called. On Linux each thread has a
// user of its own for files.
func asNobody(t *testing.T) (restore func()) {
	t.Helper()
	if os.Getuid() != 0 {
		return func() {}
	}
	runtime.LockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setfsuid(0); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	}
}

func TestTheTableOfFourThousandProcesses(t *testing.T) {
	p := newProcessTree(t, Defaults())
	const n = 4000
	var rss uint64
	fakes := make([]fake, n)
	for i := range fakes {
		fakes[i] = fake{pid: i*7 + 1, start: 100 + i, user: i, pages: i % 97, comm: fmt.Sprintf("p%d", i%500), kernel: true, noIO: true}
		rss += uint64(i%97) * pageSize
	}
	p.put(fakes...)
	p.read()
	for i := range fakes {
		if i%40 == 0 {
			fakes[i].user++
			p.put(fakes[i])
		}
	}
	p.user += 100 + 50
	table := p.read()
	if len(table.All) != n || len(table.Programs) != defaultPrograms+1 {
		t.Fatalf("%d rows, %d programs", len(table.All), len(table.Programs))
	}
	var all Totals
	for i := range table.All {
		if i > 0 && table.All[i-1].PID >= table.All[i].PID {
			t.Fatalf("rows are not in the order of PIDs at %d", i)
		}
		all.add(&table.All[i])
	}
	if all.MemoryRSS != rss || !near(all.CPU, 0.5) || !near(table.Unattributed, 0.25) {
		t.Errorf("%d bytes, want %d; CPU %v, want 0.5; unattributed %v, want 0.25", all.MemoryRSS, rss, all.CPU, table.Unattributed)
	}
	var programs Program
	for _, g := range table.Programs {
		programs.Processes += g.Processes
		programs.MemoryRSS += g.MemoryRSS
		programs.UserSeconds += g.UserSeconds
	}
	if programs.Processes != n || programs.MemoryRSS != rss || !near(programs.UserSeconds, 1) {
		t.Errorf("programs: %+v", programs)
	}
	chosen, others := table.Chosen()
	if len(chosen) < 20 || len(chosen) > 60 || others.Processes+len(chosen) != n {
		t.Errorf("%d chosen, %d others", len(chosen), others.Processes)
	}
	if p.host.table.system.open != 0 {
		t.Errorf("%d files stay open outside of a procfs, where an open file is no identity", p.host.table.system.open)
	}
}

func TestAMovedRootIsNoticed(t *testing.T) {
	a, b := newProcessTree(t, Defaults()), newProcessTree(t, Defaults())
	a.put(fake{pid: 7, user: 100, comm: "a"})
	b.put(fake{pid: 7, user: 150, comm: "a"}, fake{pid: 8})
	a.read()
	a.root, a.host.root = b.root, b.root
	table := a.read()
	if r := row(t, table, 7); len(table.All) != 2 || !near(r.CPU, 0.25) {
		t.Errorf("got %+v", table.All)
	}
}

func TestUnattributedBalance(t *testing.T) {
	p := newProcessTree(t, Defaults())
	user := 0
	step := func(process, machine int, want, total float64) {
		t.Helper()
		user += process
		p.user += machine
		p.put(fake{pid: 7, user: user})
		if table := p.read(); !near(table.Unattributed, want/2) || !near(table.UnattributedSeconds, total) {
			t.Errorf("process %d, machine %d: unattributed %v, %v s, want %v, %v s", process, machine, table.Unattributed*2, table.UnattributedSeconds, want, total)
		}
	}
	p.put(fake{pid: 7})
	p.user = 1_000_000
	p.read()
	step(50, 50, 0, 0)
	step(0, 30, 0.3, 0.3)
	// The two accounts round differently: what is missing now is in the next tick.
	step(51, 50, 0, 0.3)
	step(49, 50, 0, 0.3)
	step(49, 50, 0.01, 0.31)
	step(53, 50, 0, 0.31)
	step(0, 10, 0.07, 0.38)
	// But an account that stays behind does not hide what comes later for long.
	step(200, 0, 0, 0.38)
	step(200, 0, 0, 0.38)
	step(0, 190, 0, 0.38)
	step(0, 190, 3.8-maxCarry*2, 0.38+3.8-maxCarry*2)
	// More than the processors can do is no work of anybody.
	p.user += 500
	if table := p.read(); !math.IsNaN(table.Unattributed) || !near(table.UnattributedSeconds, 0.38+3.8-maxCarry*2) {
		t.Errorf("unattributed %v, %v s, want nothing", table.Unattributed, table.UnattributedSeconds)
	}
}

func TestIOIsReadLateButNotLost(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, start: 5, read: 1000})
	// A few others have more memory, so that 7 is never chosen before it does something.
	for pid := 100; pid < 130; pid++ {
		p.put(fake{pid: pid, start: 5, pages: 50})
	}
	p.read()
	p.put(fake{pid: 7, start: 5, read: 21_000})
	rates, looks := 0, 0
	for range ioTurn {
		looks++
		table := p.read()
		if r := row(t, table, 7); r.ReadBytesPerSecond > 0 {
			rates++
			if !near(r.ReadBytesPerSecond*float64(looks), 20_000) || r.ReadBytes != 21_000 || !r.Chosen {
				t.Errorf("look %d: %+v", looks, r)
			}
			if g := findProgram(t, table.Programs, "job"); g.ReadBytes != 20_000 {
				t.Errorf("the program has %d bytes", g.ReadBytes)
			}
			break
		}
	}
	if rates != 1 {
		t.Fatalf("20,000 bytes were not seen in %d looks", ioTurn)
	}
	// Now it is chosen and looked at every second.
	p.put(fake{pid: 7, start: 5, read: 21_500})
	if r := row(t, p.read(), 7); r.ReadBytesPerSecond != 500 {
		t.Errorf("got %+v", r)
	}
	if r := row(t, p.read(), 7); r.ReadBytesPerSecond != 0 || !r.IOKnown {
		t.Errorf("got %+v", r)
	}
}

func TestNamesAreReadAgain(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 1})
	p.read()
	// It was seen between fork and exec, and the program it became has the same
	// kernel's name.
	p.put(fake{pid: 7, start: p.uptime + 50, comm: "bash", line: "bash"})
	if r := row(t, p.read(), 7); r.Program != "bash" {
		t.Errorf("got %q", r.Program)
	}
	p.put(fake{pid: 7, start: p.uptime - 50, comm: "bash", line: "bash|run.sh"})
	if r := row(t, p.read(), 7); r.Program != "bash:run.sh" {
		t.Errorf("got %q", r.Program)
	}
	p.put(fake{pid: 7, start: p.uptime - 150, comm: "sleep", line: "sleep|9"})
	if r := row(t, p.read(), 7); r.Program != "sleep" || r.Name != "sleep" {
		t.Errorf("got %q", r.Program)
	}
	// Without a sign it takes a while.
	p.put(fake{pid: 7, start: p.uptime - 250, comm: "sleep", line: "sleeper|9", user: 1})
	for range nameTurn {
		p.read()
	}
	if r := row(t, p.read(), 7); r.Program != "sleeper" {
		t.Errorf("got %q", r.Program)
	}
	// A zombie has no command line any more, and keeps its name.
	p.put(fake{pid: 7, start: p.uptime - 250 - nameTurn*100 - 100, comm: "sleep", state: 'Z'})
	for range nameTurn {
		p.read()
	}
	if r := row(t, p.read(), 7); r.Program != "sleeper" || r.Status != "zombie" {
		t.Errorf("got %q, %s", r.Program, r.Status)
	}
}

func TestUserNames(t *testing.T) {
	p := newProcessTree(t, Defaults())
	var u users
	name := func(uid uint32, want string) {
		t.Helper()
		if got := u.name(p.host, uid); got != want {
			t.Errorf("user %d is %q, want %q", uid, got, want)
		}
	}
	name(0, "root")
	name(65534, "nobody")
	name(1000, "1000")
	p.write("etc/passwd", "root:x:0:0::/:/bin/sh\nanna:x:1000:1000::/:/bin/sh\nsecond:x:1000:1::/:/bin/sh\nev\x1bil:x:3:3::/:/\n")
	name(1000, "1000") // The file is looked at once a minute.
	p.now = p.now.Add(61 * time.Second)
	name(1000, "anna")
	name(3, "ev\uFFFDil")
	name(65534, "65534")
	if err := os.Remove(filepath.Join(p.root, "etc/passwd")); err != nil {
		t.Fatal(err)
	}
	p.now = p.now.Add(61 * time.Second)
	name(1000, "1000")
}

// TestNamesOfUsersComeLate: a file that does not answer holds up no tick for long, and when
// it does, the processes that are there get their owners' names.
func TestNamesOfUsersComeLate(t *testing.T) {
	p := newProcessTree(t, Defaults())
	path := filepath.Join(p.root, "etc/passwd")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o644); err != nil { // It answers when it is written to.
		t.Fatal(err)
	}
	p.put(fake{pid: 7})
	uid := strconv.Itoa(os.Getuid())
	began := time.Now()
	for range 200 {
		p.now = p.now.Add(2 * passwdTurn)
		if r := row(t, p.read(), 7); r.User != uid {
			t.Fatalf("the owner is %q", r.User)
		}
	}
	if took := time.Since(began); took > 20*passwdWait {
		t.Errorf("200 ticks took %s", took)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "late:x:%s:0::/:/bin/sh\n", uid)
	f.Close()
	for answer := p.host.table.system.users.answer; len(answer) == 0; {
		runtime.Gosched()
	}
	p.put(fake{pid: 8})
	p.read()
	if table := p.read(); row(t, table, 7).User != "late" || row(t, table, 8).User != "late" {
		t.Errorf("the owners are %q and %q", row(t, table, 7).User, row(t, table, 8).User)
	}
}

// TestUsersOfAnotherNamespace: through the map of a user namespace everybody who is not in
// it looks like nobody, and numbers are not those of the machine's files.
func TestUsersOfAnotherNamespace(t *testing.T) {
	const rootless = "         0       1000          1\n         1     100000      65536\n"
	for _, c := range []struct {
		text          string
		uid           uint32
		own, machines string
	}{
		{"         0          0 4294967295\n", 65534, "65534", "65534"},
		{"", 65534, "65534", "65534"},
		{rootless, 0, "0", "1000"},
		{rootless, 34, "34", "100033"},
		{rootless, 65535, "65535", "165534"},
		{rootless, 65537, "", ""},
		{"0 1000 1\n", 65534, "", ""},
		{"0 100000 65536\n", 65534, "", ""}, // It is in the map, as everybody else is shown.
		{"0 100000 65536\n", 65533, "65533", "165533"},
		{"nonsense\n0 1000 1 1\n-1 -1 -1\n", 0, "0", "1000"},
	} {
		for _, outside := range []bool{false, true} {
			want := c.own
			if outside {
				want = c.machines
			}
			got := ""
			if n, ok := parseUserIDs(c.text).of(c.uid, outside); ok {
				got = fmt.Sprint(n)
			}
			if got != want {
				t.Errorf("%q: user %d, outside %t, is %q, want %q", c.text, c.uid, outside, got, want)
			}
		}
	}
}

func TestTheCollectorsShareOneScan(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7, state: 'R'}, fake{pid: 8, state: 'Z'}, fake{pid: 9, state: 'I'})
	p.read()
	p.put(fake{pid: 10, state: 'R'})
	counts := func() *Processes {
		t.Helper()
		r, err := p.processes.Read(t.Context(), p.host, p.tick)
		if err != nil {
			t.Fatal(err)
		}
		return r.(*Processes)
	}
	if c := counts(); c.Total != 3 || c.Count["running"] != 1 {
		t.Errorf("the second collector of the tick saw %+v", c)
	}
	// Alone it scans for itself, and the other's differences go over all its time.
	for range 3 {
		p.now = p.now.Add(time.Second)
		p.tick.Seq++
		counts()
	}
	c := counts()
	if c.Total != 4 || c.Count["running"] != 2 || c.Count["idle"] != 1 {
		t.Errorf("got %+v", c)
	}
	got := map[string]float64{}
	Visit(c, func(m *Metric, v float64, values []string) {
		if len(m.Keys) > 0 {
			got[m.semconvName()+" "+m.Keys[0].semconvAttribute(values[0]).Value.AsString()] = v
		}
	})
	for state, want := range map[string]float64{"running": 2, "sleeping": 0, "stopped": 0, "defunct": 1, "blocked": 0, "idle": 1} {
		if v, ok := got["system.process.count "+state]; !ok || v != want {
			t.Errorf("%s: %v (%v), want %v", state, v, ok, want)
		}
	}
	p.put(fake{pid: 7, user: 80})
	if r := row(t, p.read(), 7); !near(r.CPU, 0.10) {
		t.Errorf("0.8 s in 4 s on two processors are %v", r.CPU)
	}
}

// TestCountersOutliveAConfiguration: a reload makes the collector anew.
func TestCountersOutliveAConfiguration(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7})
	p.read()
	p.put(fake{pid: 7, user: 50, write: 10, pages: 1})
	p.user += 80
	p.read()
	c := Defaults()
	c.Processes.PID = true
	p.process = newProcess(c)
	p.put(fake{pid: 7, user: 70, write: 15, pages: 1})
	table := p.read()
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 0.7 || g.WriteBytes != 15 || !near(table.UnattributedSeconds, 0.3) {
		t.Errorf("got %+v, unattributed %v s", g, table.UnattributedSeconds)
	}
	if r := row(t, table, 7); !near(r.CPU, 0.10) {
		t.Errorf("got %+v", r)
	}
}

// TestWhatIsNotKnownIsUnknown: without a clock no process is taken for a new
// one, without its memory the machine has no share of it, without its boot
// time no process a start.
func TestWhatIsNotKnownIsUnknown(t *testing.T) {
	p := newProcessTree(t, Defaults())
	for _, name := range []string{"proc/meminfo", "etc/passwd"} {
		if err := os.Remove(filepath.Join(p.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	p.put(fake{pid: 1})
	p.read()
	for i, uptime := range []string{"", "x.00 1", "100.0 1", "100 1"} {
		pid := 10 + i
		p.put(fake{pid: pid, start: p.uptime + 50, user: 40, pages: 5})
		p.tick.Seq++
		p.now, p.uptime = p.now.Add(time.Second), p.uptime+100
		p.clock()
		p.write("proc/uptime", uptime)
		if _, err := p.process.Read(t.Context(), p.host, p.tick); err != nil {
			t.Fatal(err)
		}
		p.put(fake{pid: pid + 100, start: p.uptime + 50, user: 40, pages: 5})
		table := p.read()
		if r := row(t, table, pid+100); !math.IsNaN(r.CPU) || !math.IsNaN(r.Memory) || r.MemoryRSS == 0 {
			t.Errorf("uptime %q: %+v", uptime, r)
		}
	}
	p.write("proc/stat", "cpu 1 1 1 1\ncpu0 1 1 1 1\n")
	p.put(fake{pid: 500, noIO: true})
	p.tick.Seq++
	r, err := p.process.Read(t.Context(), p.host, p.tick)
	if err != nil {
		t.Fatal(err)
	}
	if r := row(t, r.(*ProcessTable), 500); !r.Started.IsZero() {
		t.Errorf("got %+v", r)
	}
	if err := os.Remove(filepath.Join(p.root, "proc/stat")); err != nil {
		t.Fatal(err)
	}
	p.host.statFile.close()
	p.tick.Seq++
	if r, err := p.process.Read(t.Context(), p.host, p.tick); err == nil {
		t.Errorf("without /proc/stat: %+v", r)
	}
	if _, err := p.processes.Read(t.Context(), p.host, p.tick); err != nil {
		t.Errorf("the count needs no /proc/stat: %v", err)
	}
}

func TestAGapHasNoRateButIsCounted(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7})
	p.read()
	p.now = p.now.Add(time.Minute)
	p.put(fake{pid: 7, user: 300})
	table := p.read()
	if r := row(t, table, 7); !math.IsNaN(r.CPU) {
		t.Errorf("got %+v", r)
	}
	if g := findProgram(t, table.Programs, "job"); g.UserSeconds != 3 || !math.IsNaN(g.User) {
		t.Errorf("got %+v", g)
	}
}

func TestProcessReport(t *testing.T) {
	c := Defaults()
	c.Processes.PID = true
	p := newProcessTree(t, c)
	p.put(fake{pid: 7, pages: 10, comm: "web"}, fake{pid: 8, pages: 20, comm: "web"}, fake{pid: 9, comm: "db", noIO: true})
	report := func() map[string]float64 {
		got := map[string]float64{}
		table := p.read()
		Visit(table, func(m *Metric, v float64, values []string) {
			key := strings.Join(append([]string{m.Name}, values...), " ")
			if _, twice := got[key]; twice {
				t.Errorf("%s is reported twice", key)
			}
			got[key] = v
		})
		return got
	}
	first := report()
	for key := range first {
		if strings.HasPrefix(key, "process.cpu.utilization") || strings.HasPrefix(key, "sysotel.process.top.cpu") {
			t.Errorf("the first look reports %s", key)
		}
	}
	p.user += 100
	p.put(fake{pid: 7, user: 30, system: 20, pages: 10, comm: "web", write: 4096})
	got := report()
	for key, want := range map[string]float64{
		"process.cpu.time web user":                 0.3,
		"process.cpu.time web system":               0.2,
		"process.cpu.time db user":                  0,
		"process.cpu.utilization web user":          0.15,
		"process.cpu.utilization web system":        0.1,
		"process.disk.io web read":                  0,
		"process.disk.io web write":                 4096,
		"process.memory.usage web":                  float64(30 * pageSize),
		"process.memory.virtual web":                8192000,
		"process.memory.utilization web":            float64(30*pageSize) / 1_024_000_000,
		"process.threads web":                       4,
		"sysotel.process.count web":                 2,
		"sysotel.process.count others":              0,
		"sysotel.process.unattributed.cpu.time":     0.5,
		"sysotel.process.top.cpu.utilization 7 web": 0.25,
		"sysotel.process.top.memory.usage 8 web":    float64(20 * pageSize),
		"sysotel.process.top.threads 7 web":         2,
	} {
		if v, ok := got[key]; !ok || !near(v, want) {
			t.Errorf("%s is %v (%v), want %v", key, v, ok, want)
		}
	}
	for _, key := range []string{"process.disk.io db read", "sysotel.process.top.threads 9 db"} {
		if v, ok := got[key]; ok {
			t.Errorf("%s is reported as %v", key, v)
		}
	}
}

func TestProcessMetricsAreWhatTheyAreReportedAs(t *testing.T) {
	p := newProcessTree(t, Defaults())
	p.put(fake{pid: 7})
	p.read()
	known := map[*Metric]bool{}
	for _, m := range append(p.process.Metrics(), p.processes.Metrics()...) {
		known[m] = true
		if m.Help == "" || m.Source == "" || strings.HasSuffix(m.Name, ".min") || strings.HasSuffix(m.Name, ".max") {
			t.Errorf("%+v", m)
		}
	}
	Visit(p.read(), func(m *Metric, _ float64, values []string) {
		if !known[m] || len(values) != len(m.Keys) {
			t.Errorf("%s is reported with %d values", m.Name, len(values))
		}
	})
}

func TestAppendPIDs(t *testing.T) {
	entry := func(name string) []byte {
		b := make([]byte, (19+len(name)+1+7)/8*8)
		b[16] = byte(len(b)) // The machines that Go runs Linux on and we build for are little-endian.
		copy(b[19:], name)
		return b
	}
	var text []byte
	for _, name := range []string{".", "..", "1", "self", "4194304", "12a", "99999999999999", "0", "acpi", "77"} {
		text = append(text, entry(name)...)
	}
	got := fmt.Sprint(appendPIDs(nil, text))
	if want := "[1 4194304 77]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range text {
		appendPIDs(nil, text[:i]) // Must not panic.
	}
}
