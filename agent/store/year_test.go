package store_test

import (
	"math"
	"os"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// TestSoakYear makes a year of recorded readings: a day of seconds, a week of
// minutes, a month of five minutes and a year of hours, the last two hours tick by
// tick; in the short version a twelfth of each. In the long version, whose blocks
// are as large as those of a year, the seconds and all tiers together take at most
// 1.2 bytes a sample. Data beyond the retention is deleted, no tier has a gap, and
// the whole year can be queried. The time to open is only logged, because machines
// differ.
func TestSoakYear(t *testing.T) {
	dir, end := t.TempDir(), noon.Add(77*time.Second)
	tiers, days := store.Defaults().Tiers, 365
	if long := os.Getenv("SYSOTEL_TEST_SOAK") != ""; !long {
		days = 30
		for i := range tiers {
			tiers[i].Retention = (tiers[i].Retention / 12).Round(time.Hour)
		}
	}
	own := labels.FromStrings("host_name", "h")
	r := storetest.NewRecording(t, 1)
	began := time.Now()
	storetest.Year(t, dir, tiers, end, own, func(at time.Time) store.Reading { return r.Read(t, at) })
	t.Logf("made in %s", time.Since(began).Round(time.Second))

	clock := storetest.NewClock(end)
	began = time.Now()
	s := storetest.OpenStore(t, store.Options{Dir: dir, Tiers: tiers, Labels: own, Clock: clock.Judge()})
	opened := time.Since(began)
	q := query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return query.Sources(s.Tiers()) }, Names: s.Rollups(), Interval: time.Second, Limits: query.DefaultLimits(),
	})
	year := func() *query.Result {
		t.Helper()
		a, err := q.Range(t.Context(), "max_over_time(load0_max[18h])", end.AddDate(0, 0, -days), end, 18*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := year()
	t.Logf("open after %s, a year answered after %s", opened.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	m, _ := a.Value.(promql.Matrix)
	if len(m) == 0 || len(m[0].Floats) < days*24/18-3 || len(a.Tiers) == 0 || a.Tiers[0].Tier != "1h" {
		t.Errorf("the year has %d series from %v", len(m), a.Tiers)
	}
	a.Close()

	var bytes int64
	var samples uint64
	for _, tier := range s.Tiers() {
		own, count := bytesPerSample(t, dir, tier)
		blocks := storetest.Blocks(t, dir, tier.Name())
		first := blocks[0].MinTime
		for _, b := range blocks {
			first, bytes, samples = min(first, b.MinTime), bytes+b.Bytes, samples+b.Samples
		}
		kept := end.Sub(time.UnixMilli(first))
		t.Logf("%-2s %d blocks, %9d samples, %.3f bytes a sample, back to %s", tier.Name(), len(blocks), count, own, model.Duration(kept.Round(time.Minute)))
		if tier.Resolution() == time.Second && days > 30 && !(own <= 1.2) {
			t.Errorf("tier %s takes %.3f bytes a sample, want at most 1.2", tier.Name(), own)
		}
		// A block is deleted when its newest sample is beyond the retention, and
		// the largest is a quarter of it.
		if kept < tier.Retention() || kept > tier.Retention()*5/4+time.Hour {
			t.Errorf("tier %s reaches back %s on disk, want %s and at most a block more", tier.Name(), kept, tier.Retention())
		}
		if oldest := tier.Oldest(); !oldest.Equal(end.Add(-tier.Retention())) {
			t.Errorf("tier %s answers from %s, want %s", tier.Name(), oldest, end.Add(-tier.Retention()))
		}
		if newest := end.Sub(tier.Newest()); newest > tier.Resolution()+2*time.Second {
			t.Errorf("tier %s ends %s before the last tick", tier.Name(), newest)
		}
	}
	if all := float64(bytes) / float64(samples); days > 30 && !(all <= 1.2) {
		t.Errorf("all tiers take %.3f bytes a sample, want at most 1.2", all)
	}
	t.Logf("in all %d samples, %.3f bytes a sample, %d MB on disk", samples, float64(bytes)/float64(samples), s.Size()/1e6)
	whole(t, s)
}

// whole fails where a tier has a hole: each point of the store's own count of
// readings follows the one before.
func whole(t *testing.T, s *store.Store) {
	t.Helper()
	for _, tier := range s.Tiers() {
		q := query.NewQuerier(query.Config{
			Tiers: func() []query.Source { return []query.Source{tier} }, Interval: time.Second, Limits: query.DefaultLimits(),
		})
		span := 10_000 * tier.Resolution()
		at := tier.Newest()
		if oldest := tier.Oldest(); at.Sub(oldest) < span {
			span = at.Sub(oldest).Truncate(tier.Resolution())
		}
		a, err := q.Range(t.Context(), "count_over_time(sysotel_family_readings["+model.Duration(tier.Resolution()).String()+"])", at.Add(-span), at, tier.Resolution())
		if err != nil {
			t.Fatal(err)
		}
		m, _ := a.Value.(promql.Matrix)
		if n := int(math.Round(float64(span)/float64(tier.Resolution()))) - 1; len(m) != 1 || len(m[0].Floats) < n {
			t.Errorf("tier %s: %d series of readings, of which the first has not the %d points to %s", tier.Name(), len(m), n, at)
		}
		a.Close()
	}
}
