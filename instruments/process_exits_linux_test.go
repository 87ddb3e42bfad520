package instruments

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hearing skips a test where the kernel does not tell of the ends of processes: it needs
// root in the first namespaces.
func hearing(t *testing.T, table *ProcessTable) {
	t.Helper()
	if table.ExitsHeard {
		return
	}
	for _, part := range table.Missing() {
		if part.Subject == unheardSubject || part.Subject == wholeScope {
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
		t.Skip(err)
	}
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	const most = 5000
	var heard uint64
	for i := range most {
		if err := exec.Command(path).Run(); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 {
			m.read()
			_, ended := m.host.table.accounts.program(name)
			heard += ended
		}
	}
	table := m.read()
	_, ended := m.host.table.accounts.program(name)
	if heard += ended; heard != most {
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
	m.read()
	u, _ := m.host.table.accounts.program(name)
	used += u
	truth := children(t) - begin
	t.Logf("used %v of %v, %.2f %%", used, truth, 100*used.Seconds()/truth.Seconds())
	if math.Abs((used - truth).Seconds()) > truth.Seconds()/20 {
		t.Errorf("short processes used %v, the truth is %v", used, truth)
	}
}

// shortVariable makes the test program a child that uses some milliseconds and ends.
const shortVariable = "SYSOTEL_TEST_SHORT"

func init() {
	if os.Getenv(shortVariable) == "" {
		return
	}
	if err := burn("20"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
