package export

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sysotel/instruments"
)

// TestMain fails when a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reporting is a reading that reports what a function says.
type reporting func(*instruments.Observer)

func (r reporting) Report(o *instruments.Observer) { r(o) }

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

// soon is want for what is logged by another goroutine, without a bubble: a state
// that the test has seen may be there a moment before its line.
func (l *logbook) soon(t *testing.T, n int, words ...string) {
	t.Helper()
	within(t, 10*time.Second, fmt.Sprintf("%d lines of the log hold %q", n, words), func() bool { return len(l.lines(words...)) >= n })
	l.want(t, n, words...)
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

// at is a moment of the day on which the tests play.
func at(clock string) time.Time {
	t, err := time.Parse("15:04:05.999", clock)
	if err != nil {
		panic(err)
	}
	return time.Date(2026, 3, 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// secondsOf writes times as their distance from the first whole second of the bubble.
func secondsOf(times []time.Time, zero time.Time) (n []int) {
	for _, t := range times {
		n = append(n, int(t.Sub(zero)/time.Second))
	}
	return n
}

func equalInts(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// upTo is 0, 1, ... n.
func upTo(n int) (list []int) {
	for i := range n + 1 {
		list = append(list, i)
	}
	return list
}
