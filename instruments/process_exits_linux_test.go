package instruments

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hearing skips a test where the kernel does not report the ends of processes, and fails it
// in CI: it needs root in the first namespaces.
func hearing(t *testing.T, table *ProcessTable) {
	t.Helper()
	if table.ExitsHeard {
		return
	}
	for _, part := range table.Missing() {
		if part.Subject == unheardSubject || part.Subject == wholeScope {
			if os.Getenv("CI") != "" {
				t.Fatalf("CI must run this: %s", part.Reason)
			}
			t.Skip(part.Reason)
		}
	}
	t.Fatal("ends are not heard, and nothing says why")
}

// linked gives children a program of their own name: a link to the test program.
func linked(t *testing.T, name string) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// children is what the kernel says that all children used which were waited for.
func children(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// program is what a table has of a program, of the others where it has no name.
func (a *processAccounts) program(name string) (used time.Duration, ended uint64) {
	g := a.programs.byName[name]
	if g == nil {
		return 0, 0
	}
	return time.Duration(g.look.user+g.look.system) * (time.Second / cpuTicks), g.look.ended
}

// TestEveryEndIsHeard starts thousands of processes that live for a millisecond.
func TestEveryEndIsHeard(t *testing.T) {
	m := newRealProcesses(t)
	hearing(t, m.read())
	m.read()
	name := fmt.Sprintf("short-%d", os.Getpid()%100_000)
	path := filepath.Join(t.TempDir(), name)
	text, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	const most = 5000
	var heard uint64
	var used time.Duration
	var busy float64
	parents := map[string]int{}
	begin, lost := children(t), m.read().UnattributedSeconds
	for i := range most {
		if err := exec.Command(path).Run(); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 {
			table := m.read()
			u, ended := m.host.table.accounts.program(name)
			for _, short := range table.Short {
				if short.Program == name {
					parents[short.Parent] += short.Count
				}
			}
			heard, used, busy = heard+ended, used+u, busy+addKnown(0, table.Busy)
		}
	}
	var table *ProcessTable
	for range 3 {
		table = m.read()
		for _, short := range table.Short {
			if short.Program == name {
				parents[short.Parent] += short.Count
			}
		}
		u, ended := m.host.table.accounts.program(name)
		heard, used, busy = heard+ended, used+u, busy+addKnown(0, table.Busy)
	}
	truth := children(t) - begin
	lost = table.UnattributedSeconds - lost
	t.Logf("used %v of %v; %.2f s of %.2f s are unattributed", used, truth, lost, busy)
	within(t, "CPU time of short processes", used.Seconds(), truth.Seconds(), 0.1)
	// What is missing is given away one look late, so at the start of a storm a look's is not.
	if lost > busy*0.02+0.1 {
		t.Errorf("%.2f s of %.2f s are unattributed", lost, busy)
	}
	// One that is caught alive by a look has a row of its own.
	own := row(t, table, os.Getpid()).Program
	if len(parents) != 1 || parents[own] < most-20 || parents[own] > most {
		t.Errorf("short processes by parent are %v, the parent is %s", parents, own)
	}
	if heard != most {
		t.Errorf("%d ends were heard of %d, overflows: %d", heard, most, table.ExitsLost)
	}
}

// TestTruthOfShortProcesses compares what short processes used with what the kernel says
// to who has waited for them.
func TestTruthOfShortProcesses(t *testing.T) {
	m := newRealProcesses(t)
	hearing(t, m.read())
	m.read()
	name := fmt.Sprintf("burner-%d", os.Getpid()%100_000)
	path := linked(t, name)
	begin := children(t)
	var used time.Duration
	for i := range 2000 {
		cmd := exec.Command(path, "-test.run=^$")
		cmd.Env = append(os.Environ(), shortVariable+"=1")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if i%20 == 19 {
			m.read()
			u, _ := m.host.table.accounts.program(name)
			used += u
		}
	}
	for range 3 { // What is missing at two looks is given away.
		m.read()
		u, _ := m.host.table.accounts.program(name)
		used += u
	}
	truth := children(t) - begin
	t.Logf("used %v of %v, %.2f %%", used, truth, 100*used.Seconds()/truth.Seconds())
	if math.Abs((used - truth).Seconds()) > truth.Seconds()/100 {
		t.Errorf("short processes used %v, the truth is %v", used, truth)
	}
}

// TestTruthOfTheEnd: a process that was seen gets what it used after that, once.
func TestTruthOfTheEnd(t *testing.T) {
	m := newRealProcesses(t)
	hearing(t, m.read())
	m.read()
	begin := children(t)
	var used time.Duration
	var ended uint64
	look := func() {
		m.read()
		u, n := m.host.table.accounts.program(childName(os.Getpid()))
		used, ended = used+u, ended+n
	}
	c := startChild(t)
	c.numbers("burn 500")
	look()
	look()
	c.numbers("burn 300")
	c.orders.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		look()
	}
	within(t, "CPU time of a process that has ended", used.Seconds(), (children(t) - begin).Seconds(), 2.0/userHZ)
	if ended != 1 {
		t.Errorf("it has ended %d times", ended)
	}
}

// shortVariable makes the test program a child that uses some milliseconds and ends.
const shortVariable = "SYSOTEL_TEST_SHORT"

func init() {
	if os.Getenv(shortVariable) == "" {
		return
	}
	if err := burn("5"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// BenchmarkExits is what the agent takes for each process that ends.
func BenchmarkExits(b *testing.B) {
	h := NewHost("/")
	defer h.table.close()
	p := newProcess(Defaults()).(*process)
	var r *ProcessTable
	read := func() {
		reading, err := p.Read(b.Context(), h, Tick{Seq: h.table.seq + 1, Interval: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		r = reading.(*ProcessTable)
	}
	read()
	if read(); !r.ExitsHeard {
		b.Skip("ends are not heard here")
	}
	const ends = 1000
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range ends {
			if _, err := syscall.ForkExec("/dev/null/none", []string{"none"}, nil); !errors.Is(err, unix.ENOTDIR) {
				b.Fatal(err)
			}
		}
		p.programs.begin()
		b.StartTimer()
		p.hear(&h.table, 1, 1e9, r)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/ends, "ns/exit")
}

// record is a struct taskstats in its attribute, as a test wants it.
func record(kind uint16, pid, tgid int, flag byte, run, user uint64, comm string) []byte {
	order := binary.NativeEndian
	b := make([]byte, leastTaskstats)
	order.PutUint16(b, taskstatsVersion)
	order.PutUint64(b[atRun:], run)
	order.PutUint64(b[atUser:], user)
	order.PutUint32(b[atPID:], uint32(pid))
	order.PutUint32(b[atGroup:], uint32(tgid))
	b[atFlag] = flag
	copy(b[atComm:], comm)
	return nested(kind, nested(unix.TASKSTATS_TYPE_STATS, b))
}

func nested(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(len(value)+attributeHeader))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// TestThreadsOfAnEndedProcess: a process has ended when its last thread has, whichever that
// is; its name is that of the first one, and its time that of all.
func TestThreadsOfAnEndedProcess(t *testing.T) {
	l := &exitListener{groups: map[int]*taskSums{}}
	hear := func(attributes ...[]byte) {
		m := make([]byte, netlinkHeader+genericHeader)
		m[netlinkHeader] = unix.TASKSTATS_CMD_NEW
		for _, a := range attributes {
			m = append(m, a...)
		}
		l.message(m)
	}
	const one, all = unix.TASKSTATS_TYPE_AGGR_PID, unix.TASKSTATS_TYPE_AGGR_TGID
	hear(record(one, 10, 10, 0, 5e6, 4000, "leader"))
	hear(record(one, 11, 10, 0, 5e6, 4000, "worker"))
	hear(record(one, 20, 20, groupEnded, 3e6, 0, "alone"))
	if len(l.now.heard) != 1 || l.now.heard[0].pid != 20 || l.now.heard[0].run != 3*time.Millisecond {
		t.Fatalf("heard %+v while threads of a process live", l.now.heard)
	}
	hear(record(one, 12, 10, groupEnded, 1e6, 4000, "worker"), record(all, 0, 0, 0, 11e6, 0, ""))
	if e := l.now.heard[1]; e.pid != 10 || e.comm != "leader" || e.run != 11*time.Millisecond || e.user != 12*time.Millisecond {
		t.Errorf("heard %+v", e)
	}
	if len(l.groups) != 0 {
		t.Errorf("%d processes are kept that have ended", len(l.groups))
	}
	old := record(one, 30, 30, groupEnded, 0, 0, "old")
	binary.NativeEndian.PutUint16(old[2*attributeHeader:], taskstatsVersion-1)
	hear(old)
	hear(record(one, 0, 0, groupEnded, 0, 0, "none"))
	if l.odd != 2 || len(l.now.heard) != 2 {
		t.Errorf("%d odd records, %d heard", l.odd, len(l.now.heard))
	}
	for n := range 3 * maxGroups { // Threads without end.
		hear(record(one, 100_000+n, 1000+n, 0, 1, 1, "thread"))
	}
	if len(l.groups) != maxGroups {
		t.Errorf("%d processes are kept, at most %d may be", len(l.groups), maxGroups)
	}
}

// FuzzExits: whatever a message holds, it is heard or odd, and nothing breaks.
func FuzzExits(f *testing.F) {
	f.Add(append(make([]byte, netlinkHeader+genericHeader), record(unix.TASKSTATS_TYPE_AGGR_PID, 1, 1, groupEnded, 1, 1, "a")...))
	f.Fuzz(func(t *testing.T, m []byte) {
		l := &exitListener{groups: map[int]*taskSums{}}
		if len(m) > netlinkHeader {
			m[netlinkHeader] = unix.TASKSTATS_CMD_NEW
		}
		if l.message(m); uint64(len(l.now.heard)+len(l.groups))+l.odd > 1 {
			t.Errorf("%d ends, %d threads, %d odd in one message", len(l.now.heard), len(l.groups), l.odd)
		}
	})
}
