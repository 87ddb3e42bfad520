package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"sysotel/instruments/heaptest"
)

// churn feeds a store with steady series, and with some of new names that live for
// three seconds and then end.
type churn struct {
	*Store
	clock  *machine
	steady []Sample
	living [][]Sample
	names  int
	out    Reading
}

func newChurn(t testing.TB, steady int) *churn {
	t.Helper()
	m := newMachine(noon)
	c := &churn{Store: openStore(t, m.options(t, t.TempDir())), clock: m}
	for i := range steady {
		c.steady = append(c.steady, Sample{gauge("steady", fmt.Sprint(i)), float64(i)})
	}
	return c
}

// second appends one reading with n new names of two series each.
func (c *churn) second(t testing.TB, n int) {
	t.Helper()
	c.clock.pass(time.Second)
	var fresh []Sample
	for range n {
		c.names++
		name := fmt.Sprint("veth", c.names)
		fresh = append(fresh, Sample{gauge("speed", name), float64(c.names)}, Sample{counter("bytes", name), float64(c.names)})
	}
	c.living = append(c.living, fresh)
	var ended []*Series
	if len(c.living) > 3 {
		for _, s := range c.living[0] {
			ended = append(ended, s.Series)
		}
		c.living = c.living[1:]
	}
	r := reading(c.clock.now(), "network", c.steady...)
	for _, l := range c.living {
		r.Collectors[0].Samples = append(r.Collectors[0].Samples, l...)
	}
	r.Collectors[0].Ended = ended
	c.mustAppend(t, r)
	if c.clock.now().Second() == 0 {
		c.Maintain(t.Context())
	}
}

// TestNamesWithoutEnd feeds 100,000 names of network interfaces: memory and disk stay
// bounded, the steady series go on, and what is new afterwards is kept again.
func TestNamesWithoutEnd(t *testing.T) {
	c := newChurn(t, 300)
	c.second(t, 0)
	heaptest.Bound(t, 40<<20, func() {
		for range 5000 {
			c.second(t, 20)
		}
	})
	for _, tier := range c.tiers {
		if n := tier.db.Head().NumSeries(); n > 3*(300+2*maxEnded)+3*2*mostEnded {
			t.Errorf("the head of tier %s has %d series", tier.name, n)
		}
		if n := len(tier.db.Blocks()); n > 8 {
			t.Errorf("tier %s has %d blocks", tier.name, n)
		}
	}
	if dropped := c.Stats().Dropped[DropNewSeries]; dropped == 0 || c.Health().Reason == "" {
		t.Errorf("%d samples of new series were dropped, health says %q", dropped, c.Health().Reason)
	}
	t.Logf("%d series are in memory, %.1f MB on disk", c.Stats().Series, float64(c.Size())/1e6)
	got := points(t, c.tiers[0])
	if n := len(got[c.steady[7].Series.Labels.String()]); n != 5001 {
		t.Errorf("a steady series has %d samples, want 5001", n)
	}
	for range 2 * 3600 {
		c.second(t, 0)
	}
	c.second(t, 1)
	last := c.living[len(c.living)-1][0].Series.Labels.String()
	if len(pointsBetween(t, c.tiers[0], c.clock.now().UnixMilli(), c.clock.now().UnixMilli())[last]) != 1 {
		t.Errorf("%s is not kept two hours later", last)
	}
}

// TestEndedSeriesAreKept: what was moved out of the head is answered as before, also
// after a restart; a series that comes back goes on, and times and buckets are right.
func TestEndedSeriesAreKept(t *testing.T) {
	c := newChurn(t, 5)
	for i := range 20 * 60 {
		c.second(t, min(i, 1)*min(60, i%61))
	}
	tier := c.tiers[0]
	before, newest, oldest := points(t, tier), tier.Newest(), tier.Oldest()
	for _, tier := range c.tiers {
		if err := tier.db.CompactStaleHead(); err != nil {
			t.Fatal(err)
		}
		for _, b := range tier.db.Blocks() {
			if meta := b.Meta(); meta.Compaction.FromStaleSeries() && meta.MaxTime > c.clock.now().UnixMilli()+1 {
				t.Errorf("tier %s has a block until %d, which is later than now", tier.name, meta.MaxTime)
			}
		}
		tier.measure()
	}
	if n := tier.db.Head().NumStaleSeries(); n != 0 {
		t.Errorf("%d ended series are in the head", n)
	}
	same := func(what string, after map[string][]point) {
		t.Helper()
		if len(after) != len(before) {
			t.Errorf("%s: %d series, want %d", what, len(after), len(before))
		}
		for series, want := range before {
			got := after[series]
			if len(got) != len(want) {
				t.Fatalf("%s: %s has %d points, want %d", what, series, len(got), len(want))
			}
			for i := range want {
				if got[i].t != want[i].t || got[i].v != want[i].v && !(value.IsStaleNaN(got[i].v) && value.IsStaleNaN(want[i].v)) {
					t.Fatalf("%s: %s has %v at %d, want %v", what, series, got[i], i, want[i])
				}
			}
		}
	}
	same("moved", points(t, tier))
	if !tier.Newest().Equal(newest) || !tier.Oldest().Equal(oldest) {
		t.Errorf("the tier reaches from %v to %v, want %v to %v", tier.Oldest(), tier.Newest(), oldest, newest)
	}
	o := c.options
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.Store = openStore(t, o)
	tier = c.tiers[0]
	same("after a restart", points(t, tier))
	if !tier.Newest().Equal(newest) || !tier.Oldest().Equal(oldest) {
		t.Errorf("after a restart the tier reaches from %v to %v, want %v to %v", tier.Oldest(), tier.Newest(), oldest, newest)
	}
	// The first that ended comes back.
	back := gauge("speed", "veth1")
	c.clock.pass(time.Second)
	c.mustAppend(t, reading(c.clock.now(), "network", append(c.steady, Sample{back, 42})...))
	got := points(t, tier)[back.Labels.String()]
	if want := before[back.Labels.String()]; len(got) != len(want)+1 || got[len(want)].v != 42 {
		t.Errorf("what came back has %v, want %v and 42", got, want)
	}
}

// TestEndedSeriesLeaveMemory: a few hundred series that have ended are out of the heads of the
// tiers within minutes, and are answered as before.
func TestEndedSeriesLeaveMemory(t *testing.T) {
	c := newChurn(t, 2000) // Of which they are far less than a quarter.
	for range 60 {
		c.second(t, 3)
	}
	for range 3 * 60 {
		c.second(t, 0)
	}
	before := points(t, c.tiers[0])
	for range int(endedFor/time.Second) + 60 {
		c.second(t, 0)
	}
	for _, tier := range c.tiers[:2] {
		if n := tier.db.Head().NumStaleSeries(); n >= lateEnded {
			t.Errorf("%d ended series are in the head of tier %s", n, tier.name)
		}
		if n := tier.db.Head().NumSeries(); n > 3*2001+lateEnded {
			t.Errorf("the head of tier %s has %d series", tier.name, n)
		}
	}
	after := points(t, c.tiers[0])
	for i := range 3 * 60 {
		for _, series := range []*Series{gauge("speed", fmt.Sprint("veth", i+1)), counter("bytes", fmt.Sprint("veth", i+1))} {
			want, got := before[series.Labels.String()], after[series.Labels.String()]
			if len(want) < 3 || len(got) != len(want) || got[0] != want[0] {
				t.Fatalf("%s has %v, had %v", series.Labels, got, want)
			}
		}
	}
}

// TestMetricsWithoutEnd: new names of custom metrics do not fill the table of roll-ups;
// those in use and ours stay.
func TestMetricsWithoutEnd(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	ours, used := gauge("ours", "0"), gauge("used", "0")
	m.pass(time.Second)
	s.mustAppend(t, reading(m.now(), "load", Sample{ours, 1}))
	s.mustAppend(t, reading(m.now(), "custom", Sample{used, 1}))
	for i := range 3 * maxMetrics {
		s.rollups.register(fmt.Sprint("custom", i), metric{Min: fmt.Sprint("min", i), Max: fmt.Sprint("max", i), Collector: "custom"})
	}
	s.Maintain(t.Context())
	if n := len(s.rollups.metrics); n != 2 || len(s.rollups.names) != 4 {
		t.Errorf("%d metrics and %d names are left", n, len(s.rollups.names))
	}
	for _, name := range []string{"ours_min", "used_max"} {
		if _, ok := s.rollups.Lookup(name); !ok {
			t.Errorf("%s is forgotten", name)
		}
	}
}

// BenchmarkOpenAfterStorm opens a store of 1,500 steady series in which new names came
// and went for 44 minutes, twenty a second: as much as the WAL of the finest tier ever
// has.
func BenchmarkOpenAfterStorm(b *testing.B) {
	c := newChurn(b, 1500)
	for range 44 * 60 {
		c.second(b, 20)
	}
	for b.Loop() {
		b.StopTimer()
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		s, err := Open(c.options)
		if err != nil {
			b.Fatal(err)
		}
		<-s.Opened()
		c.Store = s
	}
	b.StopTimer()
	b.ReportMetric(float64(c.Stats().Series), "series")
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
}
