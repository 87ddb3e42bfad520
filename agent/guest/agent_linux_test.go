package guest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// collectors are those whose time limit is raised: an emulated processor is slow.
var collectors = []string{
	"agent", "cgroup", "cpu", "custom", "disk", "filesystem", "load", "memory", "network", "paging", "pressure", "process",
	"processes", "system",
}

// slowConfig is a configuration with the longest limits that a tick of some seconds allows.
func slowConfig(tick int) string {
	var config strings.Builder
	fmt.Fprintf(&config, "sampling: {interval: %ds}\ninstruments:\n", tick)
	for _, c := range collectors {
		fmt.Fprintf(&config, "  %s: {timeout: %dms}\n", c, 1000*tick-100)
	}
	return config.String()
}

// startAgent starts the agent in a guest and waits for its third reading: rates need two.
// Further options are lines of flags.
func (m *machine) startAgent(options ...string) {
	m.t.Helper()
	m.sh("cat >/etc/sysotel.yaml <<'END'\n" + slowConfig(m.tick) + "END\n" +
		"/sysotel run --config /etc/sysotel.yaml " + strings.Join(options, " ") + " >>/run/sysotel.log 2>&1 & echo $! >/run/sysotel.pid")
	m.t.Cleanup(func() {
		if m.t.Failed() && m.alive() {
			said, _ := m.try("tail -50 /run/sysotel.log")
			m.t.Logf("the agent's log:\n%s", said)
		}
	})
	m.eventually("the third reading", func() error {
		said, code := m.try("wget -q -O - http://127.0.0.1:8080/api/v1/metrics/current")
		var now struct{ Tick int }
		if code != 0 {
			return fmt.Errorf("no answer: %s", said)
		}
		if err := json.Unmarshal([]byte(said), &now); err != nil {
			return err
		}
		if now.Tick < 3 {
			return fmt.Errorf("tick %d", now.Tick)
		}
		return nil
	})
}

// alive reports whether QEMU runs.
func (m *machine) alive() bool {
	select {
	case <-m.qemu.Exited():
		return false
	default:
		return true
	}
}

// eventually waits until check returns no error, for thirty ticks of the guest's time.
func (m *machine) eventually(what string, check func() error) {
	m.t.Helper()
	m.eventuallyIn(0.5*float64(m.tick), what, check)
}

// eventuallyIn waits as eventually does, for some minutes of the guest's time.
func (m *machine) eventuallyIn(minutes float64, what string, check func() error) {
	m.t.Helper()
	var err error
	for range int(minutes * 120) {
		if err = check(); err == nil {
			return
		}
		m.sh("usleep 500000")
	}
	m.t.Errorf("%s: %v", what, err)
}

// wait waits until a condition comes by this machine's clock, a minute at most: for what happens
// while the guest cannot be asked.
func (m *machine) wait(what string, come func() bool) {
	m.t.Helper()
	for range 120 {
		if come() {
			return
		}
		pause(m.t, 500*time.Millisecond)
	}
	m.t.Fatalf("%s: not within a minute", what)
}

// pause waits in real time.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("the test ended")
	}
}

// get returns an answer of the agent's API.
func (m *machine) get(path string) []byte {
	m.t.Helper()
	return []byte(m.sh("wget -q -O - 'http://127.0.0.1:8080" + path + "'"))
}

// A current is the newest reading, as far as scenarios look at it. What is unknown is nil.
type current struct {
	Timestamp string
	CPU       struct {
		Usage *float64 `json:"usage_percent"`
		Count int
		Cores []struct{ ID string }
	}
	Memory struct {
		Total float64
		Swap  struct{ Total, Used float64 }
	}
	Disk struct {
		Total, Used *float64
		IO          struct {
			Read  *float64 `json:"read_bytes_per_sec"`
			Write *float64 `json:"write_bytes_per_sec"`
		}
		Devices     []diskDevice
		Filesystems []struct {
			Device, Mountpoint, Type, Mode string
			Total, Used                    *float64
			Stuck                          bool
		}
	}
	Network struct {
		Sent       *float64 `json:"bytes_sent_per_sec"`
		Received   *float64 `json:"bytes_recv_per_sec"`
		Interfaces []struct {
			Name              string
			Physical, Counted bool
		}
	}
}

type diskDevice struct {
	Name, Mapper string
	Physical     bool
	Read         *float64 `json:"read_bytes_per_sec"`
	Write        *float64 `json:"write_bytes_per_sec"`
}

func (m *machine) current() current {
	m.t.Helper()
	var c current
	if err := json.Unmarshal(m.get("/api/v1/metrics/current"), &c); err != nil {
		m.t.Fatal(err)
	}
	return c
}

// query returns what a PromQL expression is at the newest reading: values by their labels
// without the name, the host's name left out.
func (m *machine) query(expression string) map[string]float64 {
	m.t.Helper()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	said := m.get("/prometheus/api/v1/query?query=" + url.QueryEscape(expression))
	if err := json.Unmarshal(said, &answer); err != nil {
		m.t.Fatalf("%v\n%s", err, said)
	}
	values := map[string]float64{}
	for _, r := range answer.Data.Result {
		var labels []string
		for name, value := range r.Metric {
			if name != "__name__" && name != "host_name" {
				labels = append(labels, value)
			}
		}
		slices.Sort(labels)
		number, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			m.t.Fatal(err)
		}
		values[strings.Join(labels, " ")] = number
	}
	return values
}

// integral returns what a rate adds up to since the agent started, by the times of its
// readings.
func (m *machine) integral(selector string) float64 {
	m.t.Helper()
	var answer struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	m.eventually(selector, func() error {
		said := m.get("/prometheus/api/v1/query?query=" + url.QueryEscape(selector+"[1h]"))
		if err := json.Unmarshal(said, &answer); err != nil || len(answer.Data.Result) != 1 {
			return fmt.Errorf("%v\n%s", err, said)
		}
		return nil
	})
	if len(answer.Data.Result) != 1 {
		m.t.FailNow()
	}
	sum, last := 0.0, 0.0
	for i, v := range answer.Data.Result[0].Values {
		rate, err := strconv.ParseFloat(fmt.Sprint(v[1]), 64)
		if err != nil {
			m.t.Fatal(err)
		}
		now := v[0].(float64)
		if i > 0 {
			sum += rate * (now - last)
		}
		last = now
	}
	return sum
}

// value returns the only value of a PromQL expression, and waits for it: a reading that is late
// lacks a part.
func (m *machine) value(expression string) float64 {
	m.t.Helper()
	var value float64
	found := false
	m.eventually(expression, func() error {
		values := m.query(expression)
		for _, value = range values {
		}
		if found = len(values) == 1; !found {
			return fmt.Errorf("%d values: %v", len(values), values)
		}
		return nil
	})
	if !found {
		m.t.FailNow()
	}
	return value
}

// settles waits until an expression has the value that is true, within a share of it: a
// reading is a second old, and what is written may still be on its way.
func (m *machine) settles(expression string, truth, within float64) {
	m.t.Helper()
	m.eventually(expression, func() error {
		values := m.query(expression)
		for _, v := range values {
			if len(values) == 1 && math.Abs(v-truth) <= within*math.Abs(truth) {
				return nil
			}
		}
		return fmt.Errorf("%v, want %v within %v", values, truth, within*math.Abs(truth))
	})
}

// number returns the number that a script prints.
func (m *machine) number(script string) float64 {
	m.t.Helper()
	said := strings.TrimSpace(m.sh(script))
	n, err := strconv.ParseFloat(said, 64)
	if err != nil {
		m.t.Fatalf("%s prints %q", script, said)
	}
	return n
}

// unhealthy returns the reasons of the parts of the agent that are not well.
func (m *machine) unhealthy() map[string]string {
	m.t.Helper()
	var health struct {
		Parts []struct{ Name, Status, Reason string }
	}
	said, _ := m.try("wget -q -O - http://127.0.0.1:8080/api/v1/health")
	if err := json.Unmarshal([]byte(said), &health); err != nil {
		m.t.Fatalf("%v\n%s", err, said)
	}
	reasons := map[string]string{}
	for _, p := range health.Parts {
		if p.Status != "ok" {
			reasons[p.Name] = p.Reason
		}
	}
	return reasons
}

// wantHealthy fails if a collector is not well.
func (m *machine) wantHealthy() {
	m.t.Helper()
	for part, reason := range m.unhealthy() {
		if strings.HasPrefix(part, "family ") {
			m.t.Errorf("%s: %s", part, reason)
		}
	}
}

// all reports whether all scenarios were asked for, as by make guest.
func all() bool { return os.Getenv("SYSOTEL_TEST_GUEST") != "" }

// onEach runs a scenario on each kernel. By emulation it takes minutes and what is late says
// nothing, so make test leaves it out.
func onEach(t *testing.T, scenario func(t *testing.T, kernel string)) {
	if !all() {
		t.Skip("not tested; make guest does")
	}
	for _, k := range kernels {
		t.Run(k, func(t *testing.T) { scenario(t, k) })
	}
}
