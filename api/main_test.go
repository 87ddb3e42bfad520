package api

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sysotel/agent/health"
	"sysotel/instruments"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeMachine is a machine whose ticks the test controls.
type fakeMachine struct {
	mu       sync.Mutex
	seq      uint64
	at       time.Time
	next     chan struct{}
	readings map[string]instruments.Reading
	asked    int
}

func newFakeMachine(readings map[string]instruments.Reading) *fakeMachine {
	return &fakeMachine{next: make(chan struct{}), at: exampleTime, readings: readings}
}

func (m *fakeMachine) Tick() (uint64, time.Time, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq, m.at, m.next
}

func (m *fakeMachine) Newest(family string) (instruments.Reading, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if family == "cpu" {
		m.asked++
	}
	if r, ok := m.readings[family]; ok {
		return r, m.at
	}
	return nil, time.Time{}
}

func (m *fakeMachine) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq++
	m.at = m.at.Add(time.Second)
	close(m.next)
	m.next = make(chan struct{})
}

func (m *fakeMachine) timesEncoded() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

var quiet = slog.New(slog.DiscardHandler)

// newTestServer returns a server; change may be nil.
func newTestServer(t testing.TB, m Machine, change func(*Options)) *Server {
	t.Helper()
	o := Options{
		Config: HTTPConfig{Listen: "127.0.0.1:0"}, Machine: m, Health: func() []health.Component { return nil },
		Hostname: "server-01", Version: "1.2.3", Interval: time.Second, Logger: quiet,
		MetricsPage: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ticked is a machine with the example's readings and one complete tick.
func ticked() *fakeMachine {
	m := newFakeMachine(exampleReadings())
	m.tick()
	return m
}

// ask sends a request as if over loopback.
func ask(s *Server, method, target string, header http.Header) *httptest.ResponseRecorder {
	return askAs(s, Viewer, method, target, header)
}

func askAs(s *Server, caller Role, method, target string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, nil)
	r.Host = "localhost:8080"
	for name, values := range header {
		if name == "Host" {
			r.Host = values[0]
			continue
		}
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), Caller{Role: caller})))
	return w
}

// problemOf decodes a problem and checks that it is one.
func problemOf(t *testing.T, w *httptest.ResponseRecorder, status int) (detail string, invalid map[string]string) {
	t.Helper()
	if w.Code != status {
		t.Fatalf("status %d, want %d; body %s", w.Code, status, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != problemType {
		t.Fatalf("Content-Type %q, want %q", got, problemType)
	}
	var p struct {
		Title, Detail string
		Status        int
		Errors        []struct{ Location, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("body %s: %v", w.Body, err)
	}
	if p.Status != status || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Fatalf("problem %+v does not say what is wrong", p)
	}
	invalid = map[string]string{}
	for _, e := range p.Errors {
		invalid[e.Location] = e.Message
	}
	return p.Detail, invalid
}

// run serves on its own port until the test ends and returns its address.
func run(t testing.TB, s *Server) string {
	t.Helper()
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

// golden compares a text with a file, or rewrites the file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s is not what the program says; look at the difference after make golden", name)
	}
}

// numbersOf lists the path of every number in a JSON value.
func numbersOf(v any, path string, found map[string]float64) {
	switch v := v.(type) {
	case float64:
		found[path] = v
	case map[string]any:
		for key, inside := range v {
			numbersOf(inside, strings.TrimPrefix(path+"."+key, "."), found)
		}
	case []any:
		for _, inside := range v {
			numbersOf(inside, path+"[]", found)
		}
	}
}

func isUnknown(n number) bool { return math.IsNaN(float64(n)) }

// unixClient speaks HTTP over a Unix socket.
func unixClient(t *testing.T, path string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// textLogger logs to a writer.
func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// streamOnly and failing are handlers of operations that tests add.
func streamOnly(context.Context, *struct{}) (*streamOutput, error) { return &streamOutput{}, nil }

func failing(context.Context, *struct{}) (*streamOutput, error) {
	return nil, errors.New("open /etc/secret")
}
