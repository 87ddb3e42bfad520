package records

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/clock"
)

// epoch is the start of the tests: midnight.
var epoch = time.Unix(1_700_006_400, 0).UTC()

func open(t testing.TB, dir string, change ...func(*Options)) *Records {
	t.Helper()
	o := Options{Dir: dir, Clock: clock.New(clock.Options{Wall: func() time.Time { return epoch }})}
	for _, f := range change {
		f(&o)
	}
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return r
}

func flush(t testing.TB, r *Records) {
	t.Helper()
	if err := r.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// machine has synthetic processes that come and go.
type machine struct {
	*rand.Rand
	boot  string
	at    time.Time
	next  int
	alive []ProcessRow
}

func newMachine(seed uint64, processes int) *machine {
	m := &machine{Rand: rand.New(rand.NewPCG(seed, 7)), boot: "boot-1", at: epoch}
	for range processes {
		m.fork()
	}
	return m
}

func (m *machine) fork() {
	m.next++
	name := fmt.Sprintf("worker-%d", m.IntN(60))
	m.alive = append(m.alive, ProcessRow{
		// PIDs are reused.
		PID: 100 + m.next%997, Start: uint64(m.next), Name: name, Program: name, User: "root", Status: "sleeping",
		Threads: 1 + m.IntN(9), RSS: uint64(m.IntN(100_000)) << 12, IOKnown: m.IntN(3) > 0, Started: m.at,
	})
}

// tick advances a second.
func (m *machine) tick() ProcessReading {
	m.at = m.at.Add(time.Second)
	if m.IntN(3) == 0 {
		m.fork()
	}
	if m.IntN(3) == 0 && len(m.alive) > 1 {
		i := m.IntN(len(m.alive))
		m.alive = slices.Delete(m.alive, i, i+1)
	}
	r := ProcessReading{Time: m.at, Interval: time.Second, BootID: m.boot, CPUs: 4, MemoryTotal: 32 << 30, Unattributed: float64(m.IntN(3)) / 100}
	used := 0
	for i := range m.alive {
		p := &m.alive[i]
		p.CPUSeconds, p.Young = 0, !p.Started.Before(m.at.Add(-time.Second))
		if m.IntN(8) == 0 {
			n := m.IntN(20)
			p.CPUSeconds = float64(n) / 100
			used += n
			p.ReadBytes += uint64(m.IntN(1 << 20))
			p.WriteBytes += uint64(m.IntN(1 << 16))
			p.RSS = uint64(m.IntN(100_000)) << 12
		}
		if m.IntN(50) == 0 {
			p.CPUSeconds = math.NaN()
		}
	}
	r.HostCPUSeconds = float64(used)/100 + r.Unattributed + 0.01
	r.Rows = slices.Clone(m.alive)
	return r
}

// recompute adds up all ticks of a bucket in the simplest way.
func recompute(ticks []ProcessReading, from, to time.Time) (frame, map[identity]sums) {
	var f frame
	all := map[identity]sums{}
	type counters struct{ read, write uint64 }
	before := map[identity]counters{}
	for _, tick := range ticks {
		inside := tick.Time.After(from) && !tick.Time.After(to)
		if inside {
			us, _ := microseconds(tick.HostCPUSeconds)
			vanished, _ := microseconds(tick.Unattributed)
			f.add(&frame{covered: tick.Interval.Milliseconds(), cpuCovered: tick.Interval.Milliseconds(), cpus: tick.CPUs, memoryTotal: tick.MemoryTotal >> 10, host: us, vanished: vanished})
		}
		for _, p := range tick.Rows {
			id := identity{tick.BootID, p.PID, p.Start}
			s := sums{seen: tick.Interval.Milliseconds(), peak: p.RSS / 1024}
			s.memory = s.peak * uint64(s.seen)
			if !math.IsNaN(p.CPUSeconds) {
				s.cpu, s.cpuKnown = int64(math.Round(p.CPUSeconds*1e6)), true
			}
			if p.IOKnown {
				b, known := before[id]
				if !known && p.Young {
					known = true
				}
				if known {
					s.read, s.write, s.ioKnown = p.ReadBytes-b.read, p.WriteBytes-b.write, true
				}
				before[id] = counters{p.ReadBytes, p.WriteBytes}
			}
			if inside {
				sum := all[id]
				sum.add(&s)
				all[id] = sum
			}
		}
	}
	return f, all
}

// storedRecords returns every record of a tier.
func storedRecords(t testing.TB, r *Records, tier Tier) []record {
	t.Helper()
	c, err := newDecoder()
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	err = r.read(t.Context(), func(d *database) error {
		return d.each(t.Context(), tier.key(0), tier.key(maxTime), func(s *stored) error {
			rec := record{resolution: keyResolution(s.key), until: keyUntil(s.key), since: s.since, last: s.last}
			if err := c.decode(s.body, &rec); err != nil {
				return err
			}
			all = append(all, rec)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEachRecordEqualsARecomputationFromRawTicks: on every tier rows are exact and
// those that a full sort chooses, and the sums are complete.
func TestEachRecordEqualsARecomputationFromRawTicks(t *testing.T) {
	for seed := range uint64(3) {
		tiers := []Tier{{5 * time.Second, day}, {time.Minute, day}, {5 * time.Minute, day}}
		r := open(t, t.TempDir(), func(o *Options) { o.Tiers, o.Top = tiers, 5 })
		m := newMachine(seed, 60)
		var ticks []ProcessReading
		for i := range 700 {
			reading := m.tick()
			if seed > 0 && i > 200 && i < 240 || m.IntN(40) == 0 {
				// A gap: the next reading does not cover it.
				continue
			}
			if i == 400 {
				m.boot = "boot-2"
			}
			ticks = append(ticks, reading)
			r.AddProcesses(reading)
		}
		flush(t, r)
		for _, tier := range tiers {
			records := storedRecords(t, r, tier)
			if want := int(690*time.Second/tier.Resolution) - 10; len(records) < want && tier.Resolution < time.Minute || len(records) == 0 {
				t.Fatalf("tier %s has %d records, want about %d", tier.Resolution, len(records), want)
			}
			for _, rec := range records {
				to := time.UnixMilli(rec.until)
				f, all := recompute(ticks, to.Add(-tier.Resolution), to)
				compareRecord(t, &rec, f, all, 5)
			}
		}
	}
}

func compareRecord(t *testing.T, rec *record, f frame, all map[identity]sums, top int) {
	t.Helper()
	chosen := map[identity]bool{}
	for _, rank := range ranks {
		var values []uint64
		for _, s := range all {
			values = append(values, rank(&s))
		}
		slices.Sort(values)
		lowest := values[max(0, len(values)-top)]
		for id, s := range all {
			if v := rank(&s); v > lowest || v == lowest && len(values) <= top && v > 0 {
				chosen[id] = true
			}
		}
	}
	rows := map[identity]bool{}
	others := sums{}
	for _, row := range rec.rows {
		if row.sums != all[row.identity] {
			t.Errorf("record to %s, process %v: %+v, want %+v", time.UnixMilli(rec.until).UTC(), row.identity, row.sums, all[row.identity])
		}
		rows[row.identity] = true
	}
	for id := range chosen {
		if !rows[id] {
			t.Errorf("record to %s lacks process %v: %+v", time.UnixMilli(rec.until).UTC(), id, all[id])
		}
	}
	for id, s := range all {
		if !rows[id] {
			others.add(&s)
		}
	}
	f.others = others
	got := rec.frame
	if !reflect.DeepEqual(got, f) {
		t.Errorf("record to %s: %+v, want %+v", time.UnixMilli(rec.until).UTC(), got, f)
	}
	if len(rows) > len(ranks)*top {
		t.Errorf("record to %s has %d rows", time.UnixMilli(rec.until).UTC(), len(rows))
	}
}

// TestSumsAgreeWithTheHost: rows, others and unattributed add up to the CPU time of
// all processors, for any query.
func TestSumsAgreeWithTheHost(t *testing.T) {
	r := open(t, t.TempDir())
	m := newMachine(4, 100)
	var ticks []ProcessReading
	for range 1000 {
		ticks = append(ticks, m.tick())
		r.AddProcesses(ticks[len(ticks)-1])
	}
	for _, c := range []struct{ from, to int }{{0, 1000}, {0, 60}, {300, 900}, {5, 995}, {900, 1000}} {
		for _, by := range Orders() {
			for _, query := range []string{"", "worker-1"} {
				p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch.Add(time.Duration(c.from) * time.Second), End: epoch.Add(time.Duration(c.to) * time.Second), Order: by, Top: 7, Match: query})
				if err != nil {
					t.Fatal(err)
				}
				sum, want := p.Others.CPUSeconds+p.Unattributed, 0.0
				for _, row := range p.Rows {
					if !math.IsNaN(row.CPUSeconds) {
						sum += row.CPUSeconds
					}
				}
				for _, tick := range ticks[c.from:c.to] {
					want += tick.HostCPUSeconds
				}
				if math.Abs(sum-want) > 1e-6 || math.Abs(p.HostCPUSeconds-want) > 1e-6 {
					t.Errorf("%v by %s: rows, others and unattributed are %v, the host %v, want %v", c, by, sum, p.HostCPUSeconds, want)
				}
				if want := time.Duration(c.to-c.from) * time.Second; p.Covered != want || p.CPUCovered != want {
					t.Errorf("%v covers %s and %s, want %s (%v)", c, p.Covered, p.CPUCovered, want, p.Spans)
				}
				if len(p.Rows) != 7 || p.Matched < 7 {
					t.Errorf("%v has %d rows of %d", c, len(p.Rows), p.Matched)
				}
			}
		}
	}
}

// TestOneSecondsSpikeShows: in every tier and at that time.
func TestOneSecondsSpikeShows(t *testing.T) {
	r := open(t, t.TempDir())
	m := newMachine(5, 250)
	spike := epoch.Add(1234 * time.Second)
	for range 2 * 3600 {
		reading := m.tick()
		if reading.Time.Equal(spike) {
			reading.Rows = append(reading.Rows, ProcessRow{PID: 1, Start: 1, Name: "spike", CPUSeconds: 0.2, RSS: 60 << 30, Started: spike})
			reading.HostCPUSeconds += 0.2
		}
		r.AddProcesses(reading)
	}
	flush(t, r)
	for _, tier := range r.tiers[:4] {
		shown := 0
		for _, rec := range storedRecords(t, r, tier) {
			for _, row := range rec.rows {
				if row.name == "spike" {
					shown++
					if row.cpu != 200_000 || row.peak != 60<<20 || row.seen != 1000 {
						t.Errorf("tier %s: %+v", tier.Resolution, row)
					}
				}
			}
		}
		if shown != 1 {
			t.Errorf("tier %s shows the spike %d times", tier.Resolution, shown)
		}
	}
	p, err := r.ProcessesAt(t.Context(), spike)
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(p.Rows, func(p ProcessUsage) bool { return p.Name == "spike" }); i < 0 || p.Rows[i].MemoryPeak != 60<<30 {
		t.Errorf("the table of that moment does not show it: %+v", p.Rows)
	}
	if want := []Span{{5 * time.Second, spike.Add(-4 * time.Second), spike.Add(time.Second)}}; len(p.Spans) != 1 || p.Spans[0].Resolution != want[0].Resolution || !p.Spans[0].From.Equal(want[0].From) || !p.Spans[0].To.Equal(want[0].To) {
		t.Errorf("spans %v, want %v", p.Spans, want)
	}
}

// TestReusedPIDIsTwoIdentities: within a boot and across boots.
func TestReusedPIDIsTwoIdentities(t *testing.T) {
	r := open(t, t.TempDir())
	for i := range 30 {
		reading := ProcessReading{Time: epoch.Add(time.Duration(i+1) * time.Second), Interval: time.Second, BootID: "a", CPUs: 1, HostCPUSeconds: 0.1, Unattributed: 0}
		p := ProcessRow{PID: 42, Start: 1000, Name: "first", CPUSeconds: 0.1, RSS: 1 << 20}
		if i >= 10 {
			p.Start, p.Name = 2000, "second"
		}
		if i >= 20 { // The same numbers by chance, after a reboot.
			reading.BootID, p.Start, p.Name = "b", 1000, "third"
		}
		reading.Rows = []ProcessRow{p}
		r.AddProcesses(reading)
	}
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(30 * time.Second), Order: ByCPU})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]float64{}
	for _, row := range p.Rows {
		names[row.Name] += row.CPUSeconds
	}
	if want := map[string]float64{"first": 1, "second": 1, "third": 1}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

// TestLateTicksAreDropped: after the clock was set back nothing is counted twice,
// and recording resumes once it has caught up.
func TestLateTicksAreDropped(t *testing.T) {
	r := open(t, t.TempDir())
	at := func(s int) ProcessReading {
		return ProcessReading{
			Time: epoch.Add(time.Duration(s) * time.Second), Interval: time.Second, BootID: "a", CPUs: 1, HostCPUSeconds: 1, Unattributed: 0,
			Rows: []ProcessRow{{PID: 1, Start: 1, Name: "init", CPUSeconds: 1, RSS: 1 << 20}},
		}
	}
	for s := 1; s <= 3600; s++ {
		r.AddProcesses(at(s))
	}
	for s := 1800; s <= 3660; s++ { // Half an hour back, and then on.
		r.AddProcesses(at(s))
	}
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(2 * time.Hour), Order: ByCPU, Top: 1})
	if err != nil {
		t.Fatal(err)
	}
	if p.Covered != 3660*time.Second || p.HostCPUSeconds != 3660 || p.Rows[0].CPUSeconds != 3660 {
		t.Errorf("covered %s, host %v s, init %v s, want 3660", p.Covered, p.HostCPUSeconds, p.Rows[0].CPUSeconds)
	}
	if got := r.Stats().Dropped[DropLate]; got != 1801 {
		t.Errorf("%d ticks were late, want 1801", got)
	}
	// A year ahead: one more record and no deletion; back in time nothing is
	// recorded.
	ahead := at(0)
	ahead.Time = epoch.Add(365 * day)
	r.AddProcesses(ahead)
	if err := r.Retain(t.Context(), epoch.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if p, err = r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(2 * time.Hour), Order: ByCPU, Top: 1}); err != nil || p.Covered != 3660*time.Second {
		t.Errorf("after a step of a year: %v, %v", p, err)
	}
	if h := r.Health(); h.Status != "ok" {
		t.Errorf("%+v", h)
	}
	r.AddProcesses(at(3661))
	if h := r.Health(); h.Status != "degraded" || !strings.Contains(h.Reason, "the clock was set back") {
		t.Errorf("health does not report that nothing is recorded: %+v", h)
	}
}

// TestRestartContinues: a clean stop loses nothing, and open buckets continue.
func TestRestartContinues(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(9, 12) // Fewer than rows in a record, so that all is exact.
	var ticks []ProcessReading
	for range 6 {
		r, err := Open(Options{Dir: dir, Tiers: []Tier{{5 * time.Second, day}, {time.Minute, day}, {5 * time.Minute, day}}, Top: 100})
		if err != nil {
			t.Fatal(err)
		}
		for range 137 {
			reading := m.tick()
			for i := range reading.Rows {
				reading.Rows[i].IOKnown = false // I/O of the time between is not known.
			}
			ticks = append(ticks, reading)
			r.AddProcesses(reading)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, dir, func(o *Options) {
		o.Tiers, o.Top = []Tier{{5 * time.Second, day}, {time.Minute, day}, {5 * time.Minute, day}}, 100
	})
	r.AddProcesses(ProcessReading{Time: epoch.Add(4000 * time.Second), Interval: time.Second, BootID: "boot-1"})
	flush(t, r)
	for _, tier := range r.tiers {
		records := storedRecords(t, r, tier)
		if want := int((822*time.Second + tier.Resolution - 1) / tier.Resolution); len(records) != want {
			t.Errorf("tier %s has %d records, want %d", tier.Resolution, len(records), want)
		}
		for _, rec := range records {
			to := time.UnixMilli(rec.until)
			f, all := recompute(ticks, to.Add(-tier.Resolution), to)
			compareRecord(t, &rec, f, all, 100)
		}
	}
}
