package guest

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"
)

// events returns the agent's events of a kind.
func (m *machine) events(kind string) []string {
	m.t.Helper()
	var answer struct {
		Events []struct{ Kind, Cause, Subject string }
	}
	if err := json.Unmarshal(m.get("/api/v1/events?start=-24h"), &answer); err != nil {
		m.t.Fatal(err)
	}
	var found []string
	for _, e := range answer.Events {
		if e.Kind == kind {
			found = append(found, e.Subject+" "+e.Cause)
		}
	}
	return found
}

// read returns the time of the newest reading.
func (m *machine) read() time.Time {
	m.t.Helper()
	at, err := time.Parse(time.RFC3339, m.current().Timestamp)
	if err != nil {
		m.t.Fatal(err)
	}
	return at
}

// started returns when a program began, by the process table.
func (m *machine) started(name string) time.Time {
	m.t.Helper()
	var table struct {
		Processes []struct {
			Name    string
			Started time.Time
		}
	}
	said := m.get("/api/v1/metrics/processes?top=100&q=" + name)
	if err := json.Unmarshal(said, &table); err != nil || len(table.Processes) == 0 {
		m.t.Fatalf("%s is not in the table: %v\n%s", name, err, said)
	}
	return table.Processes[0].Started
}

// TestGuestClock sets the clock by hours, ahead and back, under an agent that runs.
func TestGuestClock(t *testing.T) {
	onEach(t, func(t *testing.T, kernel string) {
		m := boot(t, kernel, hardware{})
		m.sh("sleep 100000 &")
		m.startAgent()
		wall := func() time.Time { return time.Unix(int64(m.number("date +%s")), 0) }
		// What the kernel says of the program and of the boot, by the clock of this moment.
		truth := func() (started, boot time.Time) {
			boot = time.Unix(int64(m.number("awk '/^btime/ {print $2}' /proc/stat")), 0)
			ticks := m.number("p=$(pidof sleep | tr ' ' '\\n' | sort -n | head -1); awk '{print $22}' /proc/$p/stat")
			return boot.Add(time.Duration(ticks) * 10 * time.Millisecond), boot
		}
		near := func(a, b time.Time, within time.Duration) bool { return a.Sub(b).Abs() <= within }
		follows := func(what string, offset time.Duration) {
			t.Helper()
			m.eventually(what, func() error {
				if read, want := m.read(), wall().Add(-offset); !near(read, want, 3*time.Second) {
					return fmt.Errorf("the newest reading is of %s, want %s", read, want)
				}
				started, boot := truth()
				if said := m.started("sleep"); !near(said, started.Add(-offset), 2*time.Second) {
					return fmt.Errorf("a program began at %s, want %s", said, started.Add(-offset))
				}
				if said := m.value("sysotel_boot_time_seconds"); math.Abs(said-float64(boot.Add(-offset).Unix())) > 2 {
					return fmt.Errorf("the boot was at %v, want %v", said, boot.Add(-offset).Unix())
				}
				return nil
			})
		}
		follows("at first", 0)

		// Two hours ahead: not believed for ten minutes. Taken back, nothing has happened.
		m.sh("date -s @$(($(date +%s) + 7200)) >/dev/null; sleep 3")
		follows("after a step ahead", 2*time.Hour)
		m.sh("date -s @$(($(date +%s) - 7200)) >/dev/null; sleep 3")
		follows("after it was taken back", 0)

		// Three hours back: history moves along at once.
		held := m.value("count_over_time(system_memory_limit_bytes[5m])")
		m.sh("date -s @$(($(date +%s) - 10800)) >/dev/null; sleep 3")
		follows("after a step back", 0)
		m.eventually("the history before the step", func() error {
			if n := m.value("count_over_time(system_memory_limit_bytes[10m])"); n < held {
				return fmt.Errorf("%v readings, there were %v", n, held)
			}
			return nil
		})
		if len(m.events("clock_step")) == 0 {
			t.Error("no event says that the clock was set")
		}
		if most := m.value("max_over_time(sysotel_cpu_usage_ratio[10m])"); most > 1 {
			t.Errorf("the CPU was used by %v", most)
		}
		m.wantHealthy()
	})
}
