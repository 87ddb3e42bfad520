package store

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"sysotel/agent/clock"
)

// machine is a fake clock and disk under a store.
type machine struct {
	mu   sync.Mutex
	wall time.Time
	up   time.Duration
	free int64
}

// noon is a time on the edge of every default bucket but none of a block.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func newMachine(wall time.Time) *machine {
	return &machine{wall: wall, up: time.Hour, free: 1 << 40}
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wall
}

func (m *machine) boot() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.up
}

// judge returns a judge as the agent has it: with a file if the store has a directory
// of its own.
func (m *machine) judge() *clock.Judge {
	return clock.New(clock.Options{Wall: m.now, Boot: m.boot, Synced: func() bool { return false }})
}

// pass advances both clocks.
func (m *machine) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wall, m.up = m.wall.Add(d), m.up+d
}

// reboot starts the boot clock again.
func (m *machine) reboot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.up = time.Minute
}

// step sets the wall clock.
func (m *machine) step(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wall = m.wall.Add(d)
}

func (m *machine) setFree(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = n
}

func (m *machine) options(t testing.TB, dir string, tiers ...TierConfig) Options {
	if len(tiers) == 0 {
		tiers = Defaults().Tiers
	}
	return Options{
		Dir: dir, Tiers: tiers, Labels: labels.FromStrings("host_name", "h"),
		Log:   slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelError})),
		Clock: m.judge(),
		Free: func(string) (int64, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.free, nil
		},
	}
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Logf("%s", p)
	return len(p), nil
}

// openStore opens a store, waits until it is open, and closes it after the test.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	<-s.Opened()
	return s
}

// poll waits until something has come.
func poll(t testing.TB, what string, come func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for until := time.Now().Add(time.Minute); !come(); <-again.C {
		if time.Now().After(until) {
			t.Fatalf("after a minute there is no %s", what)
		}
	}
}

func gauge(name, instance string) *Series {
	return &Series{
		Labels: labels.FromStrings(model.MetricNameLabel, name, "host_name", "h", "i", instance), Kind: Gauge,
		MinName: name + "_min", MaxName: name + "_max",
	}
}

func counter(name, instance string) *Series {
	return &Series{
		Labels: labels.FromStrings(model.MetricNameLabel, name+"_total", "host_name", "h", "i", instance), Kind: Counter,
		MinName: name + "_rate_min", MaxName: name + "_rate_max",
	}
}

// reading is the reading of one collector, taken at its tick.
func reading(at time.Time, collector string, samples ...Sample) Reading {
	return Reading{Time: at, Collectors: []CollectorReading{{Collector: collector, Taken: at, Samples: samples}}}
}

func (s *Store) mustAppend(t testing.TB, r Reading) {
	t.Helper()
	if err := s.Append(r); err != nil {
		t.Fatal(err)
	}
}

// points reads all samples that are stored in a tier, by the text of the labels.
func points(t testing.TB, tier *Tier) map[string][]point {
	t.Helper()
	return pointsBetween(t, tier, 0, 1<<50)
}

// seen reads all samples that queries see in a tier, those that wait among them.
func seen(t testing.TB, tier *Tier) map[string][]point {
	t.Helper()
	return pointsBetween(t, tier.Queryable(), 0, 1<<50)
}

func pointsBetween(t testing.TB, tier storage.Queryable, mint, maxt int64) map[string][]point {
	t.Helper()
	q, err := tier.Querier(mint, maxt)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	found := map[string][]point{}
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchNotEqual, model.MetricNameLabel, ""))
	for set.Next() {
		key := set.At().Labels().String()
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			found[key] = append(found[key], point{at, v})
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
