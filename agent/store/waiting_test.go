package store

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/disktest"
	"sysotel/agent/health"
)

// reserved is a free space at which a store does not open, but its log is written.
const reserved = 8 << 20

// openingStore returns a store that stays opening, until space is made, and whose
// readings wait in the log.
func openingStore(t *testing.T, m *machine, dir string, tiers ...TierConfig) *Store {
	t.Helper()
	m.setFree(reserved)
	s, err := Open(m.options(t, dir, tiers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// killed returns a copy of a store's files, as a process leaves them that is killed now.
func killed(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "store")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// logged lists the files of the log.
func logged(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, waitingDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// fact is a reading with a gauge, a counter and a series that ends.
type facts struct {
	gauge, counter, brief, ends *Series
	n                           int
}

func newFacts() *facts {
	f := &facts{gauge: gauge("g", "0"), counter: counter("c", "0"), brief: gauge("b", "0"), ends: gauge("e", "0")}
	f.brief.Brief = true
	f.counter.Start = noon.Add(-time.Hour)
	f.counter.Origin = &Origin{Name: "c", Kind: OriginCounter, Attributes: map[string]Attribute{"i": {Key: "i.j", Type: "int"}}}
	return f
}

func (f *facts) read(at time.Time) Reading {
	f.n++
	r := reading(at, "f", Sample{f.gauge, float64(f.n % 7)}, Sample{f.counter, float64(f.n * 10)}, Sample{f.brief, math.NaN()})
	switch {
	case f.n%20 < 10:
		r.Collectors[0].Samples = append(r.Collectors[0].Samples, Sample{f.ends, 5})
	case f.n%20 == 10:
		r.Collectors[0].Ended = []*Series{f.ends}
	}
	r.Collectors = append(r.Collectors, CollectorReading{Collector: "slow", Taken: at, Samples: []Sample{{f.brief, float64(f.n)}}})
	return r
}

// TestWaitingSurvivesKill: readings that waited when the process was killed are in the
// tiers of the next one, like those of a process that was not killed.
func TestWaitingSurvivesKill(t *testing.T) {
	m, dir := newMachine(noon), t.TempDir()
	tiers := childTiers()
	f := newFacts()
	s := openingStore(t, m, dir, tiers...)
	for range 700 {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	if s.Stats().Waiting != 700 || len(logged(t, dir)) != 3 {
		t.Fatalf("%+v, %v", s.Stats(), logged(t, dir))
	}
	// Twice: the second life waits as well.
	again := killed(t, dir)
	s = openingStore(t, m, again, tiers...)
	if got := s.Stats().Waiting; got != 700 {
		t.Fatalf("%d readings wait after the kill, want 700", got)
	}
	f2 := newFacts()
	f2.n = f.n
	for range 50 {
		m.pass(time.Second)
		s.mustAppend(t, f2.read(m.now()))
	}
	third := killed(t, again)
	m.setFree(1 << 40)
	s = openStore(t, m.options(t, third, tiers...))
	if h := s.Health(); h.Status != health.OK || len(logged(t, third)) != 0 || s.Stats().Waiting != 0 {
		t.Errorf("%v, the log has %v, %+v", h, logged(t, third), s.Stats())
	}

	// One process without a kill, into an open store.
	m2, f := newMachine(noon), newFacts()
	want := openStore(t, m2.options(t, t.TempDir(), tiers...))
	for range 750 {
		m2.pass(time.Second)
		want.mustAppend(t, f.read(m2.now()))
	}
	for i := range want.tiers {
		got, want := points(t, s.tiers[i]), points(t, want.tiers[i])
		if len(got) != len(want) {
			t.Errorf("tier %d has %v, want %v", i, keys(got), keys(want))
		}
		for key := range want {
			comparePoints(t, s.tiers[i].Name()+" "+key, got[key], want[key])
		}
	}
	if st := s.lookup(f.counter.Labels); st == nil || st.start != noon.Add(-time.Hour).UnixMilli() {
		t.Errorf("the counter starts at %+v", st)
	}
	if m, _ := s.rollups.metric(f.counter.Labels.Get("__name__")); m.Origin == nil || m.Origin.Attributes["i"].Key != "i.j" {
		t.Errorf("the metric is %+v", m)
	}
}

// TestWaitingIsAppendedOnce: a process that is killed after it appended what waited, and
// before it removed the log, doubles nothing in the next.
func TestWaitingIsAppendedOnce(t *testing.T) {
	m, dir := newMachine(noon), t.TempDir()
	f := newFacts()
	s := openingStore(t, m, dir, childTiers()...)
	for range 400 {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	log := killed(t, dir)
	m.setFree(1 << 40)
	<-s.Opened()
	before := make([]map[string][]point, len(s.tiers))
	for i := range s.tiers {
		before[i] = points(t, s.tiers[i])
	}
	after := killed(t, dir)
	if err := os.CopyFS(filepath.Join(after, waitingDir), os.DirFS(filepath.Join(log, waitingDir))); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, m.options(t, after, childTiers()...))
	for i := range s.tiers {
		got := points(t, s.tiers[i])
		for key := range before[i] {
			comparePoints(t, s.tiers[i].Name()+" "+key, got[key], before[i][key])
		}
	}
	for reason, n := range s.Stats().Dropped {
		if n > 0 {
			t.Errorf("%d samples count as dropped: %s", n, reason)
		}
	}
	// The open buckets have each reading once, too.
	for range 300 {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	counts := points(t, s.tiers[1])[s.readingsSeriesLabels("f")]
	for _, p := range counts {
		if p.v != 60 {
			t.Errorf("a minute counts %v readings", p.v)
		}
	}
	if len(counts) < 10 {
		t.Errorf("%d minutes", len(counts))
	}
}

func (s *Store) readingsSeriesLabels(collector string) string {
	series := s.readingsSeries(collector)
	return series.Labels.String()
}

// TestWaitingIsInBackup: a backup that is made on a full disk has what waits.
func TestWaitingIsInBackup(t *testing.T) {
	m := newMachine(noon)
	s := openStore(t, m.options(t, t.TempDir()))
	f := newFacts()
	tick := func() {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	tick()
	m.setFree(reserved - 1)
	tick()
	tick()
	to := filepath.Join(t.TempDir(), "copy")
	if err := s.Backup(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	m.setFree(1 << 40)
	s = openStore(t, m.options(t, to))
	if got := points(t, s.tiers[0])[f.gauge.Labels.String()]; len(got) != 3 || !s.Found().Equal(m.now()) {
		t.Errorf("the copy has %v, found %s", got, s.Found())
	}
}

// TestWaitingSeriesEnds: a series that does not come back after a kill during the
// opening is ended, even though its last readings were in the log.
func TestWaitingSeriesEnds(t *testing.T) {
	m, dir := newMachine(noon), t.TempDir()
	s := openingStore(t, m, dir)
	stays, goes := gauge("g", "stays"), gauge("g", "goes")
	for range 5 {
		m.pass(time.Second)
		s.mustAppend(t, reading(m.now(), "f", Sample{stays, 1}, Sample{goes, 1}))
	}
	next := killed(t, dir)
	m.setFree(1 << 40)
	s = openStore(t, m.options(t, next))
	m.pass(time.Second)
	s.mustAppend(t, reading(m.now(), "f", Sample{gauge("g", "stays"), 2}))
	all := points(t, s.tiers[0])
	if got := all[goes.Labels.String()]; len(got) != 6 || !value.IsStaleNaN(got[5].v) {
		t.Errorf("the series that went has %v", got)
	}
	if got := all[stays.Labels.String()]; len(got) != 6 || got[5].v != 2 {
		t.Errorf("the series that stayed has %v", got)
	}
}

// TestWaitingIsSeen: queries see what is stored and what waits as one, in any range.
func TestWaitingIsSeen(t *testing.T) {
	m := newMachine(noon)
	dir := t.TempDir()
	s := openStore(t, m.options(t, dir))
	f := newFacts()
	for range 50 {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	m.setFree(0)
	for range 650 {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	compare := func(when string) {
		t.Helper()
		for _, span := range [][2]int{{1, 700}, {40, 60}, {51, 51}, {349, 352}, {300, 400}, {690, 9999}, {1, 50}} {
			mint, maxt := noon.UnixMilli()+int64(span[0])*1000, noon.UnixMilli()+int64(span[1])*1000
			got := pointsBetween(t, s.tiers[0].Queryable(), mint, maxt)[f.gauge.Labels.String()]
			var want []point
			for n := span[0]; n <= min(span[1], 700); n++ {
				want = append(want, point{noon.UnixMilli() + int64(n)*1000, float64(n % 7)})
			}
			comparePoints(t, when, got, want)
		}
		ends := seen(t, s.tiers[0])[f.ends.Labels.String()]
		mustRise(t, ends)
		if n := len(ends); n != 35*10+35 {
			t.Errorf("%s: the series that ends has %d points", when, n)
		}
		if got := seen(t, s.tiers[0])[s.readingsSeriesLabels("slow")]; len(got) != 700 {
			t.Errorf("%s: %d readings of a collector", when, len(got))
		}
	}
	compare("while readings wait")
	q, err := s.tiers[0].Queryable().Querier(0, 1<<50)
	if err != nil {
		t.Fatal(err)
	}
	names, _, err := q.LabelValues(context.Background(), "__name__", nil)
	if err != nil || len(names) != 5 {
		t.Errorf("names %v, %v", names, err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	m.setFree(1 << 40)
	for s.Stats().Waiting > 0 {
		s.closeByTime()
		compare("while they are appended")
	}
	comparePoints(t, "stored", points(t, s.tiers[0])[f.gauge.Labels.String()], seen(t, s.tiers[0])[f.gauge.Labels.String()])
}

// TestOpeningIsPartial: while the tiers are opened, a query is answered from what waits,
// with a warning; before the first reading it is an error.
func TestOpeningIsPartial(t *testing.T) {
	m := newMachine(noon)
	s := openingStore(t, m, t.TempDir())
	if _, err := s.tiers[0].Queryable().Querier(0, 1); !errors.Is(err, ErrOpening) || !s.tiers[0].Oldest().IsZero() || s.Unready() == "" {
		t.Errorf("before the first reading: %v", err)
	}
	f := newFacts()
	m.pass(time.Second)
	s.mustAppend(t, f.read(m.now()))
	if why := s.Unready(); why != "" {
		t.Errorf("unready: %s", why)
	}
	if from := s.SeenFrom(); !from.Equal(m.now()) || !s.tiers[0].Oldest().Equal(m.now()) {
		t.Errorf("seen from %s, oldest %s", from, s.tiers[0].Oldest())
	}
	q, err := s.tiers[0].Queryable().Querier(0, 1<<50)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	set := q.Select(t.Context(), false, &storage.SelectHints{Start: 0, End: 1 << 50}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "g"))
	if !set.Next() || set.Next() {
		t.Error("not one series")
	}
	var partial *Partial
	for _, warning := range set.Warnings() {
		errors.As(warning, &partial)
	}
	if partial == nil || !partial.Since.Equal(m.now()) {
		t.Errorf("warnings %v", set.Warnings())
	}
	m.setFree(1 << 40)
	<-s.Opened()
	if !s.SeenFrom().IsZero() {
		t.Errorf("open, seen from %s", s.SeenFrom())
	}
}

// TestWaitingLogDamaged: of a log that is cut or changed anywhere everything else is
// kept, and the store opens.
func TestWaitingLogDamaged(t *testing.T) {
	m, dir := newMachine(noon), t.TempDir()
	f := newFacts()
	s := openingStore(t, m, dir)
	for range 20 {
		m.pass(time.Second)
		s.mustAppend(t, f.read(m.now()))
	}
	whole, err := os.ReadFile(logged(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	load := func(text []byte) int {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, waitingDir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, waitingDir, "00000007.log"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s := &Store{options: m.options(t, dir), waitingLog: waitingLog{dir: filepath.Join(dir, waitingDir)}, life: &life{}, log: s.log, clock: s.clock, drops: health.NewDrops(DropReasons()...)}
		if s.rollups, err = loadRollups(dir); err != nil {
			t.Fatal(err)
		}
		s.loadWaiting()
		for _, b := range s.waiting.batches {
			for i, r := range s.waiting.decode(b, time.Now()) {
				if len(r.Collectors) == 0 {
					t.Errorf("reading %d has nothing", i)
				}
			}
		}
		if s.waitingLog.next < 8 {
			t.Errorf("the next file is %d", s.waitingLog.next)
		}
		return s.waiting.len()
	}
	if n := load(whole); n != 20 {
		t.Fatalf("%d readings in the whole file", n)
	}
	before := 0
	for cut := 0; cut < len(whole); cut += 1 + rng.IntN(9) {
		n := load(whole[:cut])
		if n < before || n >= 20 {
			t.Errorf("%d readings in %d bytes of %d, %d in less", n, cut, len(whole), before)
		}
		before = n
	}
	if before < 18 {
		t.Errorf("at most %d readings in a part of the file", before)
	}
	for range 200 {
		text := append([]byte(nil), whole...)
		text[rng.IntN(len(text))] ^= byte(1 + rng.IntN(255))
		load(text)
	}
	load(nil)
}

// TestWaitingLogIsFull: readings wait in memory if the log cannot be written, and in
// the log when it can be again.
func TestWaitingLogIsFull(t *testing.T) {
	disk := disktest.Small(t, 24<<20)
	m, dir := newMachine(noon), filepath.Join(disk, "store")
	s := openingStore(t, m, dir)
	h := newHost(400)
	filler := filepath.Join(disk, "filler")
	tick := func(n int) {
		for range n {
			m.pass(time.Second)
			s.mustAppend(t, h.read(m.now()))
		}
	}
	tick(10)
	fill(t, filler, 5000) // Some of the pages that a frame needs.
	tick(10)
	if h := s.Health(); s.waitingLog.err == nil || h.Status != health.Degraded {
		t.Errorf("%v, %v", h, s.waitingLog.err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	tick(10)
	if s.waitingLog.err != nil {
		t.Error(s.waitingLog.err)
	}
	next := killed(t, dir)
	m.setFree(1 << 40)
	s = openStore(t, m.options(t, next))
	for key, got := range points(t, s.tiers[0]) {
		mustRise(t, got)
		if len(got) < 20 || len(got) > 22 {
			t.Errorf("%s has %d samples, want the 20 that could be written and few more", key, len(got))
		}
	}
	if n := len(points(t, s.tiers[0])); n != 410 {
		t.Errorf("%d series", n)
	}
}

// TestWaitingTakesLittle: an hour of 800 series waits in less than 15 MB and 32 MB of
// log.
func TestWaitingTakesLittle(t *testing.T) {
	m, dir := newMachine(noon), t.TempDir()
	s := openingStore(t, m, dir)
	h := newHost(800)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 3600 {
		m.pass(time.Second)
		s.mustAppend(t, h.read(m.now()))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	size := sizeOf(filepath.Join(dir, waitingDir))
	t.Logf("%d readings: %.1f MB of memory, accounted as %.1f, %.1f MB of log", s.Stats().Waiting, float64(took)/1e6, float64(s.waiting.bytes())/1e6, float64(size)/1e6)
	if s.Stats().Waiting != 3600 || took > 15e6 || size > maxWaitingLog+1<<20 {
		t.Errorf("%d readings wait", s.Stats().Waiting)
	}
}
