package store

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"sysotel/agent/health"
)

// TestAppendWhileOpening: Open returns before the tiers are open, and readings
// appended meanwhile are kept.
func TestAppendWhileOpening(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir())
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := &ticker{m: m, j: o.Clock, s: s, g: gauge("g", "0")}
	r := reading(m.now(), "f", Sample{k.g, 0})
	s.mustAppend(t, r)
	r.Collectors[0].Samples[0].Value = 99 // The caller reuses its slices.
	k.run(t, 20)
	<-s.Opened()
	got := k.raw(t)
	mustRise(t, got)
	if len(got) != 21 || got[0].v != 0 {
		t.Errorf("samples %v, want 21 from 0", got)
	}
}

// TestWaitingIsBounded: the newest readings wait in memory, the others are counted
// as dropped.
func TestWaitingIsBounded(t *testing.T) {
	m := newMachine(noon)
	m.setFree(0)
	o := m.options(t, t.TempDir())
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := &ticker{m: m, j: o.Clock, s: s, g: gauge("g", "0")}
	k.run(t, maxWaiting+100)
	if stats := s.Stats(); stats.Waiting != maxWaiting+100-batchReadings || stats.Dropped[DropQueueFull] != batchReadings {
		t.Errorf("%+v, want %d dropped and the others waiting", stats, batchReadings)
	}
	k.health(t, health.Degraded, "dropped 300 samples in the last 2m (300 queue_full)")
}

// TestLateReading: a reading that comes after its bucket was written is kept in
// the finest tier, dropped from the upper tiers, and counted.
func TestLateReading(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	slow, fast := gauge("slow", "0"), gauge("fast", "0")
	for i := range 64 {
		m.pass(time.Second)
		s.mustAppend(t, reading(m.now(), "fast", Sample{fast, float64(i)}))
	}
	s.mustAppend(t, reading(noon.Add(58*time.Second), "slow", Sample{slow, 5}))
	if got := points(t, s.tiers[0])[slow.Labels.String()]; len(got) != 1 {
		t.Errorf("the finest tier has %v, want the late reading", got)
	}
	m.pass(2 * time.Minute)
	s.closeByTime()
	if got := points(t, s.tiers[1])[slow.Labels.String()]; len(got) != 0 {
		t.Errorf("the minutes have %v, want nothing of a late reading", got)
	}
	if stats := s.Stats(); stats.Dropped[DropLateRollup] != 1 {
		t.Errorf("%+v, want 1 late", stats)
	}
	// Within the grace time it is not late.
	m.step(-2 * time.Minute)
	got := points(t, s.tiers[1])[fast.Labels.String()]
	if len(got) != 2 || got[0].t != noon.Add(time.Minute).UnixMilli() {
		t.Errorf("the minutes of the other are %v", got)
	}
}

// TestGrace: a bucket is written two seconds after its end, even if no reading
// comes, and includes readings of that time.
func TestGrace(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	slow, fast := gauge("slow", "0"), gauge("fast", "0")
	for i := range 61 {
		m.pass(time.Second)
		s.mustAppend(t, reading(m.now(), "fast", Sample{fast, float64(i)}))
		s.closeByTime()
	}
	if got := points(t, s.tiers[1]); len(got) != 0 {
		t.Errorf("the bucket is written after one second: %v", got)
	}
	s.mustAppend(t, reading(noon.Add(time.Minute), "slow", Sample{slow, 5}))
	m.pass(time.Second)
	s.closeByTime()
	got := points(t, s.tiers[1])
	if len(got[slow.Labels.String()]) != 1 || len(got[fast.Labels.String()]) != 1 {
		t.Errorf("the bucket holds %v, want both collectors", got)
	}
}

// TestFailedCollector: a failing collector gets no sample and no marker, and its
// number of readings shows it.
func TestFailedCollector(t *testing.T) {
	k := newTicker(t)
	k.run(t, 90)
	other := gauge("other", "0")
	for range 90 {
		k.m.pass(time.Second)
		k.s.mustAppend(t, reading(k.m.now(), "other", Sample{other, 1}))
	}
	k.m.pass(2 * time.Second)
	k.s.closeByTime()
	for _, p := range k.raw(t) {
		if value.IsStaleNaN(p.v) {
			t.Errorf("a marker at %d", p.t)
		}
	}
	minutes := points(t, k.s.tiers[1])
	if got := minutes[k.g.Labels.String()]; len(got) != 2 || value.IsStaleNaN(got[1].v) {
		t.Errorf("the minutes are %v, want the two with readings", got)
	}
	readings := minutes[k.s.readingsSeries("f").Labels.String()]
	if len(readings) != 2 || readings[0].v != 60 || readings[1].v != 30 {
		t.Errorf("readings %v, want 60 and 30", readings)
	}
}

// TestSeriesThatDoNotComeBack: after a start, series that are missing in their
// collector's first reading get a staleness marker there, others do not.
func TestSeriesThatDoNotComeBack(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir())
	s := openStore(t, o)
	stays, goes, fails := gauge("g", "stays"), gauge("g", "goes"), gauge("other", "fails")
	for range 30 {
		m.pass(time.Second)
		r := reading(m.now(), "f", Sample{stays, 1}, Sample{goes, 2})
		r.Collectors = append(r.Collectors, CollectorReading{Collector: "failing", Taken: m.now(), Samples: []Sample{{fails, 3}}})
		s.mustAppend(t, r)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.pass(10 * time.Second)
	s = openStore(t, o)
	for range 100 {
		m.pass(time.Second)
		s.mustAppend(t, reading(m.now(), "f", Sample{stays, 1}))
	}
	raw := points(t, s.tiers[0])
	if got := raw[goes.Labels.String()]; len(got) != 31 || !value.IsStaleNaN(got[30].v) || got[30].t != noon.Add(41*time.Second).UnixMilli() {
		t.Errorf("what went has %v, want a marker at the first reading", got[len(got)-1])
	}
	if got := raw[stays.Labels.String()]; len(got) != 130 {
		t.Errorf("what stayed has %d samples, want 130", len(got))
	}
	if got := raw[fails.Labels.String()]; len(got) != 30 {
		t.Errorf("what fails has %d samples, want no marker", len(got))
	}
	minutes := points(t, s.tiers[1])
	if got := minutes[goes.Labels.String()]; len(got) != 2 || got[0].v != 2 || !value.IsStaleNaN(got[1].v) {
		t.Errorf("the minutes of what went are %v, want 2 and a marker", got)
	}
	if got := minutes[rename(goes.Labels, "g_max").String()]; len(got) != 2 || !value.IsStaleNaN(got[1].v) {
		t.Errorf("the maxima of what went are %v, want 2 and a marker", got)
	}
}

// TestBriefSeries: brief series are kept in the two finest tiers only.
func TestBriefSeries(t *testing.T) {
	k := newTicker(t)
	k.g.Brief = true
	k.run(t, 700)
	for i, want := range []bool{true, true, false, false} {
		if _, got := points(t, k.s.tiers[i])[k.g.Labels.String()]; got != want {
			t.Errorf("tier %s has the series: %v", k.s.tiers[i].Name(), got)
		}
	}
	if !k.s.Rollups().Brief("g") {
		t.Error("the table does not have it as brief")
	}
}

// TestRateByTheTimeThatPassed: rates are over the time between the reads, not
// between the ticks.
func TestRateByTheTimeThatPassed(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	c := counter("c", "0")
	for i := range 63 {
		m.pass(time.Second)
		r := reading(m.now(), "f", Sample{c, float64(100 * i)})
		if i == 20 {
			r.Collectors[0].Taken = m.now().Add(600 * time.Millisecond)
		}
		s.mustAppend(t, r)
	}
	minutes := points(t, s.tiers[1])
	minimum, maximum := minutes[rename(c.Labels, "c_rate_min").String()], minutes[rename(c.Labels, "c_rate_max").String()]
	if len(minimum) != 1 || minimum[0].v != 62.5 || len(maximum) != 1 || maximum[0].v != 250 {
		t.Errorf("minimum %v, maximum %v; want 62.5 and 250", minimum, maximum)
	}
}

// TestFirstReadingOffTheBeat: the reading at the start, shortly before the next
// tick, makes no extreme that the finest tier does not show.
func TestFirstReadingOffTheBeat(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	c := counter("c", "0")
	for i := range 63 {
		m.pass(time.Second)
		r := reading(m.now(), "f", Sample{c, float64(100 * i)})
		if i == 0 {
			r.Collectors[0].Taken = m.now().Add(900 * time.Millisecond)
		}
		s.mustAppend(t, r)
	}
	maximum := points(t, s.tiers[1])[rename(c.Labels, "c_rate_max").String()]
	if len(maximum) != 1 || maximum[0].v != 100 {
		t.Errorf("maximum %v, want 100", maximum)
	}
}

// TestTimestampsAreWholeTicks: samples have the time of the tick.
func TestTimestampsAreWholeTicks(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	g := gauge("g", "0")
	for i := range 10 {
		m.pass(time.Second)
		s.mustAppend(t, reading(m.now().Add(time.Duration(i)*37*time.Millisecond), "f", Sample{g, 1}))
	}
	for i, p := range points(t, s.tiers[0])[g.Labels.String()] {
		if want := noon.UnixMilli() + int64(i+1)*1000; p.t != want {
			t.Errorf("sample %d is at %d, want %d", i, p.t, want)
		}
	}
}

// TestRollups: roll-up names are resolved, also after a start.
func TestRollups(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir())
	s := openStore(t, o)
	s.mustAppend(t, reading(m.now(), "f", Sample{gauge("g", "0"), 1}, Sample{counter("c", "0"), 1}))
	want := map[string]Rollup{
		"g_min": {"g", Min, false}, "g_max": {"g", Max, false},
		"c_rate_min": {"c_total", Min, true}, "c_rate_max": {"c_total", Max, true},
	}
	for range 2 {
		if got := s.Rollups().All(); !maps.Equal(got, want) {
			t.Errorf("the table is %v, want %v", got, want)
		}
		if of := s.Rollups().OfCollector("f"); !maps.Equal(of, map[string]Kind{"g": Gauge, "c_total": Counter}) || len(s.Rollups().OfCollector(Rules)) > 0 {
			t.Errorf("the collector has %v", of)
		}
		if _, ok := s.Rollups().Lookup("g_rate_min"); ok {
			t.Error("a name that was not registered is found")
		}
		if minimum, maximum, kind, ok := s.Rollups().Names("c_total"); minimum != "c_rate_min" || maximum != "c_rate_max" || kind != Counter || !ok {
			t.Errorf("names %q, %q, %v, %v", minimum, maximum, kind, ok)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = openStore(t, o)
	}
}

// TestBackup: a backup made during appends is a store of its own and can continue.
func TestBackup(t *testing.T) {
	m := newMachine(noon)
	tiers := []TierConfig{{time.Second, 6 * time.Hour}, {10 * time.Second, 24 * time.Hour}}
	s := openStore(t, m.options(t, t.TempDir(), tiers...))
	h := newHost(50)
	for range 5000 {
		m.pass(time.Second)
		s.mustAppend(t, h.read(m.now()))
	}
	s.Maintain(t.Context())
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				m.pass(time.Second)
				if err := s.Append(h.read(m.now())); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	at := m.now()
	dir := filepath.Join(t.TempDir(), "backup")
	err := s.Backup(t.Context(), dir)
	close(stop)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a second backup to the same place is answered with %v", err)
	}
	restored := openStore(t, m.options(t, dir, tiers...))
	if h := restored.Health(); h.Status != health.OK {
		t.Errorf("the backup is %s, %s", h.Status, h.Reason)
	}
	for i, tier := range restored.tiers {
		until := at.Truncate(tier.Resolution()).UnixMilli() - tier.Resolution().Milliseconds()
		want, got := pointsBetween(t, s.tiers[i], 0, until), pointsBetween(t, tier, 0, until)
		if len(want) == 0 || !maps.EqualFunc(want, got, func(a, b []point) bool {
			return slices.EqualFunc(a, b, func(a, b point) bool {
				return a.t == b.t && (a.v == b.v || value.IsStaleNaN(a.v) && value.IsStaleNaN(b.v))
			})
		}) {
			t.Errorf("tier %s of the backup differs", tier.Name())
		}
	}
	for range 100 {
		m.pass(time.Second)
		restored.mustAppend(t, h.read(m.now()))
	}
	if got := restored.tiers[0].Newest(); !got.Equal(m.now()) {
		t.Errorf("the newest reading of the backup is of %v, want %v", got, m.now())
	}
	if left, _ := filepath.Glob(filepath.Join(s.options.Dir, tiersDir, "*.backup")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestClose: appends fail after Close, and a second Close is no error.
func TestClose(t *testing.T) {
	k := newTicker(t)
	k.run(t, 1)
	for range 2 {
		if err := k.s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := k.s.Append(reading(k.m.now(), "f")); err != ErrClosed { //nolint:errorlint // It is this very one.
		t.Errorf("an append after it is answered with %v", err)
	}
	if h := k.s.Health(); h.Status != health.Failed {
		t.Errorf("health is %+v", h)
	}
}

// TestBlockRange: blocks are small enough to open quickly, and large enough to be few.
func TestBlockRange(t *testing.T) {
	var got []string
	for _, c := range Defaults().Tiers {
		got = append(got, TierName(c.Resolution)+" "+c.BlockRange().String())
	}
	if want := "[1s 30m0s 1m 12h0m0s 5m 48h0m0s 1h 480h0m0s]"; fmt.Sprint(got) != want {
		t.Errorf("blocks of %v, want %v", got, want)
	}
}

func TestConfig(t *testing.T) {
	invalid := func(change func(*Config)) (found []string) {
		c := Defaults()
		change(&c)
		c.Validate(func(path string, _ any, _ string) { found = append(found, path) })
		return found
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(*Config) {}, "[]"},
		{func(c *Config) { c.Tiers = nil }, "[tiers]"},
		{func(c *Config) { c.MaxBytes = 1 << 20 }, "[max_bytes]"},
		{func(c *Config) { c.Tiers[0].Resolution = 1500 * time.Millisecond }, "[tiers[0].resolution]"},
		{func(c *Config) { c.Tiers[1].Resolution = 7 * time.Second }, "[tiers[1].resolution tiers[2].resolution]"},
		{func(c *Config) { c.Tiers[1].Resolution = time.Second }, "[tiers[1].resolution]"},
		{func(c *Config) { c.Tiers[2].Retention = time.Hour }, "[tiers[2].retention]"},
		{func(c *Config) { c.Tiers[3].Retention = 50 * 365 * 24 * time.Hour }, "[tiers[3].retention]"},
		{func(c *Config) { c.Tiers[3].Retention = time.Hour }, "[tiers[3].retention]"},
	} {
		if got := fmt.Sprint(invalid(c.change)); got != c.want {
			t.Errorf("validation errors %s, want %s", got, c.want)
		}
	}
	for text, want := range map[string]ByteSize{"1GiB": 1 << 30, " 512 MiB ": 512 << 20, "1.5KiB": 1536, "2MB": 2e6, "7B": 7} {
		if got, err := ParseByteSize(text); got != want || err != nil {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1", "-1MiB", "1PiB", "xMiB", "9999999999TiB", "NaNMiB"} {
		if got, err := ParseByteSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	for size, want := range map[ByteSize]string{1 << 30: "1GiB", 1536: "1536B", 64 << 20: "64MiB", 0: "0B"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(size), got, want)
		}
	}
}

// TestAsideNames: two files set aside in one second are both kept.
func TestAsideNames(t *testing.T) {
	k := newTicker(t)
	tier := k.s.tiers[0]
	for range 2 {
		path := filepath.Join(tier.dir, "x")
		if err := os.WriteFile(path, nil, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := tier.moveAside(path, os.ErrInvalid); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := k.s.setAsideFiles(); len(found) != 2 {
		t.Errorf("set aside are %v, want two", found)
	}
}
