package export

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sysotel/agent/clock"
	"sysotel/agent/queue"
	"sysotel/agent/store"
	"sysotel/instruments"
)

// fineTiers are tiers that a test can wait for.
func fineTiers() []store.TierConfig {
	return []store.TierConfig{
		{Resolution: time.Second, Retention: time.Hour},
		{Resolution: 10 * time.Second, Retention: 2 * time.Hour},
		{Resolution: 30 * time.Second, Retention: 3 * time.Hour},
	}
}

// tiered is an exporter with a store and a queue on disk whose receiver gets every
// tier. Its ticks, and the store's clock, are the test's.
type tiered struct {
	*agent
	store *store.Store
	queue *queue.Queue
	judge *clock.Judge

	mu sync.Mutex
	// now is the wall clock, an hour and now-base the boot clock.
	now, base time.Time
}

// startTiered starts one over what an earlier one left in a directory.
func startTiered(t *testing.T, dir, endpoint string, zero time.Time, second int) *tiered {
	t.Helper()
	a := &tiered{now: zero.Add(time.Duration(second) * time.Second), base: zero}
	now := func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.now
	}
	log := &logbook{}
	var err error
	a.judge = clock.New(clock.Options{Wall: now, Synced: func() bool { return true }, Boot: func() time.Duration {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.now.Sub(a.base) + time.Hour
	}})
	a.store, err = store.Open(store.Options{
		Dir: filepath.Join(dir, "store"), Tiers: fineTiers(), Log: log.logger(),
		Clock: a.judge,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Defaults()
	c.OTLP.Endpoint, c.OTLP.Tiered = endpoint, true
	a.queue, err = queue.Open(t.Context(), queue.Options{
		Path: filepath.Join(dir, "otlp.db"), Partitions: Partitions(c.OTLP, fineTiers()), MaxBytes: 1 << 30, MaxAge: time.Hour, Clock: a.judge, Log: log.logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Config: c, Collectors: collectors(t), Conventions: instruments.Defaults().Conventions, Host: emptyHost(t), Started: time.Now(),
		HostName: "host-1", Version: "1.2.3", Log: log.logger(),
		Queue: a.queue, Store: a.store, Tiers: a.store,
	}
	if a.agent, err = newAgent(o, log); err != nil {
		t.Fatal(err)
	}
	a.zero = zero
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	a.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(a.die)
	return a
}

// die ends the process as kill -9 does: nothing is handed over.
func (a *tiered) die() {
	a.stop()
	_, _ = a.store.Close(), a.queue.Close() // A second time at the end of the test.
	ended, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_ = a.Shutdown(ended)
}

// keep is a tick that is kept; the process is killed before it is sent.
func (a *tiered) keep(t *testing.T, second int, readings map[string]instruments.Reading) {
	t.Helper()
	push := a.push
	a.push = nil
	a.second(t, second, readings)
	a.push = push
}

// second is a whole tick.
func (a *tiered) second(t *testing.T, second int, readings map[string]instruments.Reading) {
	t.Helper()
	now := a.zero.Add(time.Duration(second) * time.Second)
	a.mu.Lock()
	a.now = now
	a.mu.Unlock()
	a.tick(t, second, readings)
}

// tierPoint is a point that arrived.
type tierPoint struct {
	value float64
	start int64
	gone  bool
	times int // How often it arrived.
}

// byTier are the points of each tier by series, then by second since zero.
func (r *receiver) byTier(t *testing.T, zero time.Time) map[string]map[string]map[int]*tierPoint {
	t.Helper()
	tiers := map[string]map[string]map[int]*tierPoint{}
	for _, request := range r.taken() {
		tier := tierOf(t, request)
		if tiers[tier] == nil {
			tiers[tier] = map[string]map[int]*tierPoint{}
		}
		for _, rm := range request.ResourceMetrics {
			for _, sm := range rm.ScopeMetrics {
				for _, m := range sm.Metrics {
					for _, p := range append(slices.Clone(m.GetGauge().GetDataPoints()), m.GetSum().GetDataPoints()...) {
						one := arrivedPoint(m, p)
						series := strings.Join([]string{sm.Scope.Name, m.Name, m.Unit, kindOf(m), one.attributes}, "|")
						if tiers[tier][series] == nil {
							tiers[tier][series] = map[int]*tierPoint{}
						}
						second := int(one.time - zero.Unix())
						known := tiers[tier][series][second]
						if known == nil {
							known = &tierPoint{value: one.value, start: one.start, gone: one.gone}
							tiers[tier][series][second] = known
						}
						known.times++
					}
				}
			}
		}
	}
	return tiers
}

func kindOf(m *metricspb.Metric) string {
	switch {
	case m.GetGauge() != nil:
		return "gauge"
	case m.GetSum().GetIsMonotonic():
		return "counter"
	}
	return "sum"
}

// tierOf is the one tier of a request.
func tierOf(t *testing.T, request *collectorpb.ExportMetricsServiceRequest) string {
	t.Helper()
	tiers := map[string]bool{}
	for _, rm := range request.ResourceMetrics {
		attributes := map[string]string{}
		for _, kv := range rm.Resource.Attributes {
			attributes[kv.Key] = kv.Value.GetStringValue()
		}
		if len(attributes) != 2 || attributes["host.name"] != "host-1" {
			t.Errorf("the resource is %v", attributes)
		}
		tiers[attributes["tier"]] = true
	}
	if len(tiers) != 1 {
		t.Errorf("a request has the tiers %v", tiers)
	}
	return slices.Collect(maps.Keys(tiers))[0]
}

// readingsOf are those of a second: a gauge that jumps, a counter that is reset at
// second 25, and series that end after seconds 14, 18 and 31.
func readingsOf(second int) map[string]instruments.Reading {
	user := 1000 + 2.5*float64(second) + float64(second%2)
	if second >= 25 {
		user = float64(second - 25)
	}
	cores := []instruments.Core{core("cpu0", user)}
	if second <= 14 {
		cores = append(cores, core("cpu1", float64(second)))
	}
	if second <= 18 {
		cores = append(cores, core("cpu3", float64(second)))
	}
	if second <= 31 {
		cores = append(cores, core("cpu2", float64(second)))
	}
	return map[string]instruments.Reading{
		"cpu":    &instruments.CPU{Cores: cores, Logical: 4 + second%2},
		"load":   &instruments.Load{One: math.Abs(50 - float64(second*second%97))},
		"memory": &instruments.Memory{Total: 1 << 30, Used: uint64(second+1) << 20},
	}
}

// TestTiersArrive: each tier gets its own requests, made of the readings that
// were sent; over two kills no second and no bucket comes twice or not at all.
func TestTiersArrive(t *testing.T) {
	t.Parallel()
	r, dir := &receiver{}, t.TempDir()
	endpoint := "http://" + r.serve(t, "127.0.0.1:0", nil)
	zero := time.Now().Truncate(30 * time.Second).Add(30 * time.Second) // No bucket of the test is history.
	const last = 64

	a := startTiered(t, dir, endpoint, zero, 1)
	<-a.store.Opened()
	for s := 1; s <= 17; s++ {
		a.second(t, s, readingsOf(s))
	}
	a.keep(t, 18, readingsOf(18)) // Killed before it was pushed, and started again at once.
	a.die()

	a = startTiered(t, dir, endpoint, zero, 18)
	other := readingsOf(18)
	other["load"] = &instruments.Load{One: 1000}
	a.second(t, 18, other)
	<-a.store.Opened()
	for s := 19; s <= 31; s++ {
		a.second(t, s, readingsOf(s))
	}
	a.die() // The bucket of 30 s is over but not closed.

	a = startTiered(t, dir, endpoint, zero, 31)
	<-a.store.Opened()
	for s := 31; s <= last; s++ {
		a.second(t, s, readingsOf(s))
	}
	within(t, patience, "the last buckets are sent", func() bool {
		for _, s := range a.otlp.senders {
			if s.partition.Stats().Waiting > 0 {
				return false
			}
		}
		return a.otlp.senders[1].partition.Mark().Equal(zero.Add(60*time.Second)) && a.otlp.senders[2].partition.Mark().Equal(zero.Add(60*time.Second))
	})
	within(t, patience, "the ends of series that did not come back are sent", func() bool {
		seconds := r.byTier(t, zero)["1s"]
		cpu2 := seconds["sysotel/cpu|system.cpu.time|s|counter|cpu=cpu2,state=user"][32]
		cpu3 := seconds["sysotel/cpu|system.cpu.time|s|counter|cpu=cpu3,state=user"][19]
		return cpu2 != nil && cpu2.gone && cpu3 != nil && cpu3.gone
	})
	got := r.byTier(t, zero)
	equal(t, "tiers", strings.Join(slices.Sorted(maps.Keys(got)), " "), "10s 1s 30s")
	for tier, all := range got {
		for series, points := range all {
			for second, p := range points {
				if p.times != 1 {
					t.Errorf("%s %s: second %d came %d times", tier, series, second, p.times)
				}
			}
		}
	}
	for s := 1; s <= last; s++ {
		if got["1s"]["sysotel/load|system.cpu.load_average.1m|{thread}|gauge|"][s] == nil {
			t.Errorf("second %d did not come", s)
		}
	}
	for tier, every := range map[string]int{"10s": 10, "30s": 30} {
		compareBuckets(t, got["1s"], got[tier], tier, every, last)
	}
}

// compareBuckets recomputes the buckets of a tier from the readings that arrived.
func compareBuckets(t *testing.T, fine, coarse map[string]map[int]*tierPoint, tier string, every, last int) {
	t.Helper()
	expected := map[string]map[int]*tierPoint{}
	for series, points := range fine {
		part := strings.Split(series, "|")
		rollUp(points, part[3], part[1], every, last, func(suffix, unit, kind string, second int, p *tierPoint) {
			name := strings.Join([]string{part[0], part[1] + suffix, part[2] + unit, kind, part[4]}, "|")
			if expected[name] == nil {
				expected[name] = map[int]*tierPoint{}
			}
			expected[name][second] = p
		})
	}
	for name := range expected {
		if coarse[name] == nil {
			t.Errorf("%s: %s did not arrive", tier, name)
		}
	}
	for name, points := range coarse {
		want := expected[name]
		for second, p := range points {
			w := want[second]
			// What an earlier life left is sent before it is read again since when its
			// counters count. A reset that is seen says more than a process that did not see it.
			forgotten := p.start == 0 && (second <= 30 || strings.Contains(name, "cpu=cpu2"))
			reset := w != nil && p.start > w.start && second > 25 && strings.HasSuffix(name, "cpu=cpu0,state=user")
			switch {
			case w == nil:
				t.Errorf("%s: %s has a point at %d, %+v, that the readings do not give", tier, name, second, *p)
			case p.start != w.start && !forgotten && !reset, p.gone != w.gone, math.Abs(p.value-w.value) > math.Abs(w.value)/1e6:
				t.Errorf("%s: %s is %+v at %d, the readings give %+v", tier, name, *p, second, *w)
			}
		}
		for second := range want {
			if points[second] == nil {
				t.Errorf("%s: %s has nothing at %d", tier, name, second)
			}
		}
	}
}

// rollUp makes the buckets of a series as STACK has them.
func rollUp(points map[int]*tierPoint, kind, name string, every, last int, f func(suffix, unit, kind string, second int, p *tierPoint)) {
	seconds := slices.Sorted(maps.Keys(points))
	shown := false
	for end := every; end <= last-2; end += every {
		var in []int
		for _, s := range seconds {
			if s > end-every && s <= end && !points[s].gone {
				in = append(in, s)
			}
		}
		minimum, maximum, sum := math.Inf(1), math.Inf(-1), 0.0
		rate, per := "", ""
		if kind == "counter" {
			rate, per = ".rate", "/s"
		}
		if len(in) == 0 {
			if shown {
				f("", "", kind, end, &tierPoint{gone: true})
				f(rate+".min", per, "gauge", end, &tierPoint{gone: true})
				f(rate+".max", per, "gauge", end, &tierPoint{gone: true})
			}
			shown = false
			continue
		}
		shown = true
		for _, s := range in {
			v := points[s].value
			sum += v
			if kind != "counter" {
				minimum, maximum = min(minimum, v), max(maximum, v)
				continue
			}
			before := points[s-1]
			switch {
			case before == nil:
				f("", "", kind, s, points[s]) // The first of all.
			case v < before.value:
				f("", "", kind, s-1, before)
				f("", "", kind, s, points[s])
			default:
				minimum, maximum = min(minimum, v-before.value), max(maximum, v-before.value)
			}
		}
		newest := points[in[len(in)-1]]
		switch {
		case name == store.ReadingsOrigin().Name:
			f("", "", kind, end, &tierPoint{value: sum})
		case kind == "counter":
			f("", "", kind, end, &tierPoint{value: newest.value, start: newest.start})
		default:
			f("", "", kind, end, &tierPoint{value: sum / float64(len(in))})
		}
		if name != store.ReadingsOrigin().Name {
			f(rate+".min", per, "gauge", end, &tierPoint{value: minimum})
			f(rate+".max", per, "gauge", end, &tierPoint{value: maximum})
		}
	}
}

// TestTierThatIsAway: the receiver refuses one tier; the others, and the readings,
// do not wait for it, and health names it. When it is taken again nothing is lost.
func TestTierThatIsAway(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	away.Store(true)
	r := &receiver{refuse: func(request *collectorpb.ExportMetricsServiceRequest) error {
		if tierOf(t, request) == "10s" && away.Load() {
			return status.Error(codes.Unavailable, "the queue of this tier is full")
		}
		return nil
	}}
	endpoint := "http://" + r.serve(t, "127.0.0.1:0", nil)
	zero := time.Now().Truncate(30 * time.Second).Add(30 * time.Second)
	a := startTiered(t, t.TempDir(), endpoint, zero, 1)
	<-a.store.Opened()
	for s := 1; s <= 33; s++ {
		a.second(t, s, readingsOf(s))
	}
	seconds, tens, thirties := a.otlp.senders[0], a.otlp.senders[1], a.otlp.senders[2]
	within(t, patience, "the others are sent", func() bool {
		return tens.partition.Mark().Equal(zero.Add(30*time.Second)) && tens.health().Status == "degraded" &&
			seconds.stats().Waiting == 0 && thirties.stats().Sent == 1
	})
	var names, states []string
	for _, part := range a.Health() {
		if strings.HasPrefix(part.Name, "otlp") {
			names, states = append(names, part.Name), append(states, string(part.Status))
		}
	}
	equal(t, "parts", strings.Join(names, ", "), "otlp, otlp 10s, otlp 30s")
	equal(t, "their health", strings.Join(states, ", "), "ok, degraded, ok")
	if h := tens.health(); !strings.Contains(h.Reason, fmt.Sprintf("the queue of this tier is full; %d requests wait, 0 were dropped", tens.stats().Waiting)) {
		t.Errorf("health: %+v", h)
	}
	away.Store(false)
	within(t, patience, "what waited is sent", func() bool { return tens.stats().Waiting == 0 })
	for second := 10; second <= 30; second += 10 {
		if p := r.byTier(t, zero)["10s"]["sysotel/load|system.cpu.load_average.1m.max|{thread}|gauge|"][second]; p == nil || p.times != 1 {
			t.Errorf("the bucket of second %d: %+v", second, p)
		}
	}
	equal(t, "health", tens.health().Status, "ok")
}

// TestMarksByAWrongClock: marks of a clock that was far ahead hold nothing up, and
// what is older than the queue keeps is not dug up.
func TestMarksByAWrongClock(t *testing.T) {
	t.Parallel()
	zero := time.Now().Truncate(30 * time.Second).Add(30 * time.Second)
	for what, mark := range map[string]time.Time{"ahead": zero.Add(1000 * time.Hour), "long ago": time.Unix(60, 0)} {
		r, dir := &receiver{}, t.TempDir()
		endpoint := "http://" + r.serve(t, "127.0.0.1:0", nil)
		a := startTiered(t, dir, endpoint, zero, 1)
		a.otlp.senders[1].partition.Push(zero, mark)
		<-a.store.Opened()
		for s := 1; s <= 13; s++ {
			a.second(t, s, readingsOf(s))
		}
		within(t, patience, what+": the bucket is sent", func() bool { return a.otlp.senders[1].stats().Sent == 1 })
		a.die()
	}
}

// TestTiersAfterStep: after a clock that was wrong is set right, every bucket is sent,
// once: none is skipped up to the time that it was wrong by, and none dug up.
func TestTiersAfterStep(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, by := range []time.Duration{time.Hour, day, 26 * time.Hour, 365 * day, -time.Hour, -25 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			zero := time.Now().Truncate(30 * time.Second)
			a := startTiered(t, t.TempDir(), "http://"+r.serve(t, "127.0.0.1:0", nil), zero.Add(by), 1)
			<-a.store.Opened()
			for s := 1; s <= 33; s++ {
				a.second(t, s, readingsOf(s))
			}
			const series = "sysotel/load|system.cpu.load_average.1m.max|{thread}|gauge|"
			arrived := func(zero time.Time, second int) bool { return r.byTier(t, zero)["10s"][series][second] != nil }
			within(t, patience, "the buckets before it arrive", func() bool { return arrived(zero.Add(by), 30) })
			a.mu.Lock()
			a.zero, a.base, a.now = zero, zero, zero.Add(34*time.Second)
			a.mu.Unlock()
			if a.judge.Observe() == nil {
				t.Fatal("there is no step")
			}
			for s := 34; s <= 63; s++ {
				a.second(t, s, readingsOf(s))
			}
			within(t, patience, "the buckets after it arrive", func() bool { return arrived(zero, 40) && arrived(zero, 50) && arrived(zero, 60) })
			for second, p := range r.byTier(t, zero)["10s"][series] {
				if p.times != 1 {
					t.Errorf("the bucket of second %d arrived %d times", second, p.times)
				}
			}
			if a.otlp.senders[1].stats().Dropped > 0 {
				t.Error("requests were dropped")
			}
		})
	}
}

// TestStoreThatDoesNotOpen: readings are held back for it, not for ever.
func TestStoreThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	zero := time.Now().Truncate(30 * time.Second)
	a := startTiered(t, t.TempDir(), "http://"+r.serve(t, "127.0.0.1:0", nil), zero, 1)
	a.stop()
	a.tiers.tiers, a.tiers.hold = neverOpen{a.store}, time.Second
	a.otlp.mu.Lock()
	a.otlp.holding = true
	a.otlp.mu.Unlock()
	for s := 1; s <= 3; s++ {
		a.second(t, s, readingsOf(s))
	}
	equal(t, "requests while they are held back", a.otlp.finest().partition.Stats().Pushed, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { a.tiers.run(ctx) })
	within(t, patience, "they are let go", func() bool { return a.otlp.finest().partition.Stats().Pushed == 3 })
	a.second(t, 4, readingsOf(4))
	equal(t, "requests then", a.otlp.finest().partition.Stats().Pushed, 4)
	cancel()
	running.Wait()
}

// neverOpen is a store that is being opened for ever.
type neverOpen struct{ *store.Store }

// Opened implements Tiers.
func (neverOpen) Opened() <-chan struct{} { return nil }
