package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// plain recomputes roll-ups from the list of all readings in the simplest way.
type plain struct {
	series  *Series
	samples []point
	ends    []int64 // ticks at which the series ended
}

func (p *plain) endedBetween(a, b int64) bool {
	return slices.ContainsFunc(p.ends, func(t int64) bool { return a < t && t <= b })
}

// rollUp returns the points of a tier after all buckets up to now are written.
func (p *plain) rollUp(interval, now int64) map[string][]point {
	out := map[string][]point{}
	add := func(l labels.Labels, at int64, v float64) {
		out[l.String()] = append(out[l.String()], point{at, v})
	}
	if len(p.samples) == 0 {
		return out
	}
	name, minLabels, maxLabels := p.series.Labels, rename(p.series.Labels, p.series.MinName), rename(p.series.Labels, p.series.MaxName)
	shown, extremes := false, false
	for end := BucketEnd(p.samples[0].t, interval); end <= now-2000; end += interval {
		from := sort.Search(len(p.samples), func(i int) bool { return p.samples[i].t > end-interval })
		var in []int
		for i := from; i < len(p.samples) && p.samples[i].t <= end; i++ {
			in = append(in, i)
		}
		if len(in) == 0 {
			last := int64(-1)
			if from > 0 {
				last = p.samples[from-1].t
			}
			if shown && p.endedBetween(last, end) {
				stale := math.Float64frombits(value.StaleNaN)
				add(name, end, stale)
				if extremes {
					add(minLabels, end, stale)
					add(maxLabels, end, stale)
				}
				shown, extremes = false, false
			}
			continue
		}
		shown = true
		if p.series.Kind == Gauge {
			lo, hi, sum := math.Inf(1), math.Inf(-1), 0.0
			for _, i := range in {
				lo, hi, sum = min(lo, p.samples[i].v), max(hi, p.samples[i].v), sum+p.samples[i].v
			}
			add(name, end, sum/float64(len(in)))
			add(minLabels, end, lo)
			add(maxLabels, end, hi)
			extremes = true
			continue
		}
		var rates []float64
		for _, i := range in {
			s := p.samples[i]
			if p.returns(i) && p.samples[i-1].t <= end-interval {
				add(name, s.t-1, math.Float64frombits(value.StaleNaN))
				if s.t < end {
					add(name, s.t, s.v)
				}
			}
			if i == 0 || s.v < p.samples[i-1].v {
				if i > 0 && p.samples[i-1].t > end-interval {
					add(name, p.samples[i-1].t, p.samples[i-1].v)
				}
				if s.t < end {
					add(name, s.t, s.v)
				}
				continue
			}
			before := p.samples[i-1]
			if !p.endedBetween(before.t, s.t-1) && s.t-before.t <= 300_000 {
				rates = append(rates, (s.v-before.v)/(float64(s.t-before.t)/1000))
			}
		}
		add(name, end, p.samples[in[len(in)-1]].v)
		if len(rates) > 0 {
			add(minLabels, end, slices.Min(rates))
			add(maxLabels, end, slices.Max(rates))
			extremes = true
		}
	}
	for k := range out {
		out[k] = slices.CompactFunc(out[k], func(a, b point) bool { return a.t == b.t })
	}
	return out
}

// returns reports whether the series ended before a sample, or samples are missing.
func (p *plain) returns(i int) bool {
	apart, returns := int64(0), false
	for j := 1; j <= i; j++ {
		before, at := p.samples[j-1].t, p.samples[j].t
		returns = p.endedBetween(before, at-1) || apart > 0 && at-before > apart*5/2
		if !returns {
			apart = at - before
		}
	}
	return returns
}

// increase returns the growth of a counter, with resets counted from 0.
func increase(points []point) (sum float64) {
	var last float64
	for i, p := range points {
		if value.IsStaleNaN(p.v) {
			continue
		}
		switch {
		case i == 0:
		case p.v < last:
			sum += p.v
		default:
			sum += p.v - last
		}
		last = p.v
	}
	return sum
}

// scenario feeds random series with gaps, resets, ends and late readings, and
// reopens the store if restart is set.
type scenario struct {
	m      *machine
	s      *Store
	o      Options
	rng    *rand.Rand
	plains []*plain
	value  []float64
	alive  []bool
}

func newScenario(t *testing.T, seed uint64) *scenario {
	sc := &scenario{m: newMachine(noon), rng: rand.New(rand.NewPCG(seed, 1))}
	sc.o = sc.m.options(t, t.TempDir())
	for i := range 4 {
		sc.plains = append(sc.plains, &plain{series: gauge("g", fmt.Sprint(i))}, &plain{series: counter("c", fmt.Sprint(i))})
	}
	sc.value, sc.alive = make([]float64, len(sc.plains)), make([]bool, len(sc.plains))
	return sc
}

// tick makes one reading.
func (sc *scenario) tick(t *testing.T) {
	sc.m.pass(time.Second)
	now := sc.m.now()
	switch sc.rng.IntN(40) {
	case 0: // The collector fails for a while.
		sc.m.pass(time.Duration(sc.rng.IntN(20)) * time.Second)
		return
	case 1: // The machine is off, for longer than a bucket.
		if sc.rng.IntN(8) == 0 {
			sc.m.pass(time.Duration(sc.rng.IntN(200)) * time.Second)
			return
		}
	}
	r := reading(now, "random")
	for i, p := range sc.plains {
		switch {
		case sc.alive[i] && sc.rng.IntN(60) == 0:
			sc.alive[i] = false
			r.Collectors[0].Ended = append(r.Collectors[0].Ended, p.series)
			if len(p.samples) > 0 {
				p.ends = append(p.ends, now.UnixMilli())
			}
			continue
		case !sc.alive[i]:
			sc.alive[i] = sc.rng.IntN(50) == 0
			continue
		}
		if p.series.Kind == Counter {
			if sc.value[i] += float64(sc.rng.IntN(1000)); sc.rng.IntN(30) == 0 {
				sc.value[i] = float64(sc.rng.IntN(50))
			}
		} else {
			sc.value[i] = sc.rng.NormFloat64() * 100
		}
		p.samples = append(p.samples, point{now.UnixMilli(), sc.value[i]})
		r.Collectors[0].Samples = append(r.Collectors[0].Samples, Sample{p.series, sc.value[i]})
	}
	sc.s.mustAppend(t, r)
	if sc.rng.IntN(20) == 0 {
		// A repeated reading and a late one change nothing.
		late := reading(now.Add(-time.Duration(sc.rng.IntN(3))*time.Second), "random")
		for _, s := range r.Collectors[0].Samples {
			late.Collectors[0].Samples = append(late.Collectors[0].Samples, Sample{s.Series, s.Value + 1e6})
		}
		sc.s.mustAppend(t, late)
	}
}

// compare checks every tier against the recomputation.
func (sc *scenario) compare(t *testing.T) {
	t.Helper()
	now := sc.m.now().UnixMilli()
	raw := points(t, sc.s.tiers[0])
	for _, tier := range sc.s.tiers[1:] {
		found := points(t, tier)
		interval := tier.Resolution().Milliseconds()
		for _, p := range sc.plains {
			for key, want := range p.rollUp(interval, now) {
				comparePoints(t, tier.Name()+" "+key, found[key], want)
				delete(found, key)
			}
			if p.series.Kind != Counter || len(p.samples) == 0 {
				continue
			}
			name := p.series.Labels.String()
			rolled := pointsBetween(t, tier, 0, now)[name]
			if len(rolled) == 0 {
				continue
			}
			var until []point
			for _, s := range raw[name] {
				if s.t <= rolled[len(rolled)-1].t {
					until = append(until, s)
				}
			}
			if a, b := increase(until), increase(rolled); a != b {
				t.Errorf("%s %s: grew by %v, the samples by %v", tier.Name(), name, b, a)
			}
		}
		readings := map[int64]float64{}
		for _, p := range raw[sc.readingsKey()] {
			if end := BucketEnd(p.t, interval); end <= now-2000 {
				readings[end]++
			}
		}
		for _, p := range found[sc.readingsKey()] {
			if readings[p.t] != p.v {
				t.Errorf("%s: %v readings at %d, want %v", tier.Name(), p.v, p.t, readings[p.t])
			}
			delete(readings, p.t)
		}
		if len(readings) > 0 {
			t.Errorf("%s: no count of readings for %v", tier.Name(), readings)
		}
		delete(found, sc.readingsKey())
		if len(found) > 0 {
			t.Errorf("%s holds more: %v", tier.Name(), keys(found))
		}
	}
}

func (sc *scenario) readingsKey() string {
	return labels.FromStrings(model.MetricNameLabel, readingsName, "family", "random", "host_name", "h").String()
}

func comparePoints(t *testing.T, what string, got, want []point) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := point{-1, 0}, point{-1, 0}
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		near := math.Abs(g.v-w.v) <= 3e-7*math.Abs(w.v)
		if value.IsStaleNaN(w.v) {
			near = value.IsStaleNaN(g.v)
		}
		if g.t != w.t || !near {
			t.Errorf("%s: point %d of %d is %v, want %v of %d, before %v", what, i, len(got), g, w, len(want), want[max(0, i-2):i])
			return
		}
	}
}

// TestBuckets: each tier equals a plain recomputation from the samples, with gaps,
// resets, ends and late readings; minimum and maximum are never lost, and counters
// grow by exactly as much.
func TestBuckets(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			sc := newScenario(t, seed)
			sc.s = openStore(t, sc.o)
			for range 4000 {
				sc.tick(t)
			}
			sc.s.closeByTime()
			sc.compare(t)
		})
	}
}

// TestBucketsAfterRestart: the same if the store is reopened at any time: open
// buckets are rebuilt from the finest tier.
func TestBucketsAfterRestart(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			sc := newScenario(t, seed+100)
			sc.s = openStore(t, sc.o)
			for range 3000 {
				sc.tick(t)
				if sc.rng.IntN(150) == 0 {
					if err := sc.s.Close(); err != nil {
						t.Fatal(err)
					}
					sc.s = openStore(t, sc.o)
				}
			}
			sc.s.closeByTime()
			sc.compare(t)
		})
	}
}
