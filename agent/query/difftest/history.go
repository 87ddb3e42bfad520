package difftest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// History is what an agent measured, second by second, made at random.
type History struct {
	// Seed makes the same history again.
	Seed    uint64
	series  []series
	seconds []second
}

// series is one series of a history.
type series struct {
	labels           labels.Labels
	kind             store.Kind
	minName, maxName string
}

// second is one reading.
type second struct {
	at time.Time
	// values are those of the series, NaN where one does not exist.
	values []float64
	// restarted: the agent was started since the second before. set: its clock was set
	// forward.
	restarted, set bool
	// ahead is how far its clock was ahead, which was set right later.
	ahead time.Duration
}

// Start is the time of the first reading.
func (h *History) Start() time.Time { return h.seconds[0].at }

// End is the time of the last reading.
func (h *History) End() time.Time { return h.seconds[len(h.seconds)-1].at }

// returned is an end of a window: the first reading after the last gap before a time.
func (h *History) returned(t, _ int64) int64 {
	i := sort.Search(len(h.seconds), func(i int) bool { return h.seconds[i].at.UnixMilli() > t }) - 1
	for ; i > 0; i-- {
		if h.seconds[i].at.Sub(h.seconds[i-1].at) > lost {
			return h.seconds[i].at.UnixMilli()
		}
	}
	return t
}

// Name names the history in a test.
func (h *History) Name() string { return fmt.Sprintf("seed %d", h.Seed) }

// NewHistory makes a history of a length that ends at a time.
func NewHistory(seed uint64, end time.Time, length time.Duration) *History {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &History{Seed: seed}
	var courses []course
	for _, s := range all(r) {
		h.series = append(h.series, s.series)
		courses = append(courses, s.course)
	}
	restart, set, ahead, gap := in(r, 2*time.Hour), in(r, 2*time.Hour), in(r, 3*time.Hour), in(r, 30*time.Minute)
	wrong := time.Duration(70+r.IntN(200)) * time.Second
	// The last half hour is without events.
	for at, n := end.Add(-length), 0; !at.After(end); at, n = at.Add(time.Second), n+1 {
		values := make([]float64, len(courses))
		for i, next := range courses {
			values[i] = next()
		}
		s := second{values: values}
		switch quiet := end.Sub(at) < 30*time.Minute; {
		case n >= ahead && n < ahead+900:
			s.ahead = wrong
		case quiet:
		case n >= restart:
			s.restarted, restart = true, n+in(r, 2*time.Hour)
			at = at.Add(time.Duration(3+r.IntN(400)) * time.Second)
		case n >= set:
			s.set, set = true, n+in(r, 2*time.Hour)
			at = at.Add(time.Duration(3+r.IntN(200)) * time.Second)
		case n >= gap: // The agent had no time for some ticks.
			gap = n + in(r, 30*time.Minute)
			at = at.Add(time.Duration(1+r.IntN(20)) * time.Second)
		}
		s.at = at
		h.seconds = append(h.seconds, s)
	}
	return h
}

// NewCounters makes a history of counters without events.
func NewCounters(seed uint64, count int, end time.Time, length time.Duration) *History {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &History{Seed: seed}
	courses := make([]course, count)
	for i := range courses {
		l := labels.FromStrings("__name__", "c_total", "host_name", "h", "i", strconv.Itoa(i))
		h.series = append(h.series, series{l, store.Counter, "c_rate_min", "c_rate_max"})
		courses[i] = counting(r, 0, 1e6)
	}
	for at := end.Add(-length); !at.After(end); at = at.Add(time.Second) {
		values := make([]float64, count)
		for i, next := range courses {
			values[i] = next()
		}
		h.seconds = append(h.seconds, second{at: at, values: values})
	}
	return h
}

// in is a number of seconds, half of d to one and a half.
func in(r *rand.Rand, d time.Duration) int {
	return int((d/2 + time.Duration(r.Int64N(int64(d)))) / time.Second)
}

// Ended calls end for each series that has no value in a second and had one before.
func (s second) ended(before []float64, end func(i int)) {
	for i, v := range s.values {
		if before != nil && math.IsNaN(v) && !math.IsNaN(before[i]) {
			end(i)
		}
	}
}

// Querier returns a querier on the tiers of a store, or on others with the same names.
func Querier(s *store.Store, tiers []query.Source) *query.Querier {
	return Limited(s, tiers, query.DefaultLimits())
}

// Limited returns a querier with limits of its own.
func Limited(s *store.Store, tiers []query.Source, limits query.Limits) *query.Querier {
	return query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return tiers }, Names: s.Rollups(), Interval: time.Second, Limits: limits,
	})
}

// Store feeds the history to a store with some tiers.
func (h *History) Store(tb testing.TB, tiers []store.TierConfig) *store.Store {
	tb.Helper()
	clock := storetest.NewClock(h.seconds[0].at.Add(-time.Second))
	o := store.Options{Dir: tb.TempDir(), Tiers: tiers, Labels: labels.FromStrings("host_name", "h"), Clock: clock.Judge()}
	f := &feeder{history: h, store: open(tb, o)}
	f.start()
	var ahead time.Duration
	for _, now := range h.seconds {
		if now.restarted {
			storetest.Complete(tb, f.store)
			if err := f.store.Close(); err != nil {
				tb.Fatal(err)
			}
			f.store = open(tb, o)
			f.start()
		}
		if now.set {
			clock.Step(now.at.Sub(clock.Now()) - time.Second)
		}
		clock.Step(now.ahead - ahead)
		clock.Set(now.at.Add(now.ahead))
		o.Clock.Observe()
		if err := f.store.Append(f.reading(now)); err != nil {
			tb.Fatal(err)
		}
		if now.ahead != ahead {
			ahead = now.ahead
			written(tb, f.store) // What was written ahead is moved meanwhile.
		}
	}
	storetest.Complete(tb, f.store)
	tb.Cleanup(func() {
		if err := f.store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return f.store
}

func open(tb testing.TB, o store.Options) *store.Store {
	tb.Helper()
	s, err := store.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	<-s.Opened()
	return s
}

// written waits until a store has written what was appended.
func written(tb testing.TB, s *store.Store) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); s.Stats().Waiting > 0; {
		if time.Now().After(deadline) {
			tb.Fatal("readings still wait after a minute")
		}
		s.Maintain(tb.Context())
		runtime.Gosched()
	}
}

// feeder makes the readings of a history for one store.
type feeder struct {
	history *History
	store   *store.Store
	series  []*store.Series
	before  []float64
}

// start makes the series of a life of the agent, which knows none of those before.
func (f *feeder) start() {
	f.series, f.before = nil, nil
	for _, s := range f.history.series {
		f.series = append(f.series, &store.Series{Labels: s.labels, Kind: s.kind, MinName: s.minName, MaxName: s.maxName})
	}
}

func (f *feeder) reading(s second) store.Reading {
	r := store.CollectorReading{Collector: "machine", Taken: s.at}
	for i, v := range s.values {
		if !math.IsNaN(v) {
			r.Samples = append(r.Samples, store.Sample{Series: f.series[i], Value: v})
		}
	}
	s.ended(f.before, func(i int) { r.Ended = append(r.Ended, f.series[i]) })
	f.before = s.values
	return store.Reading{Time: s.at.Add(s.ahead), Collectors: []store.CollectorReading{r}}
}
