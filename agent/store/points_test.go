package store

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// formatPoints formats the points of a tier: collector, series, time, start, value.
func formatPoints(t *testing.T, s *Store, tier int, after, until time.Time) (lines []string) {
	t.Helper()
	err := s.Points(t.Context(), tier, after, until, func(p *Point) {
		line := fmt.Sprintf("%s %s", p.Collector, p.Origin.Name)
		if p.Rollup != nil {
			line += fmt.Sprintf(" %d %t", p.Rollup.Extreme, p.Rollup.Rate)
		}
		line += fmt.Sprintf(" @%d", p.Time.Unix()-noon.Unix())
		if !p.Start.IsZero() {
			line += fmt.Sprintf(" since %d", p.Start.Unix()-noon.Unix())
		}
		if p.Ended {
			line += " ended"
		} else {
			line += fmt.Sprintf(" %g", p.Value)
		}
		lines = append(lines, line)
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// TestPoints: points have their origin, the extreme they are and the start of their
// counter; series without an origin are left out. The newest tick at the start is
// known.
func TestPoints(t *testing.T) {
	m, dir := newMachine(noon), t.TempDir()
	s := openStore(t, m.options(t, dir))
	if !s.Found().IsZero() {
		t.Errorf("an empty store found %s", s.Found())
	}
	if _, known := s.ClosedUntil(1); known {
		t.Error("an empty store knows what is closed")
	}
	g, c, alias := gauge("g", "1"), counter("c", "1"), gauge("alias", "1")
	g.Origin = &Origin{Name: "g.raw", Kind: OriginSum}
	c.Origin, c.Start = &Origin{Name: "c.raw", Unit: "By", Kind: OriginCounter}, noon.Add(-time.Hour)
	for i := 1; i <= 63; i++ {
		m.pass(time.Second)
		v := float64(100 + i)
		if i >= 40 {
			v, c.Start = float64(i-40), noon.Add(39*time.Second)
		}
		r := reading(m.now(), "f", Sample{c, v}, Sample{alias, 1})
		switch {
		case i <= 30:
			r.Collectors[0].Samples = append(r.Collectors[0].Samples, Sample{g, float64(i % 3)})
		case i == 31:
			r.Collectors[0].Ended = []*Series{g}
		}
		s.mustAppend(t, r)
	}
	until, known := s.ClosedUntil(1)
	if !known || !until.Equal(noon.Add(time.Minute)) {
		t.Errorf("closed until %s (%t)", until, known)
	}
	want := []string{
		"f c.raw 0 true @60 1", "f c.raw 1 true @60 1",
		"f c.raw @1 since -3600 101", "f c.raw @39 since -3600 139", "f c.raw @40 since 39 0", "f c.raw @60 since 39 20",
		"f g.raw 0 false @60 0", "f g.raw 1 false @60 2", "f g.raw @60 1",
		"f sysotel.family.readings @60 60",
	}
	compareLines(t, formatPoints(t, s, 1, noon, until), want)
	// The ends of the range: after is excluded, until included.
	compareLines(t, formatPoints(t, s, 1, noon.Add(39*time.Second), noon.Add(40*time.Second)), []string{"f c.raw @40 since 39 0"})
	compareLines(t, formatPoints(t, s, 0, noon.Add(30*time.Second), noon.Add(31*time.Second)), []string{
		"f c.raw @31 since -3600 131", "f g.raw @31 ended", "f sysotel.family.readings @31 1",
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// The origins are known before the first reading; the starts of counters are
	// not.
	s = openStore(t, m.options(t, dir))
	if !s.Found().Equal(noon.Add(63 * time.Second)) {
		t.Errorf("found is %s", s.Found())
	}
	for i, line := range want {
		if strings.Contains(line, "c.raw @1 ") || strings.Contains(line, "c.raw @39") {
			want[i] = strings.ReplaceAll(line, " since -3600", "")
		}
	}
	compareLines(t, formatPoints(t, s, 1, noon, until), want)
	select {
	case <-s.Written():
	default:
		t.Error("it is not said that the store is open")
	}
}

func compareLines(t *testing.T, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the points are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestOriginsAreJoined: series of one name may differ in their attributes; all are
// recorded, and the table is rewritten only for new ones.
func TestOriginsAreJoined(t *testing.T) {
	r, err := loadRollups(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	add := func(changes bool, attributes map[string]Attribute) {
		t.Helper()
		r.changed = false
		r.register("x", metric{Collector: "f", Origin: &Origin{Name: "x", Kind: OriginGauge, Attributes: attributes}})
		if r.changed != changes {
			t.Errorf("after %v changed is %t", attributes, r.changed)
		}
	}
	add(true, nil)
	add(false, nil)
	add(true, map[string]Attribute{"a_b": {Key: "a.b"}})
	add(true, map[string]Attribute{"c": {Key: "c", Type: "int"}})
	add(false, map[string]Attribute{"a_b": {Key: "a.b"}})
	add(false, map[string]Attribute{"a_b": {Key: "a.b"}, "c": {Key: "c", Type: "int"}})
	add(false, nil)
	if m, _ := r.metric("x"); len(m.Origin.Attributes) != 2 {
		t.Errorf("the origin is %+v", m.Origin)
	}
}

// TestStartsOfCounters: only the last two starts of a counter are known, but each
// reset gives one.
func TestStartsOfCounters(t *testing.T) {
	c := counterStarts{start: 50_000, before: 5_000, points: []point{
		{1_000, 9}, {10_000, 10}, {20_000, 1}, {40_000, 5}, {50_000, 5}, {51_000, 2}, {60_000, math.NaN()}, {61_000, 4},
	}}
	for i, want := range []int64{0, 5, 10, 10, 10, 50, 50, 50} {
		got := c.of(i)
		if want == 0 && !got.IsZero() || want > 0 && got.Unix() != want {
			t.Errorf("point %d counts since %s, want %d", i, got, want)
		}
	}
}
