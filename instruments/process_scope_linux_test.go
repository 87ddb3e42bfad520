package instruments

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scopeVariable makes the test program look at the processes from a place where it does
// not see all. See TestScope.
const scopeVariable = "SYSOTEL_TEST_SCOPE"

// TestScope: from a PID namespace of its own, and where /proc hides processes, CPU time
// without a process is unknown, and the reading says why. The machine is busy meanwhile.
func TestScope(t *testing.T) {
	if place := os.Getenv(scopeVariable); place != "" {
		lookFrom(t, place)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("making namespaces needs root")
	}
	m := newRealProcesses(t)
	m.read()
	if table := m.read(); table.Missing() != nil || math.IsNaN(table.Unattributed) || math.IsNaN(table.UnattributedSeconds) {
		t.Errorf("on this machine: %v, unattributed %v", table.Missing(), table.Unattributed)
	}
	for place, want := range map[string]string{
		"network":   "",
		"nobody":    "",
		"namespace": "PID namespace of its own",
		"nested":    "", // It was given the machine's /proc, as with -v /:/host.
		"hidden":    "hides processes",
		"unread":    "hides processes",
		"root":      "", // Who may see everything sees everything.
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestScope$")
		cmd.Env = append(os.Environ(), scopeVariable+"="+place)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		if place == "namespace" || place == "nested" {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWPID
		}
		network := "shared"
		if place == "network" {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
			network = "own"
		}
		text, err := cmd.CombinedOutput()
		line, _, _ := strings.Cut(string(text), "\n")
		fields := strings.SplitN(line, "|", 5)
		if err != nil || len(fields) != 5 {
			t.Fatalf("%s: %v\n%s", place, err, text)
		}
		unattributed := "unknown"
		if want == "" {
			unattributed = "known"
		}
		if want == "" && strings.HasPrefix(fields[4], "[{"+unheardSubject+" ") && strings.Count(fields[4], "{") == 1 {
			fields[4] = "[]" // An agent that may see all need not hear of ends.
		}
		if fields[0] != unattributed || fields[1] != "own row" || fields[2] != network || !strings.Contains(fields[4], want) || want == "" && fields[4] != "[]" {
			t.Errorf("%s: %s", place, line)
		}
	}
}

// lookFrom goes to a place, looks twice and prints what it saw.
func lookFrom(t *testing.T, place string) {
	must := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", place, err)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	root, options := "/", ""
	switch place {
	case "nested":
		root = t.TempDir()
		must(os.Mkdir(root+"/proc", 0o755))
		must(unix.Mount("/proc", root+"/proc", "", unix.MS_BIND, ""))
	case "hidden", "root":
		options = "hidepid=2"
	case "unread":
		options = "hidepid=1"
	}
	switch place {
	case "nested", "network", "nobody":
	default:
		must(unix.Mount("proc", "/proc", "proc", 0, options))
	}
	switch place {
	case "hidden", "unread", "network", "nobody":
		must(syscall.Setgroups(nil))
		must(syscall.Setresgid(65534, 65534, 65534)) // The group 0 sees all.
		must(syscall.Setresuid(65534, 65534, 65534))
	}
	h := NewHost(root)
	now := time.Now()
	h.Now = func() time.Time { return now }
	p := newProcess(Defaults())
	var table *ProcessTable
	for i := range 2 {
		now = now.Add(time.Second)
		r, err := p.Read(t.Context(), h, Tick{Seq: uint64(i), Interval: time.Second})
		must(err)
		table = r.(*ProcessTable)
	}
	words := []string{"known", "no own row"}
	if math.IsNaN(table.Unattributed) && math.IsNaN(table.UnattributedSeconds) {
		words[0] = "unknown"
	}
	for _, r := range table.All {
		if r.Program == baseName(os.Args[0]) {
			words[1] = "own row"
		}
	}
	words = append(words, "own")
	if h.ownNetwork {
		words[2] = "shared"
	}
	fmt.Printf("%s|%s|%s|%d rows|%v\n", words[0], words[1], words[2], len(table.All), table.Missing())
	os.Stdout.Sync()
	os.Exit(0)
}

// TestScopeByItsFiles: what shows in which namespace a /proc is.
func TestScopeByItsFiles(t *testing.T) {
	const kernel, program = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n", "2 (bash) S 1 0 0 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0\n"
	for _, c := range []struct {
		first, own, status, second string
		whole                      bool
	}{
		{whole: true},
		{first: initialPIDs, whole: true},
		{first: initialPIDs, own: "pid:[4026532001]", status: "NSpid:\t4242\t7\n", whole: true},
		{first: "pid:[4026532001]"},
		{own: initialPIDs, status: "Name:\tx\nNSpid:\t4242\n", whole: true},
		{own: "pid:[4026532001]", status: "NSpid:\t7\n"},
		{own: "pid:[4026532001]", status: "NSpid:\t4242\t7\n", second: kernel, whole: true},
		{own: "pid:[4026532001]", status: "NSpid:\t4242\t7\n", second: program},
		{own: "pid:[4026532001]", status: "NSpid:\t4242\t7\n"},
	} {
		p := newProcessTree(t, Defaults())
		for name, text := range map[string]string{"proc/self/status": c.status, "proc/2/stat": c.second} {
			if text != "" {
				p.write(name, text)
			}
		}
		for dir, ns := range map[string]string{"proc/1/ns": c.first, "proc/self/ns": c.own} {
			if ns == "" {
				continue
			}
			if err := os.MkdirAll(p.root+"/"+dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(ns, p.root+"/"+dir+"/pid"); err != nil {
				t.Fatal(err)
			}
		}
		p.put(fake{pid: 7})
		p.read()
		p.user += 50
		table := p.read()
		if whole := near(table.Unattributed, 0.25) && near(table.UnattributedSeconds, 0.5) && table.Missing() == nil; whole != c.whole {
			t.Errorf("%+v: unattributed %v, %v s, %v", c, table.Unattributed, table.UnattributedSeconds, table.Missing())
		}
	}
}
