//go:build unix

package difftest_test

import (
	"math"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
	"sysotel/agent/query/difftest"
	"sysotel/agent/store"
)

// heavy is what it costs most to answer: the increase of all counters over all seconds.
type heavy struct {
	text   string
	end    time.Time
	ours   *query.Querier
	theirs *difftest.Prometheus
	engine *promql.Engine
}

// newHeavy keeps 40 counters over some time of seconds, here and in Prometheus' own
// storage.
func newHeavy(tb testing.TB, width time.Duration) *heavy {
	h := difftest.NewCounters(1, 40, difftest.Noon, width+time.Hour)
	s := h.Store(tb, []store.TierConfig{{Resolution: time.Second, Retention: 48 * time.Hour}})
	s.Maintain(tb.Context())
	return &heavy{
		text: "increase(c_total[" + store.TierName(width) + "])", end: h.End(),
		ours: difftest.Querier(s, query.Sources(s.Tiers())), theirs: difftest.NewPrometheus(tb, h),
		engine: difftest.NewEngine(parser.NewParser(parser.Options{})),
	}
}

func (h *heavy) ask(tb testing.TB) {
	tb.Helper()
	r, err := h.ours.Instant(tb.Context(), h.text, h.end)
	if err != nil {
		tb.Fatal(err)
	}
	r.Close()
}

func (h *heavy) askPrometheus(tb testing.TB) {
	tb.Helper()
	q, err := h.engine.NewInstantQuery(tb.Context(), h.theirs.Queryable(), nil, h.text, h.end)
	if err != nil {
		tb.Fatal(err)
	}
	defer q.Close()
	if r := q.Exec(tb.Context()); r.Err != nil {
		tb.Fatal(r.Err)
	}
}

// TestCostBesidePrometheus: the increase of a day of seconds takes no more of the
// processor's time than it takes Prometheus with the same seconds; of several turns the
// fastest is what it takes. BenchmarkIncrease says what it is on a quiet machine: half.
func TestCostBesidePrometheus(t *testing.T) {
	h := newHeavy(t, 24*time.Hour)
	took := func(ask func(testing.TB)) time.Duration {
		began := processor(t)
		ask(t)
		return processor(t) - began
	}
	ours, theirs := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range 10 {
		ours, theirs = min(ours, took(h.ask)), min(theirs, took(h.askPrometheus))
	}
	t.Logf("%s takes %s, Prometheus %s: %.2f", h.text, ours, theirs, float64(ours)/float64(theirs))
	if ours > theirs {
		t.Errorf("%s takes %s, more than the %s of Prometheus", h.text, ours, theirs)
	}
}

// processor is the time of the processor that this process has taken.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestHundredAtOnce: a hundred queries of the heaviest kind at once are all answered, or
// refused because too many wait, and the heap grows by less than 200 MB.
func TestHundredAtOnce(t *testing.T) {
	h := newHeavy(t, 6*time.Hour)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, stop, stopped := uint64(0), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	answered, refused := 0, 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			r, err := h.ours.Instant(t.Context(), h.text, h.end)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				refused++
				t.Logf("refused: %v", err)
				return
			}
			defer r.Close()
			if v, ok := r.Value.(promql.Vector); !ok || len(v) != 40 {
				t.Errorf("%d series, want 40", len(v))
			}
			answered++
		})
	}
	all.Wait()
	close(stop)
	<-stopped
	grown := (int64(most) - int64(before.HeapAlloc)) >> 20
	t.Logf("%d answered, %d refused, the heap grew by %d MB", answered, refused, grown)
	if answered+refused != 100 || answered == 0 {
		t.Errorf("%d answered and %d refused of 100", answered, refused)
	}
	if grown > 200 {
		t.Errorf("the heap grew by %d MB, more than 200", grown)
	}
}

// BenchmarkIncrease takes the increase of 40 counters over a day of seconds.
func BenchmarkIncrease(b *testing.B) {
	h := newHeavy(b, 24*time.Hour)
	for name, ask := range map[string]func(testing.TB){"tiers": h.ask, "prometheus": h.askPrometheus} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ask(b)
			}
		})
	}
}
