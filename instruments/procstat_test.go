package instruments

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

const procStatText = `cpu  120 20 30 4000 50 6 7 8 15 1
cpu0 100 10 20 3000 40 5 6 7 15 1
cpu12 20 10 10 1000 10 1 1 1 0 0
intr 12345 1 2 3
ctxt 987654321
btime 1767225600
processes 4321
procs_running 3
procs_blocked 1
softirq 1 2 3
`

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte(procStatText), nil)
	if err != nil {
		t.Fatal(err)
	}
	// Guest time (15 and 1) is in user and nice already and is not added again.
	want := stateTicks{120, 20, 30, 4000, 50, 6, 7, 8}
	if s.total != want {
		t.Errorf("total is %+v, want %+v", s.total, want)
	}
	if len(s.cores) != 2 || s.cores[0].id != "cpu0" || s.cores[1].id != "cpu12" || s.cores[1].ticks[stateIdle] != 1000 {
		t.Errorf("cores are %+v", s.cores)
	}
	if s.switches != 987654321 || s.boot != 1767225600 || s.created != 4321 || s.running != 3 || s.blocked != 1 {
		t.Errorf("counts are %+v", s)
	}
	again, err := parseStat([]byte(procStatText), s.cores)
	if err != nil || again.cores[1] != s.cores[1] {
		t.Errorf("a second look gives %+v, %v", again.cores, err)
	}
}

func TestParseStatOldKernel(t *testing.T) {
	s, err := parseStat([]byte("cpu  1 2 3 4\ncpu0 1 2 3 4\n"), nil)
	if err != nil || s.total[stateIdle] != 4 || s.total[stateWait] != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
}

// TestParseStatOddLines: what cannot be read is unknown by itself and named; only a
// file without any good line is an error.
func TestParseStatOddLines(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"cpu  1 2 3 4\ncpu0 1 2\n", "[{/proc/stat: cpu0, system there is no number false}]"},
		{"cpu0 1 x 3 4\n", `[{/proc/stat: cpu0, nice "x" is not a number that can be false}]`},
		{"cpu0 1 -2 3 4\n", `[{/proc/stat: cpu0, nice "-2" is not a number that can be false}]`},
		{"cpu0 1 2 3 4 5 6 7 18446744073709551615\n", `[{/proc/stat: cpu0, steal "18446744073709551615" is not a number that can be false}]`},
		{"cpu0 1 2 3 4\ncpu0 5 6 7 8\n", "[{/proc/stat: cpu0 is listed twice false}]"},
		{"cpu0 1 2 3 4\ncpu999999999 5 6 7 8\n", `[{/proc/stat: a line of a processor "cpu999999999" is not the name of one false}]`},
		{"cpu0 1 2 3 4\ncpufreq 5 6 7 8\n", `[{/proc/stat: a line of a processor "cpufreq" is not the name of one false}]`},
		{"ctxt 5\n", "[]"},
		// 256 processors that were idle for two years.
		{"cpu 1 2 3 1614643200000\ncpu0 1 2 3 6307200000\n", "[]"},
	} {
		s, err := parseStat([]byte(c.text), nil)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := fmt.Sprint(s.odd.Missing()); got != c.want {
			t.Errorf("%q: missing %s, want %s", c.text, got, c.want)
		}
	}
	s, err := parseStat([]byte("cpu0 1 2 3 4\nctxt -1\nbtime x\nprocesses 18446744073709551615\n"), nil)
	if err != nil || s.switches != unknownCount || s.boot != 0 || s.created != unknownCount || len(s.oddCounts.Missing()) != 3 {
		t.Errorf("got %+v, %v", s, err)
	}
	for _, text := range []string{"", "x\n", "cpu\ncpu0\n", "btime x\n"} {
		if _, err := parseStat([]byte(text), nil); err == nil || !strings.Contains(err.Error(), "no line can be read") {
			t.Errorf("%q: error %v, want that no line can be read", text, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte(procStatText))
	f.Add([]byte("cpu0 18446744073709551615 1 1 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseStat(text, nil)
		if err != nil {
			return
		}
		for _, core := range s.cores {
			core.ticks.seconds().each(func(state string, v float64) {
				if v < 0 || v > maxTicks/userHZ {
					t.Errorf("%s has %v seconds of %s", core.id, v, state)
				}
			})
		}
	})
}

func TestParseUint(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "7": 7, "18446744073709551615": math.MaxUint64} {
		if got, ok := parseUint([]byte(text)); !ok || got != want {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-1", "1.5", " 1", "1 ", "x", "99999999999999999999", "18446744073709551616", "184467440737095516150"} {
		if got, ok := parseUint([]byte(text)); ok {
			t.Errorf("%q: %d, want that it is no number", text, got)
		}
	}
}

func TestSpan(t *testing.T) {
	var s span
	at := time.Now()
	for _, c := range []struct {
		after time.Duration
		want  float64
	}{
		{0, math.NaN()},                      // the first look
		{700 * time.Millisecond, math.NaN()}, // the tick after it is the rest of a second
		{time.Second, 1},                     // an ordinary one
		{300 * time.Millisecond, 0.3},        // after a late one
		{1100 * time.Millisecond, 1.1},       // the time that really passed
		{150 * time.Millisecond, math.NaN()}, // one of a burst of late ticks
		{6 * time.Second, math.NaN()},        // after a gap
		{time.Second, 1},
	} {
		at = at.Add(c.after)
		if got := s.next(at, time.Second); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("after %v the span is %v, want %v", c.after, got, c.want)
		}
	}
	// A start just after a beat makes nearly a whole tick, which has a rate.
	s = span{}
	s.next(at, time.Second)
	if got := s.next(at.Add(900*time.Millisecond), time.Second); got != 0.9 {
		t.Errorf("the first span of 0.9 s is %v", got)
	}
}

func TestRates(t *testing.T) {
	for _, c := range []struct {
		now, before uint64
		seconds     float64
		want        float64
	}{
		{110, 100, 2, 5},
		{100, 100, 1, 0},
		{99, 100, 1, math.NaN()},
		{110, 100, math.NaN(), math.NaN()},
	} {
		if got := perSecond(c.now, c.before, c.seconds); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("perSecond(%d, %d, %v) is %v, want %v", c.now, c.before, c.seconds, got, c.want)
		}
	}
	if got := ratio(1, 0); !math.IsNaN(got) {
		t.Errorf("a share of nothing is %v, want unknown", got)
	}
	if got := saturatingSub(3, 5); got != 0 {
		t.Errorf("saturatingSub(3, 5) is %d", got)
	}
}
