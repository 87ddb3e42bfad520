package sampler

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sysotel/instruments"
)

// TestMain fails when a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	if os.Getenv(eatMemory) != "" {
		eat()
		return
	}
	goleak.VerifyTestMain(m)
}

// eatMemory is the variable that makes the test program a process that takes a
// GiB of memory as soon as its input ends.
const eatMemory = "SYSOTEL_TEST_EAT_MEMORY"

func eat() {
	_, _ = os.Stdin.Read(make([]byte, 1)) // Until the limit is set.
	var eaten [][]byte
	for range 1024 {
		eaten = append(eaten, bytes.Repeat([]byte{1}, 1<<20))
	}
	runtime.KeepAlive(eaten)
}

// fake is a collector whose reads are a function of the test.
type fake struct {
	name    string
	metrics []*instruments.Metric
	read    func(context.Context, instruments.Tick) (instruments.Reading, error)

	mu         sync.Mutex
	ticks      []instruments.Tick
	configured []instruments.Config
}

var (
	_ instruments.Collector    = (*fake)(nil)
	_ instruments.Configurable = (*fake)(nil)
)

func (f *fake) Name() string                   { return f.name }
func (f *fake) Metrics() []*instruments.Metric { return f.metrics }

// Read notes the tick and gives what the test wants; without a wish it gives
// the tick's number.
func (f *fake) Read(ctx context.Context, _ *instruments.Host, t instruments.Tick) (instruments.Reading, error) {
	f.mu.Lock()
	f.ticks = append(f.ticks, t)
	f.mu.Unlock()
	if f.read != nil {
		return f.read(ctx, t)
	}
	return number(t.Seq), nil
}

func (f *fake) Configure(c instruments.Config) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.configured = append(f.configured, c)
}

// seen are the times of the ticks at which the collector was read.
func (f *fake) seen() (times []time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.ticks {
		times = append(times, t.Time)
	}
	return times
}

func (f *fake) configurations() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.configured)
}

// number is a reading of nothing but a number.
type number float64

func (number) Report(*instruments.Observer) {}

// settings are those of fake collectors, all alike.
func settings(collectors ...instruments.Collector) instruments.Config {
	c := instruments.Defaults()
	c.Collectors = instruments.Collectors{}
	for _, f := range collectors {
		c.Collectors[f.Name()] = instruments.CollectorConfig{Enabled: true, Timeout: 500 * time.Millisecond, Retries: 1}
	}
	return c
}

// logbook is a log that can be asked what stands in it.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// lines are those that hold all the words.
func (l *logbook) lines(words ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// want fails the test unless the log has n lines that hold all the words.
func (l *logbook) want(t *testing.T, n int, words ...string) {
	t.Helper()
	if got := l.lines(words...); len(got) != n {
		t.Errorf("%d lines of the log hold %q, want %d:\n%s", len(got), words, n, l.text.String())
	}
}

// emptyHost is a machine without files.
func emptyHost(t testing.TB) *instruments.Host {
	return instruments.NewHost(t.TempDir())
}

// equal fails the test unless got is want.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// within waits, without a bubble, until a condition holds that the test has no
// channel for, and fails the test when it never does.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline, tick := time.After(limit), time.NewTicker(2*time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}
