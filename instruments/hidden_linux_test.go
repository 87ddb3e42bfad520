package instruments

import (
	"encoding/json"
	"errors"
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

// hiddenVariable makes the test program look at the machine from a place that hides a
// part of it. See TestHidden.
const hiddenVariable = "SYSOTEL_TEST_HIDDEN"

// placeSight is what the agent sees of the machine from one place.
type placeSight struct {
	// Collectors has, for each that gives no reading, why.
	Collectors map[string]string
	// Hidden are the parts that are said to be not visible, Missing other parts.
	Hidden, Missing map[string]string
	// Processes is their number, -1 where it is not given.
	Processes int
	// Unattributed is whether CPU time without a process is known.
	Unattributed bool
	Interfaces   []string
	Mounts       int
}

// TestHidden: what the mount options of /proc or a namespace hide from the agent is said
// to be not visible. It is not counted as if it were not there, and what is not hidden is
// measured as before.
func TestHidden(t *testing.T) {
	if place := os.Getenv(hiddenVariable); place != "" {
		lookAtHidden(t, place)
		return
	}
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("not root, and CI must run this test")
		}
		t.Skip("making namespaces needs root")
	}
	look := func(place string) (s placeSight) {
		t.Helper()
		// Its path is not open to other users.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestHidden$")
		cmd.Env = append(os.Environ(), hiddenVariable+"="+place)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		switch place {
		case "namespace":
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWPID
		case "users": // As root of a user namespace, as with userns-remap.
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.Credential = &syscall.Credential{}
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
		}
		text, err := cmd.CombinedOutput()
		first, _, _ := strings.Cut(string(text), "\n")
		if err == nil {
			err = json.Unmarshal([]byte(first), &s)
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", place, err, text)
		}
		return s
	}
	whole := look("whole")
	if whole.Processes < 5 || !whole.Unattributed || len(whole.Hidden) > 0 || len(whole.Collectors) > 0 || whole.Mounts == 0 {
		t.Fatalf("on this machine: %+v", whole)
	}
	near := func(n int) bool { return math.Abs(float64(n-whole.Processes)) <= 20+float64(whole.Processes)/2 }
	for place, want := range map[string]struct {
		hidden     string // Why processes are not visible; empty where all are.
		counted    bool   // Whether their number is given,
		all        bool   // and is that of the machine.
		machine    bool   // Whether CPU, memory and so on can be read.
		interfaces bool
	}{
		"invisible": {hidden: "hides processes of other users", machine: true, interfaces: true},
		"noaccess":  {hidden: "hides processes of other users", machine: true, interfaces: true},
		"namespace": {hidden: "PID namespace of its own", counted: true, machine: true, interfaces: true},
		"users":     {counted: true, all: true, machine: true, interfaces: true},
		"subset":    {counted: true, all: true, interfaces: true},
		"both":      {hidden: "hides processes of other users", interfaces: true}, // ProtectProc=invisible and ProcSubset=pid.
	} {
		s := look(place)
		for _, name := range []string{"process", "processes"} {
			if name == "process" && !want.machine {
				continue // Shares of CPU time need /proc/stat.
			}
			said := s.Hidden[name]
			if strings.HasPrefix(said, unheardSubject) && strings.Count(said, "\n") == 1 {
				said = "" // An agent that sees all need not hear of ends.
			}
			if (said == "") != (want.hidden == "") || !strings.Contains(said, want.hidden) {
				t.Errorf("%s: the reading of the collector %s is not whole because of %q", place, name, said)
			}
		}
		if s.Unattributed && want.hidden != "" || !s.Unattributed && want.hidden == "" && want.machine {
			t.Errorf("%s: CPU time without a process is known: %t", place, s.Unattributed)
		}
		switch {
		case !want.counted && s.Processes != -1:
			t.Errorf("%s: %d processes are counted, of which others are hidden", place, s.Processes)
		case want.all && !near(s.Processes), want.counted && !want.all && (s.Processes < 1 || near(s.Processes)):
			t.Errorf("%s: %d processes, the machine has %d", place, s.Processes, whole.Processes)
		}
		for _, name := range []string{"cpu", "memory", "load", "paging", "disk", "process"} {
			why, missing := s.Collectors[name]
			if missing == want.machine || missing && !strings.Contains(why, "not visible from here: /proc is mounted with subset=pid") {
				t.Errorf("%s: the collector %s: %q", place, name, why)
			}
		}
		for name, why := range s.Collectors {
			if !strings.HasPrefix(why, "unsupported: ") {
				t.Errorf("%s: the collector %s fails: %s", place, name, why)
			}
		}
		if len(s.Missing) > 0 {
			t.Errorf("%s: missing, and not as something that is not visible: %v", place, s.Missing)
		}
		if got := fmt.Sprint(s.Interfaces); want.interfaces && got != fmt.Sprint(whole.Interfaces) {
			t.Errorf("%s: the interfaces are %s, want %v", place, got, whole.Interfaces)
		}
		if s.Mounts < whole.Mounts {
			t.Errorf("%s: %d file systems, the machine has %d", place, s.Mounts, whole.Mounts)
		}
	}
}

// lookAtHidden goes to a place, looks twice and prints what it saw.
func lookAtHidden(t *testing.T, place string) {
	must := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", place, err)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	options := map[string]string{"invisible": "hidepid=invisible", "noaccess": "hidepid=noaccess", "namespace": "", "subset": "subset=pid", "both": "hidepid=invisible,subset=pid"}
	if with, ok := options[place]; ok {
		must(unix.Mount("proc", "/proc", "proc", 0, with))
	}
	switch place {
	case "invisible", "noaccess", "both":
		must(syscall.Setgroups(nil))
		must(syscall.Setresgid(65534, 65534, 65534)) // The group 0 sees all.
		must(syscall.Setresuid(65534, 65534, 65534))
	}
	h := NewHost("/")
	must(h.Check())
	now := time.Now()
	h.Now = func() time.Time { return now }
	c := Defaults()
	collectors := NewCollectors(c, nil)
	s := placeSight{Processes: -1}
	for seq := uint64(1); seq <= 2; seq++ {
		now = now.Add(time.Second)
		s.Collectors, s.Hidden, s.Missing, s.Interfaces = map[string]string{}, map[string]string{}, map[string]string{}, nil
		for _, one := range collectors {
			if one.Name() == "agent" || one.Name() == "custom" || !c.Collectors[one.Name()].Enabled {
				continue
			}
			reading, err := one.Read(t.Context(), h, Tick{Time: now, Seq: seq, Interval: time.Second})
			if err = h.Explain(err); err != nil {
				kind := "error: "
				if errors.Is(err, ErrUnsupported) {
					kind = "unsupported: "
				}
				if err.Error() != ErrUnsupported.Error() {
					s.Collectors[one.Name()] = kind + err.Error()
				}
				continue
			}
			if partial, ok := reading.(Partial); ok {
				for _, m := range partial.Missing() {
					to := s.Missing
					if m.Hidden {
						to = s.Hidden
					}
					to[one.Name()] += m.Subject + ": " + m.Reason + "\n"
				}
			}
			switch r := reading.(type) {
			case *ProcessTable:
				s.Unattributed = !math.IsNaN(r.Unattributed) && !math.IsNaN(r.UnattributedSeconds)
			case *Processes:
				if !r.Hidden {
					s.Processes = r.Total
				}
			case *Filesystem:
				s.Mounts = len(r.Mounts)
			}
			if one.Name() == "network" {
				Visit(reading, func(m *Metric, _ float64, values []string) {
					if m.Name == "system.network.io" && values[1] == "receive" {
						s.Interfaces = append(s.Interfaces, values[0])
					}
				})
			}
		}
	}
	text, err := json.Marshal(s)
	must(err)
	fmt.Println(string(text))
	os.Stdout.Sync()
	os.Exit(0)
}
