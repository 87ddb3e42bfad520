package guest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// property returns what systemd says of the agent's unit.
func (m *machine) property(name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.sh("systemctl show --property " + name + " --value sysotel"))
}

// drop replaces the test's own lines of the unit's section [Service], besides limits that an
// emulated machine may need.
func (m *machine) drop(lines string) {
	m.t.Helper()
	m.sh("mkdir -p /run/systemd/system/sysotel.service.d; printf '[Service]\nTimeoutStartSec=5min\nTimeoutStopSec=1min\n" + lines + "' >/run/systemd/system/sysotel.service.d/test.conf; systemctl daemon-reload")
}

// lives fails unless the agent is the process that it was, and answers.
func (m *machine) lives(pid, after string) {
	m.t.Helper()
	m.eventually("an active unit after "+after, func() error {
		if state := m.property("ActiveState"); state != "active" { // A reload may be on its way.
			return errors.New(state)
		}
		return nil
	})
	if now := m.property("MainPID"); now != pid {
		m.t.Errorf("after %s the agent is the process %s, want %s\n%s", after, now, pid, m.sh("journalctl -q -n 30 -u sysotel"))
	}
	ticks := m.ticks()
	m.eventually("readings after "+after, func() error {
		if now := m.ticks(); now < ticks+2 {
			return fmt.Errorf("tick %v, and %v at first", now, ticks)
		}
		return nil
	})
}

// ticks returns the number of the newest reading, -1 where the agent does not answer.
func (m *machine) ticks() float64 {
	m.t.Helper()
	said, code := m.try("wget -q -O - http://127.0.0.1:8080/api/v1/metrics/current | sed 's/.*\"tick\":\\([0-9]*\\).*/\\1/'")
	n, err := strconv.ParseFloat(strings.TrimSpace(said), 64)
	if code != 0 || err != nil {
		return -1
	}
	return n
}

// TestGuestService does to the shipped unit under systemd what befalls services: start, stop and
// reload in a storm, an agent that hangs, a journal that dies, a lack of memory, processes that
// are hidden. What was read stays.
func TestGuestService(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		m := bootSystem(t, kernel, hardware{}, "")
		stored := func() float64 { return m.value("count_over_time(system_memory_limit_bytes[1h])") }

		m.drop("")

		// Started is what answers.
		said := m.sh(`systemctl start --no-block sysotel
			while s=$(systemctl show -p ActiveState --value sysotel); [ $s = activating ] || [ $s = inactive ]; do waited=1; done
			wget -q -O /dev/null http://127.0.0.1:8080/api/v1/health && code=0 || code=$?; echo "$s $waited $code"`)
		if said != "active 1 0\n" {
			t.Fatalf("start: %q\n%s", said, m.sh("journalctl -q -n 30 -u sysotel"))
		}
		m.eventually("the status line", func() error {
			if said := m.property("StatusText"); !strings.HasPrefix(said, "ok") && !strings.HasPrefix(said, "degraded: family") {
				return fmt.Errorf("%q", said)
			}
			return nil
		})
		m.eventually("readings", func() error {
			if n := m.ticks(); n < 3 {
				return fmt.Errorf("tick %v", n)
			}
			return nil
		})

		// A user that exists while the agent runs, and the directory that is its own.
		pid := m.property("MainPID")
		user := m.number("stat -c %u /proc/" + pid)
		if user < 61184 || user > 65519 {
			t.Errorf("the agent runs as user %v", user)
		}
		if said := m.sh("readlink /var/lib/sysotel; stat -c '%a %u' /var/lib/private/sysotel"); said != fmt.Sprintf("private/sysotel\n700 %.0f\n", user) {
			t.Errorf("the data directory is %q", said)
		}

		// Stopped is a good end within the limit, and the history waits for the next start.
		held := stored()
		m.sh("systemctl stop sysotel")
		if result, state, code := m.property("Result"), m.property("ActiveState"), m.property("ExecMainStatus"); result != "success" || state != "inactive" || code != "0" {
			t.Errorf("stop: %s, %s, exit code %s", state, result, code)
		}
		// A reload that comes while it starts.
		m.sh("systemctl start --no-block sysotel; systemctl reload sysotel")
		pid = m.property("MainPID")
		m.lives(pid, "a reload at the start")
		if now := stored(); now < held {
			t.Errorf("the history has %v readings, and had %v before the stop", now, held)
		}

		m.sh("for i in 1 2 3 4 5 6 7 8 9 10; do systemctl reload sysotel & done; i=0; while [ $i -lt 300 ]; do kill -HUP " + pid + "; i=$((i+1)); done; wait")
		m.lives(pid, "a storm of reloads")
		// A mistake is told, and costs nothing.
		m.sh("cp /etc/sysotel/sysotel.yaml /run/good; echo 'nonsense: 1' >>/etc/sysotel/sysotel.yaml; systemctl reload sysotel")
		m.eventually("a status line that names the mistake", func() error {
			if said := m.property("StatusText"); !strings.HasPrefix(said, "degraded: configuration") {
				return fmt.Errorf("%q", said)
			}
			return nil
		})
		m.sh("cat /run/good >/etc/sysotel/sysotel.yaml; systemctl reload sysotel")
		m.eventually("a status line after it is mended", func() error {
			if said := m.property("StatusText"); strings.Contains(said, "configuration") {
				return fmt.Errorf("%q", said)
			}
			return nil
		})
		m.lives(pid, "a reload with a mistake")

		// A journal that is killed gets back what it read from; one that was stopped does not.
		mistake := "echo 'nonsense: 1' >>/etc/sysotel/sysotel.yaml; systemctl reload sysotel; cat /run/good >/etc/sysotel/sysotel.yaml; systemctl reload sysotel"
		lines := func() float64 { return m.number("journalctl -q --sync; journalctl -q -u sysotel | wc -l") }
		m.sh("systemctl kill -s KILL systemd-journald; " + mistake + "; sleep 2; " + mistake)
		m.lives(pid, "the journal was killed")
		before := lines()
		m.sh(mistake)
		m.eventually("lines in the journal that was killed", func() error {
			if now := lines(); now <= before {
				return fmt.Errorf("%v lines, and %v before", now, before)
			}
			return nil
		})
		m.sh("systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald; sleep 1; " + mistake + "; " + mistake)
		m.lives(pid, "the journal was stopped")
		m.sh("systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald; " + mistake)
		m.lives(pid, "the journal was started again")
		if n := m.property("NRestarts"); n != "0" {
			t.Errorf("systemd started the agent again, %s times", n)
		}

		// An agent that hangs is started again; one that is only slow is not.
		m.drop("WatchdogSec=30s\n")
		m.sh("systemctl restart sysotel; sleep 40")
		pid = m.property("MainPID")
		if n := m.property("NRestarts"); n != "0" {
			t.Errorf("an agent that lives was started again, %s times\n%s", n, m.sh("journalctl -q -n 30 -u sysotel"))
		}
		held = stored()
		m.sh("kill -STOP " + pid)
		again := func(what string) {
			t.Helper()
			m.eventuallyIn(2, what+": a new start", func() error {
				if n, state := m.property("NRestarts"), m.property("ActiveState"); n == "0" || state != "active" {
					return fmt.Errorf("%s, %s new starts", state, n)
				}
				return nil
			})
			m.lives(m.property("MainPID"), what)
			if now := stored(); now < held-inFlight.Seconds() {
				t.Errorf("%s: the history has %v readings, and had %v before", what, now, held)
			}
		}
		again("an agent that hung")
		if log := m.sh("journalctl -q -u sysotel"); !strings.Contains(log, "Watchdog timeout") {
			t.Errorf("systemd says nothing of its watchdog:\n%s", log)
		}

		// Too little memory for it.
		m.drop("")
		m.sh("systemctl restart sysotel; sleep 8")
		held = stored()
		m.sh("systemctl set-property --runtime sysotel MemoryMax=8M MemorySwapMax=0")
		m.eventuallyIn(2, "a new start after the kill", func() error {
			if m.property("NRestarts") == "0" {
				return fmt.Errorf("none, the unit is %s", m.property("ActiveState"))
			}
			return nil
		})
		m.sh("systemctl set-property --runtime sysotel MemoryMax=1G")
		again("a lack of memory")
		if log := m.sh("journalctl -q -u sysotel"); !strings.Contains(log, "oom-kill") {
			t.Errorf("systemd says nothing of the kill:\n%s", log)
		}

		// With the unit's capabilities nothing is hidden by ProtectProc; without them what is
		// hidden is not counted as absent.
		count := func() string {
			return m.sh(`wget -q -O - http://127.0.0.1:8080/api/v1/metrics/current | sed 's/.*"processes":{"total":\([a-z0-9]*\).*/\1/'`)
		}
		restart := func(lines string) {
			t.Helper()
			m.drop(lines)
			m.sh("systemctl restart sysotel")
			m.eventually("readings", func() error {
				if n := m.ticks(); n < 3 {
					return fmt.Errorf("tick %v", n)
				}
				return nil
			})
		}
		restart("ProtectProc=invisible\n")
		m.settles("sum(system_processes_count)", m.number("ls -d /proc/[0-9]* | wc -l"), 0.1)
		m.wantHealthy()
		restart("ProtectProc=invisible\nCapabilityBoundingSet=\nAmbientCapabilities=\n")
		if said := strings.TrimSpace(count()); said != "null" {
			t.Errorf("%s processes, most of them hidden", said)
		}
		if said := m.sh("wget -q -O - http://127.0.0.1:8080/api/v1/health"); !strings.Contains(said, "hides processes") {
			t.Errorf("health does not say that processes are hidden:\n%s", said)
		}
		// Without the files of /proc what they say is unknown, and the agent says so.
		restart("ProcSubset=pid\n")
		if usage := m.current().CPU.Usage; usage != nil {
			t.Errorf("the CPU is used by %v %%, as /proc without a file of it says", *usage)
		}
		if said := m.sh("wget -q -O - http://127.0.0.1:8080/api/v1/health"); !strings.Contains(said, "ProcSubset=pid") {
			t.Errorf("health does not say what /proc lacks:\n%s", said)
		}
		if log := m.sh("journalctl -q -u sysotel"); strings.Contains(log, "panic") {
			t.Error(log)
		}
	})
}
