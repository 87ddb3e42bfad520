package api

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/instruments"
)

// The example of the product requirements, word for word.
const required = `{
  "timestamp": "2026-02-02T10:30:00Z",
  "hostname": "server-01",
  "cpu": {
    "usage_percent": 45.2,
    "per_core": [42.1, 48.3, 43.5, 47.0],
    "frequency": {"current": 2400, "min": 800, "max": 3600},
    "load_average": [2.5, 2.3, 2.1]
  },
  "memory": {
    "total": 17179869184, "available": 8589934592, "used": 8589934592, "percent": 50.0,
    "swap": {"total": 4294967296, "used": 1073741824, "percent": 25.0}
  },
  "disk": {
    "total": 536870912000, "used": 322122547200, "free": 214748364800, "percent": 60.0,
    "io": {"read_bytes_per_sec": 1048576, "write_bytes_per_sec": 524288, "read_count_per_sec": 100, "write_count_per_sec": 50}
  },
  "network": {
    "bytes_sent_per_sec": 1048576, "bytes_recv_per_sec": 2097152,
    "packets_sent_per_sec": 1000, "packets_recv_per_sec": 1500, "errors_in": 0, "errors_out": 0
  }
}`

// getCurrent requests /current, validates it against its schema and decodes it.
func getCurrent(t *testing.T, s *Server) map[string]any {
	t.Helper()
	w := ask(s, http.MethodGet, "/api/v1/metrics/current", nil)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	return validated(t, s, "/api/v1/metrics/current", w.Body.Bytes())
}

// validated decodes a response and validates it against the schema in the
// document.
func validated(t *testing.T, s *Server, path string, body []byte) map[string]any {
	t.Helper()
	item := s.api.OpenAPI().Paths[path]
	return validatedAs(t, s, cmp.Or(item.Get, item.Post), body)
}

// validatedAs is validated for any operation.
func validatedAs(t *testing.T, s *Server, op *huma.Operation, body []byte) map[string]any {
	t.Helper()
	path := op.Path
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
	schema := op.Responses["200"].Content["application/json"].Schema
	result := &huma.ValidateResult{}
	huma.Validate(s.routes.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, any(v), result)
	for _, err := range result.Errors {
		t.Errorf("%s: the answer is not what the document declares: %v", path, err)
	}
	return v
}

func TestCurrentIsWhatIsRequired(t *testing.T) {
	m := newFakeMachine(exampleReadings())
	m.at = exampleTime.Add(-1e9)
	m.tick()
	got := getCurrent(t, newTestServer(t, m, nil))
	var want map[string]any
	if err := json.Unmarshal([]byte(required), &want); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, want, got any)
	compare = func(path string, want, got any) {
		inside, ok := want.(map[string]any)
		if !ok {
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
			return
		}
		has, _ := got.(map[string]any)
		for key, value := range inside {
			compare(path+"."+key, value, has[key])
		}
	}
	compare("", want, got)
}

// Without readings every key is present, and the only numbers are those of the tick
// and the interval.
func TestCurrentOfAnUnknownMachine(t *testing.T) {
	m := newFakeMachine(nil)
	m.tick()
	s := newTestServer(t, m, nil)
	unknownMachine := getCurrent(t, s)
	found := map[string]float64{}
	numbersOf(unknownMachine, "", found)
	if want := map[string]float64{"tick": 1, "interval_seconds": 1}; !reflect.DeepEqual(found, want) {
		t.Errorf("numbers that were not measured: %v, want only %v", found, want)
	}
	keys := func(v map[string]any) []string {
		order, err := keyOrder(mustIndent(t, v))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for key := range order {
			if !strings.Contains(key, "[]") {
				all = append(all, key)
			}
		}
		return all
	}
	known := getCurrent(t, newTestServer(t, ticked(), nil))
	if a, b := len(keys(unknownMachine)), len(keys(known)); a != b {
		t.Errorf("an unknown machine has %d keys, a known one %d", a, b)
	}
}

func mustIndent(t *testing.T, v any) string {
	t.Helper()
	text, err := indented(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The first reading has no rates: they are unknown, so null.
func TestCurrentBeforeTwoReadings(t *testing.T) {
	none := math.NaN()
	rates := instruments.DiskRates{ReadBytesPerSecond: none, WriteBytesPerSecond: none, ReadsPerSecond: none, WritesPerSecond: none}
	traffic := instruments.NetworkRates{
		BytesReceivedPerSecond: none, BytesSentPerSecond: none, PacketsReceivedPerSecond: none, PacketsSentPerSecond: none,
		ErrorsReceivedPerSecond: none, ErrorsSentPerSecond: none, DroppedReceivedPerSecond: none, DroppedSentPerSecond: math.Inf(1),
	}
	m := newFakeMachine(map[string]instruments.Reading{
		"cpu": &instruments.CPU{
			Usage: none, Logical: 1,
			States: instruments.CPUStates{User: none, Nice: none, System: none, Idle: none, Wait: none, Interrupt: none, SoftIRQ: none, Steal: none},
			Cores:  []instruments.Core{{ID: "cpu0", Usage: none, Frequency: none}},
		},
		"disk": &instruments.Disk{Total: rates, Detailed: true, Devices: []instruments.DiskDevice{
			{Name: "sda", DiskRates: rates, Busy: none, Queue: none, ReadLatency: none, WriteLatency: none},
		}},
		"network":    &instruments.Network{Total: traffic, Interfaces: []instruments.Interface{{Name: "eth0", NetworkRates: traffic, Speed: none}}},
		"filesystem": &instruments.Filesystem{Mounts: []instruments.Mount{{Mountpoint: "/mnt/dead", Stuck: true, Reason: "does not answer"}}},
		"pressure":   &instruments.Pressure{Resources: []instruments.ResourcePressure{{Resource: "cpu", Some: &instruments.Stall{Utilization: none, Avg10: none, Avg60: none, Avg300: none}}}},
	})
	m.tick()
	found := map[string]float64{}
	numbersOf(getCurrent(t, newTestServer(t, m, nil)), "", found)
	want := map[string]float64{
		"tick": 1, "interval_seconds": 1, "cpu.count": 1,
		// The frequencies of this fixture are 0, as measured.
		"cpu.frequency.current": 0, "cpu.frequency.min": 0, "cpu.frequency.max": 0,
	}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("numbers: %v, want %v", found, want)
	}
}

func TestCurrentBeforeTheFirstTick(t *testing.T) {
	s := newTestServer(t, newFakeMachine(exampleReadings()), nil)
	for _, path := range []string{"/api/v1/metrics/current", "/api/v1/metrics/processes"} {
		if path == "/api/v1/metrics/processes" {
			s = newTestServer(t, newFakeMachine(nil), nil)
		}
		w := ask(s, http.MethodGet, path, nil)
		problemOf(t, w, http.StatusServiceUnavailable)
		if w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s does not say when to ask again", path)
		}
	}
}

// A tick is encoded once, however many requests there are; the next tick is encoded
// anew.
func TestCurrentIsEncodedOnceATick(t *testing.T) {
	m := ticked()
	s := newTestServer(t, m, nil)
	for tick := 1; tick <= 3; tick++ {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				var c Current
				if err := json.Unmarshal(ask(s, http.MethodGet, "/api/v1/metrics/current", nil).Body.Bytes(), &c); err != nil || c.Tick != uint64(tick) {
					t.Errorf("tick %d: got %d, %v", tick, c.Tick, err)
				}
			})
		}
		all.Wait()
		if got := m.timesEncoded(); got != tick {
			t.Errorf("after %d ticks the reading was encoded %d times", tick, got)
		}
		m.tick()
	}
}

func TestHeadOfCurrent(t *testing.T) {
	w := ask(newTestServer(t, ticked(), nil), http.MethodHead, "/api/v1/metrics/current", nil)
	if w.Code != 200 || w.Header().Get("Content-Length") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{number(math.NaN()), "null"},
		{number(math.Inf(1)), "null"},
		{number(math.Inf(-1)), "null"},
		{number(0), "0"},
		{number(math.Copysign(0, -1)), "0"},
		{number(-0.0001), "0"},
		{number(45.2), "45.2"},
		{number(100.0 / 3), "33.333"},
		{number(0.1 + 0.2), "0.3"},
		{number(-1.5), "-1.5"},
		{number(1e15), "1000000000000000"},
		{number(1e20), "100000000000000000000"},
		{count(17179869184), "17179869184"},
		{count(1 << 53), "9007199254740992"},
		{count(math.NaN()), "null"},
		{count(2.7), "3"},
	} {
		b, err := json.Marshal(c.v)
		if err != nil || string(b) != c.want {
			t.Errorf("%v: %s, %v, want %s", c.v, b, err, c.want)
		}
	}
	var got struct {
		A, B number
		C    count
	}
	if err := json.Unmarshal([]byte(`{"A":null,"B":1.5,"C":null}`), &got); err != nil || !isUnknown(got.A) || got.B != 1.5 || !math.IsNaN(float64(got.C)) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"x"}`), &got); err == nil {
		t.Error("text was taken for a number")
	}
}
