package query

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// history is raw data of two hours and its tiers, computed in the simplest way.
type history struct {
	seconds  int64
	g, c     map[int64]float64 // raw, by milliseconds
	readings map[int64]float64
	tiers    []*fakeTier
}

// makeHistory makes data with lost seconds, a gap of some minutes and resets.
func makeHistory(t testing.TB, seed uint64) *history {
	random := rand.New(rand.NewPCG(seed, 7))
	h := &history{seconds: 7200, g: map[int64]float64{}, c: map[int64]float64{}, readings: map[int64]float64{}}
	gap := 1000 + random.Int64N(4000)
	total := 1e9
	for k := int64(1); k <= h.seconds; k++ {
		total += math.Trunc(random.Float64() * 1000)
		if random.IntN(900) == 0 {
			total = math.Trunc(random.Float64() * 1000)
		}
		if random.IntN(50) == 0 || k > gap && k < gap+400 {
			continue
		}
		at := day.UnixMilli() + k*1000
		h.g[at], h.c[at], h.readings[at] = 100*random.Float64(), total, 1
	}
	for _, r := range []time.Duration{time.Second, time.Minute, 5 * time.Minute} {
		all := h.rolledUp(r)
		h.tiers = append(h.tiers, &fakeTier{name: store.TierName(r), resolution: r, oldest: day.Add(-24 * time.Hour), queryable: storageOf(t, all...)})
	}
	return h
}

// rolledUp computes a tier in the simplest way.
func (h *history) rolledUp(resolution time.Duration) []samples {
	name := func(s string) samples { return samples{named(s, "host_name", "h"), map[int64]float64{}} }
	g, low, high, c, rateLow, rateHigh := name("g"), name("g_min"), name("g_max"), name("c_total"), name("c_rate_min"), name("c_rate_max")
	n := samples{named("sysotel_family_readings", "family", "fam", "host_name", "h"), map[int64]float64{}}
	sum := map[int64]float64{}
	lastT, lastV := int64(0), 0.0
	for k := int64(1); k <= h.seconds; k++ {
		at := day.UnixMilli() + k*1000
		v, ok := h.g[at]
		if !ok {
			continue
		}
		end := store.BucketEnd(at, resolution.Milliseconds())
		if n.at[end] == 0 {
			low.at[end], high.at[end] = v, v
		}
		n.at[end]++
		sum[end] += v
		low.at[end], high.at[end] = min(low.at[end], v), max(high.at[end], v)
		counter := h.c[at]
		if lastT != 0 {
			if counter < lastV { // The points around a reset stay.
				c.at[lastT], c.at[at] = lastV, counter
			} else if at-lastT <= store.RateGap.Milliseconds() {
				rate := (counter - lastV) / float64(at-lastT) * 1000
				if _, ok := rateLow.at[end]; !ok {
					rateLow.at[end], rateHigh.at[end] = rate, rate
				}
				rateLow.at[end], rateHigh.at[end] = min(rateLow.at[end], rate), max(rateHigh.at[end], rate)
			}
		}
		lastT, lastV = at, counter
		c.at[end] = counter
	}
	for end, total := range sum {
		g.at[end] = total / n.at[end]
	}
	if resolution == time.Second {
		return []samples{g, c, n}
	}
	return []samples{g, low, high, c, rateLow, rateHigh, n}
}

func matchers(name string) []*labels.Matcher {
	return []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}
}

func mustSelect(t testing.TB, q *Querier, query SeriesQuery) SeriesResult {
	t.Helper()
	r, err := q.Select(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSeriesAgreeBetweenTiers: rates are exact counter differences and the same
// from every tier; averages are weighted by readings; minimum and maximum are never
// lost; and all equal a recomputation from the raw data.
func TestSeriesAgreeBetweenTiers(t *testing.T) {
	for seed := range uint64(8) {
		h := makeHistory(t, seed)
		for _, step := range []time.Duration{5 * time.Minute, 10 * time.Minute, 30 * time.Minute} {
			var rates []SelectedSeries
			for _, tier := range h.tiers {
				// The tier alone, as a coarser one where it is not the finest.
				q := querierOn(tier)
				if tier != h.tiers[0] {
					empty := &fakeTier{name: "1s", resolution: time.Second, queryable: storageOf(t)}
					q = querierOn(empty, tier)
				}
				query := SeriesQuery{Matchers: matchers("g"), Start: day, End: day.Add(2 * time.Hour), Step: step, Avg: true, Min: true, Max: true}
				h.checkValues(t, tier.name, step, mustSelect(t, q, query).Series)
				query.Matchers, query.AsRate = matchers("c_total"), true
				got := mustSelect(t, q, query).Series
				if len(got) != 1 {
					t.Fatalf("%d series, want 1", len(got))
				}
				rates = append(rates, got[0])
			}
			for i, other := range rates[1:] {
				same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
				for k := range other.T {
					if !same(other.Avg[k], rates[0].Avg[k]) || !same(other.Min[k], rates[0].Min[k]) || !same(other.Max[k], rates[0].Max[k]) {
						t.Errorf("seed %d step %s at %d: tier %s has rates %v %v %v, tier 1s %v %v %v", seed, step, k, h.tiers[i+1].name,
							other.Avg[k], other.Min[k], other.Max[k], rates[0].Avg[k], rates[0].Min[k], rates[0].Max[k])
					}
				}
			}
			h.checkRates(t, step, rates[0])
		}
	}
}

// checkValues compares with the raw data.
func (h *history) checkValues(t *testing.T, tier string, step time.Duration, got []SelectedSeries) {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("%d series, want 1", len(got))
	}
	gaps := 0
	for i, end := range got[0].T {
		sum, n, low, high := 0.0, 0.0, math.Inf(1), math.Inf(-1)
		for at := end - step.Milliseconds() + 1000; at <= end; at += 1000 {
			if v, ok := h.g[at]; ok {
				sum, n, low, high = sum+v, n+1, min(low, v), max(high, v)
			}
		}
		if n == 0 {
			gaps++
			if !math.IsNaN(got[0].Avg[i]) || !math.IsNaN(got[0].Min[i]) || !math.IsNaN(got[0].Max[i]) {
				t.Errorf("tier %s: a gap at %d has the value %v", tier, end, got[0].Avg[i])
			}
			continue
		}
		if !near(got[0].Avg[i], sum/n) || got[0].Min[i] != low || got[0].Max[i] != high {
			t.Errorf("tier %s step %s at %d: %v %v %v, want %v %v %v", tier, step, end, got[0].Avg[i], got[0].Min[i], got[0].Max[i], sum/n, low, high)
		}
	}
	if gaps == 0 || gaps == len(got[0].T) { // The point at the start is one at least.
		t.Errorf("%d of %d points are gaps", gaps, len(got[0].T))
	}
}

// checkRates compares with the differences of the raw counter.
func (h *history) checkRates(t *testing.T, step time.Duration, got SelectedSeries) {
	t.Helper()
	known := 0
	for i, end := range got.T {
		from := end - step.Milliseconds()
		before, hasBefore, inside := 0.0, false, false
		for at := from - step.Milliseconds() + 1000; at <= from; at += 1000 {
			if v, ok := h.c[at]; ok {
				before, hasBefore = v, true
			}
		}
		rise, last := 0.0, before
		for at := from + 1000; at <= end; at += 1000 {
			if v, ok := h.c[at]; ok {
				inside = true
				if v >= last {
					rise += v - last
				}
				last = v
			}
		}
		if !hasBefore || !inside {
			if !math.IsNaN(got.Avg[i]) {
				t.Errorf("the rate at %d is %v where it cannot be known", end, got.Avg[i])
			}
			continue
		}
		known++
		if want := rise / step.Seconds(); got.Avg[i] != want {
			t.Errorf("the rate at %d is %v, want exactly %v", end, got.Avg[i], want)
		}
	}
	if known == 0 {
		t.Error("no rate is known")
	}
}

// TestSelectJoinsTiersWithoutOverlapOrGap: each point of a finer part follows the
// last of the coarser one by its own step.
func TestSelectJoinsTiersWithoutOverlapOrGap(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	random := rand.New(rand.NewPCG(1, 9))
	joined := 0
	for range 2000 {
		end := day.Add(-time.Duration(random.Int64N(int64(2 * time.Hour))))
		start := end.Add(-time.Duration(random.Int64N(int64(60*24*time.Hour))) - time.Second)
		query := SeriesQuery{Start: start, End: end, MaxPoints: 1 + random.IntN(2000), AsRate: random.IntN(2) == 0}
		if random.IntN(2) == 0 {
			query.Step, query.MaxPoints = (end.Sub(start)/time.Duration(1+random.IntN(3000)) + 1).Round(time.Second), 0
		}
		if query.Step == 0 && query.MaxPoints == 0 {
			query.Step = time.Second
		}
		g, err := q.grid(q.config.Tiers(), query)
		if err != nil {
			t.Fatal(err)
		}
		if query.MaxPoints > 0 && len(g.times) > query.MaxPoints {
			t.Fatalf("%+v has %d points", query, len(g.times))
		}
		last := int64(0)
		for _, p := range g.parts {
			if p.step%p.source.Resolution().Milliseconds() != 0 || p.first%p.step != 0 {
				t.Fatalf("%+v: a step of %d from %d is not whole buckets of %s", query, p.step, p.first, p.source.Name())
			}
			for i := range p.count {
				at := p.first + int64(i)*p.step
				if last != 0 && at-p.step != last {
					t.Fatalf("%+v: the point at %d covers %d and later, but the previous one ends at %d; parts %+v", query, at, at-p.step, last, g.parts)
				}
				last = at
			}
		}
		if last > end.UnixMilli() || len(g.times) > 0 && g.times[0] < start.UnixMilli() {
			t.Fatalf("%+v: points from %v to %v", query, g.times[0], last)
		}
		if len(g.parts) > 1 {
			joined++
		}
	}
	if joined < 100 {
		t.Errorf("only %d grids were joined", joined)
	}
}

// TestMaxPointsKeepSpikes: down-sampling keeps minimum and maximum, and the step is
// as short as max_points allows.
func TestMaxPointsKeepSpikes(t *testing.T) {
	g := samples{named("g"), map[int64]float64{}}
	for k := range int64(3600) {
		g.at[day.UnixMilli()+1000*(k+1)] = 1
	}
	g.at[day.UnixMilli()+1234_000], g.at[day.UnixMilli()+2345_000] = 1000, -1000
	q := querierOn(&fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storageOf(t, g)})
	r := mustSelect(t, q, SeriesQuery{Matchers: matchers("g"), Start: day, End: day.Add(time.Hour), MaxPoints: 500, Avg: true, Min: true, Max: true})
	if r.Step != 8*time.Second || len(r.Series) != 1 || len(r.Series[0].T) != 451 {
		t.Fatalf("step %s, %d series", r.Step, len(r.Series))
	}
	s := r.Series[0]
	if slices.Max(s.Max[1:]) != 1000 || slices.Min(s.Min[1:]) != -1000 {
		t.Errorf("a spike was lost: %v %v", slices.Max(s.Max[1:]), slices.Min(s.Min[1:]))
	}
	if len(r.Tiers) != 1 || r.Tiers[0].Tier != "1s" {
		t.Errorf("tiers %v", r.Tiers)
	}
	only := mustSelect(t, q, SeriesQuery{Matchers: matchers("g"), Start: day, End: day.Add(time.Hour), MaxPoints: 500, Max: true}).Series[0]
	if only.Avg != nil || only.Min != nil || len(only.Max) != 451 {
		t.Errorf("asked for max only, got %d %d %d", len(only.Avg), len(only.Min), len(only.Max))
	}
}

// TestSlowCollectorsHaveRates: a counter read every 10 s has a rate at those
// seconds, over the time between them; a longer pause is a gap.
func TestSlowCollectorsHaveRates(t *testing.T) {
	c := samples{named("c_total"), map[int64]float64{}}
	for _, k := range []int64{0, 10, 20, 60, 70} {
		c.at[day.UnixMilli()+1000*k] = float64(5 * k)
	}
	q := querierOn(&fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storageOf(t, c)})
	q.config.Interval = 10 * time.Second
	s := mustSelect(t, q, SeriesQuery{Matchers: matchers("c_total"), Start: day, End: day.Add(70 * time.Second), Step: time.Second, Avg: true, AsRate: true}).Series[0]
	for k, v := range s.Avg {
		want := math.NaN()
		if k == 10 || k == 20 || k == 70 {
			want = 5
		}
		if v != want && !(math.IsNaN(v) && math.IsNaN(want)) {
			t.Errorf("the rate after %d s is %v, want %v", k, v, want)
		}
	}
}

func TestSelectRefusesBadQueries(t *testing.T) {
	q := querierOn(fourTiers(day)...)
	f := func(query SeriesQuery) {
		t.Helper()
		_, err := q.Select(t.Context(), query)
		var known *Error
		if !asQueryError(err, &known) || known.Type != BadData {
			t.Errorf("%+v: error %v, want %s", query, err, BadData)
		}
	}
	hour := func() SeriesQuery {
		return SeriesQuery{Matchers: matchers("g"), Start: day.Add(-time.Hour), End: day, MaxPoints: 500, Avg: true}
	}
	change := func(change func(*SeriesQuery)) { q := hour(); change(&q); f(q) }
	change(func(q *SeriesQuery) { q.Matchers = nil })
	change(func(q *SeriesQuery) { q.Start = q.End.Add(time.Second) })
	change(func(q *SeriesQuery) { q.MaxPoints = -1 })
	change(func(q *SeriesQuery) { q.MaxPoints = 0 })
	change(func(q *SeriesQuery) { q.MaxPoints = 1_000_000 })
	change(func(q *SeriesQuery) { q.Step = -time.Second })
	change(func(q *SeriesQuery) { q.Step, q.Start = time.Second, q.End.AddDate(-10, 0, 0) })
	change(func(q *SeriesQuery) { q.Start = time.Unix(-1<<60, 0) })
	change(func(q *SeriesQuery) { q.Matchers, q.Max = matchers("c_total"), true })
	change(func(q *SeriesQuery) { q.Step, q.Start = time.Nanosecond, q.End.AddDate(-1, 0, 0) })
	// Ten years are fine if there are few points.
	long := hour()
	long.Start = day.AddDate(-10, 0, 0)
	if _, err := q.Select(t.Context(), long); err != nil {
		t.Error(err)
	}
}

// behind is a tier whose newest bucket is not written yet.
type behind struct {
	*fakeTier
	newest time.Time
}

// Newest is the time of the newest point.
func (b *behind) Newest() time.Time { return b.newest }

// TestSeriesAreNotLate: a step that has ended has a point, also while the coarser tier has
// not written its bucket.
func TestSeriesAreNotLate(t *testing.T) {
	seconds, minutes := samples{named("g"), map[int64]float64{}}, samples{named("g"), map[int64]float64{}}
	for k := range int64(300) {
		seconds.at[day.UnixMilli()+1000*(k-299)] = float64(k)
	}
	for k := range int64(4) {
		minutes.at[day.UnixMilli()-60_000*(4-k)] = 29.5 + 60*float64(k)
	}
	fine := &fakeTier{name: "1s", resolution: time.Second, oldest: day.Add(-time.Hour), queryable: storageOf(t, seconds)}
	coarse := &fakeTier{name: "1m", resolution: time.Minute, oldest: day.Add(-time.Hour), queryable: storageOf(t, minutes)}
	q := querierOn(fine, coarse)
	tiers := []Source{fine, &behind{coarse, day.Add(-time.Minute)}}
	q.config.Tiers = func() []Source { return tiers }
	r := mustSelect(t, q, SeriesQuery{Matchers: matchers("g"), Start: day.Add(-4 * time.Minute), End: day.Add(time.Second), Step: time.Minute, Avg: true})
	if got, want := r.Series[0].Avg, []float64{29.5, 89.5, 149.5, 209.5, 269.5}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if r.Step != time.Minute || len(r.Tiers) != 2 {
		t.Errorf("step %s, tiers %v", r.Step, r.Tiers)
	}
}
