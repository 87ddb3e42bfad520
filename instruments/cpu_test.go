package instruments

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// spanOf is a span of seconds whose readings took no time.
func spanOf(seconds float64) cpuSpan { return newCPUSpan(seconds, 0, 0) }

// wantShares fails the test unless shares are as expected; -1 stands for unknown.
func wantShares(t *testing.T, what string, got shares, busy float64, states ...float64) {
	t.Helper()
	same := func(got, want float64) bool {
		return math.IsNaN(got) && want == -1 || math.Abs(got-want) < 1e-9
	}
	share, usage := got.of()
	if !same(usage, busy) {
		t.Errorf("%s: busy is %v, want %v", what, usage, busy)
	}
	i := 0
	share.each(func(state string, v float64) {
		if i < len(states) && !same(v, states[i]) {
			t.Errorf("%s: the share of %s is %v, want %v", what, state, v, states[i])
		}
		i++
	})
}

// TestCPUShares: what two readings of one processor say. The second is one second
// after the first, whose states are all 10,000 ticks.
func TestCPUShares(t *testing.T) {
	const none = math.MinInt64
	before := stateTicks{10000, 10000, 10000, 10000, 10000, 10000, 10000, 10000}
	for _, c := range []struct {
		what string
		// user, nice, system, idle, iowait, irq, softirq, steal; none cannot be read.
		grew   [cpuStates]int64
		busy   float64
		states []float64
	}{
		{"an ordinary second", [8]int64{50, 0, 10, 30, 10}, 0.6, []float64{0.5, 0, 0.1, 0.3, 0.1, 0, 0, 0}},
		{"a second that was read late by 50 ms", [8]int64{42, 0, 0, 63}, 0.4, []float64{0.4, 0, 0, 0.6}},
		{"every state", [8]int64{10, 10, 10, 30, 10, 10, 10, 10}, 0.6, []float64{0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.1, 0.1}},
		{"a correction of iowait", [8]int64{40, 0, 0, 60, -10}, 0.4, []float64{0.4, 0, 0, 0.6, 0}},

		{"idle goes back", [8]int64{2, 0, 0, -250}, 0.02, []float64{0.02, 0, 0, 0.98}},
		{"idle goes back for minutes", [8]int64{2, 0, 0, -9000}, 0.02, []float64{0.02, 0, 0, 0.98}},
		{"idle is half a second behind", [8]int64{2, 0, 0, 48}, 0.02, []float64{0.02, 0, 0, 0.98}},
		{"idle is a third of a second behind", [8]int64{2, 0, 0, 66}, 0.02, []float64{0.02, 0, 0, 0.98}},
		{"idle stands still", [8]int64{2, 0, 0, 0}, 0.02, []float64{0.02, 0, 0, 0.98}},
		{"idle comes in bursts", [8]int64{2, 0, 0, 490}, 0.02, []float64{0.02, 0, 0, 0.98}},
		{"idle moves to iowait", [8]int64{2, 0, 0, -50, 148}, 0.02, []float64{0.02, 0, 0, -1, -1}},
		{"idle cannot be read", [8]int64{2, 0, 0, none, 3}, 0.02, []float64{0.02, 0, 0, 0.95, 0.03}},
		{"all work, idle goes back", [8]int64{100, 0, 0, -250}, 1, []float64{1, 0, 0, -1}},
		{"nothing at all", [8]int64{}, 0, []float64{0, 0, 0, 1}},
		{"idle holds what was stolen", [8]int64{2, 0, 0, 98, 0, 0, 0, 20}, 0.22, []float64{0.02, 0, 0, 0.78, 0, 0, 0, 0.2}},

		{"steal jumps", [8]int64{2, 0, 0, 98, 0, 0, 0, 1844674407370}, 0.02, []float64{0.02, 0, 0, 0.98, 0, 0, 0, -1}},
		{"steal falls", [8]int64{2, 0, 0, 98, 0, 0, 0, -8000}, 0.02, []float64{0.02, 0, 0, 0.98, 0, 0, 0, -1}},
		{"steal jumps and idle stands still", [8]int64{2, 0, 0, 0, 0, 0, 0, 1844674407370}, 0.02, []float64{0.02, 0, 0, -1, 0, 0, 0, -1}},
		{"user jumps", [8]int64{1 << 40, 0, 0, 98}, 0.02, []float64{-1, 0, 0, 0.98}},
		{"user falls", [8]int64{-8000, 0, 3, 90}, 0.1, []float64{-1, 0, 0.03, 0.9}},
		{"user cannot be read", [8]int64{none, 0, 3, 50}, 0.5, []float64{-1, 0, 0.03, 0.5}},
		{"user and idle cannot be read", [8]int64{none, 0, 3, none}, -1, []float64{-1, 0, 0.03, -1}},
		{"user jumps and idle stands still", [8]int64{1 << 40, 0, 0, 0}, -1, []float64{-1, 0, 0, -1}},
		{"more work than time", [8]int64{90, 0, 90, 0}, -1, []float64{-1, -1, -1, -1}},
		{"a little more work than time", [8]int64{60, 0, 52, 0}, 1, []float64{60. / 112, 0, 52. / 112, 0}},
		{"everything anew", [8]int64{-9990, 0, -9000, -8000}, -1, []float64{-1, -1, -1, -1}},
		{"nothing can be read", [8]int64{none, none, none, none, none, none, none, none}, -1, []float64{-1, -1, -1, -1}},
	} {
		now := before
		for i, grew := range c.grew {
			now[i] = uint64(int64(before[i]) + grew)
			if grew == none {
				now[i] = unknownCount
			}
		}
		got := now.since(before, spanOf(1))
		wantShares(t, c.what, got, c.busy, c.states...)
	}
}

// TestCPUSharesAtEveryInterval: from a late tick to a minute the clock is what counts.
func TestCPUSharesAtEveryInterval(t *testing.T) {
	before := stateTicks{1e6, 0, 0, 1e18}
	for _, seconds := range []float64{0.2, 0.5, 1, 1.1, 5, 10, 60, 300} {
		ticks := uint64(seconds * userHZ)
		busy := ticks / 4
		wantShares(t, fmt.Sprint(seconds, " s"), stateTicks{1e6 + busy, 0, 0, 1e18 + ticks - busy}.since(before, spanOf(seconds)), float64(busy)/float64(ticks))
		wantShares(t, fmt.Sprint(seconds, " s, idle stands still"), stateTicks{1e6 + busy, 0, 0, 1e18}.since(before, spanOf(seconds)), float64(busy)/(seconds*userHZ))
	}
	wantShares(t, "a late tick", stateTicks{2e6, 0, 0, 2e18}.since(before, spanOf(unknown)), -1, -1)
	// A machine that was too busy to read in time is not measured by the wrong clock.
	wantShares(t, "a slow read", stateTicks{1e6 + 150, 0, 0, 1e18}.since(before, newCPUSpan(1, 500*time.Millisecond, 0)), 1)
}

// TestCPUTrapWaitGoesBack: the kernel's iowait and idle are no counters
// (proc_stat(5)); a counter of ours never falls by it.
func TestCPUTrapWaitGoesBack(t *testing.T) {
	before := stateTicks{stateUser: 1000, stateIdle: 8000, stateWait: 500}
	if now := (stateTicks{stateUser: 1040, stateIdle: 8060, stateWait: 490}).held(before); now[stateWait] != 500 || now[stateIdle] != 8060 {
		t.Errorf("the counters are %v, want that only wait stays", now)
	}
	if now := (stateTicks{stateUser: 1040, stateIdle: 5, stateWait: 490}).held(before); now[stateIdle] != 8000 {
		t.Errorf("the counters are %v, want that idle stays: there was work", now)
	}
}

// TestCPUTrapReset: a machine that was restored counts from less. The new values
// stand, instead of the counter waiting for hours.
func TestCPUTrapReset(t *testing.T) {
	before := stateTicks{stateUser: 100000, stateIdle: 800000, stateSteal: 7}
	now := stateTicks{stateUser: 1000, stateIdle: 8000, stateSteal: 7}
	if got := now.held(before); got != now {
		t.Errorf("after a reset the counters are %v, want the new ones %v", got, now)
	}
}

// writeFile writes a file of a machine, with the folders above it.
func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cpuSecond is what happens to one processor in one second, in ticks.
type cpuSecond struct{ user, idle, steal int64 }

// cpuHistory writes /proc/stat of processors second by second, and reads it.
type cpuHistory struct {
	t       *testing.T
	fixture *fixture
	ticks   []stateTicks
}

func newCPUHistory(t *testing.T, tree string, begin ...stateTicks) *cpuHistory {
	f := newFixture(t, tree, Defaults())
	f.only([]string{"cpu"})
	h := &cpuHistory{t: t, fixture: f, ticks: begin}
	h.lay()
	f.open()
	return h
}

func (h *cpuHistory) lay() {
	var text strings.Builder
	var sum stateTicks
	line := func(name string, n stateTicks) {
		fmt.Fprintf(&text, "%s %d %d %d %d %d %d %d %d 0 0\n", name, n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7])
	}
	for _, n := range h.ticks {
		for i := range sum {
			sum[i] += n[i]
		}
	}
	line("cpu ", sum)
	for i, n := range h.ticks {
		line(fmt.Sprint("cpu", i), n)
	}
	writeFile(h.t, h.fixture.tree+"/proc/stat", text.String()+"btime 1767225600\n")
}

// after lets a second pass, and returns what is reported under a name.
func (h *cpuHistory) after(what []cpuSecond) map[string]string {
	for i, s := range what {
		n := &h.ticks[i]
		n[stateUser], n[stateIdle], n[stateSteal] = n[stateUser]+uint64(s.user), n[stateIdle]+uint64(s.idle), n[stateSteal]+uint64(s.steal)
	}
	h.lay()
	points := map[string]string{}
	for _, line := range h.fixture.tick() {
		i := strings.LastIndexByte(line, ' ')
		points[strings.TrimSpace(line[:i])] = line[i+1:]
	}
	return points
}

// TestCPUAgainstTheClock: seconds that users of other collectors saw as 100 %.
func TestCPUAgainstTheClock(t *testing.T) {
	const huge = 8317131874320235395
	same := func(n int, s cpuSecond) []cpuSecond { return slices.Repeat([]cpuSecond{s}, n) }
	ordinary := cpuSecond{2, 98, 0}
	for _, c := range []struct {
		what  string
		begin stateTicks
		then  []cpuSecond
		// steal is what system.cpu.time says of it at the end, "" nothing.
		steal string
	}{
		{"idle -2.5 s", stateTicks{1000, 0, 0, 90000}, []cpuSecond{ordinary, {2, -250, 0}, ordinary, ordinary}, "0"},
		{"idle -10 s", stateTicks{1000, 0, 0, 90000}, []cpuSecond{ordinary, {2, -1000, 0}, ordinary, ordinary}, "0"},
		{"idle -0.5 s", stateTicks{1000, 0, 0, 90000}, []cpuSecond{ordinary, {2, 48, 0}, ordinary, ordinary}, "0"},
		{"idle falls each second", stateTicks{1000, 0, 0, 90000}, same(4, cpuSecond{2, -30, 0}), "0"},
		{"steal jumps", stateTicks{1000, 0, 0, 90000, 0, 0, 0, 500}, []cpuSecond{ordinary, {2, 98, 1844674407370}, ordinary, ordinary}, ""},
		{"steal wraps", stateTicks{1000, 0, 0, 90000, 0, 0, 0, 500}, []cpuSecond{ordinary, {2, 98, -600}, ordinary, ordinary}, ""},
		{"steal falls each second", stateTicks{1000, 0, 0, 90000, 0, 0, 0, 35312117300}, same(4, cpuSecond{2, 98, -800000000}), "353121173"},
		{"idle stands still", stateTicks{1000, 0, 0, huge}, same(4, cpuSecond{2, 0, 0}), "0"},
		{"idle grows at 1e18", stateTicks{1000, 0, 0, 1e18}, same(4, ordinary), "0"},
	} {
		t.Run(c.what, func(t *testing.T) {
			tree := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				// The second processor is always ordinary.
				h := newCPUHistory(t, tree, c.begin, stateTicks{5000, 0, 0, 70000})
				points := h.after(nil)
				for second, s := range c.then {
					points = h.after([]cpuSecond{s, ordinary})
					for _, name := range []string{"sysotel.cpu.usage{}", "sysotel.cpu.core.usage{cpu=cpu0}", "sysotel.cpu.core.usage{cpu=cpu1}"} {
						if points[name] != "0.02" {
							t.Errorf("second %d: %s is %q, want 0.02", second, name, points[name])
						}
					}
				}
				if got := points["system.cpu.time{cpu=cpu0,state=steal}"]; got != c.steal {
					t.Errorf("the counter of steal is %q, want %q: %v", got, c.steal, points)
				}
			})
		})
	}
}

// TestCPUStandsStill: a processor that did nothing for a second is idle; a file in which
// nothing moves says nothing.
func TestCPUStandsStill(t *testing.T) {
	tree := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newCPUHistory(t, tree, stateTicks{1000, 0, 0, 90000}, stateTicks{5000, 0, 0, 70000})
		h.after(nil)
		h.after([]cpuSecond{{2, 98, 0}, {2, 98, 0}})
		if points := h.after([]cpuSecond{{0, 0, 0}, {2, 98, 0}}); points["sysotel.cpu.core.usage{cpu=cpu0}"] != "0" || points["sysotel.cpu.usage{}"] != "0.01" {
			t.Errorf("a processor that stands still beside one that does not: %v", points)
		}
		points := h.after(nil)
		for name, v := range points {
			if strings.HasPrefix(name, "sysotel.cpu.") {
				t.Errorf("nothing moved, but %s is %s", name, v)
			}
		}
	})
}

// TestCPUOneCoreCannotBeRead: the others stand, the machine's share is that of the line
// of all, and what is wrong is named.
func TestCPUOneCoreCannotBeRead(t *testing.T) {
	tree := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, tree, Defaults())
		f.only([]string{"cpu"})
		var lines []string
		for second := range 3 {
			writeFile(t, tree+"/proc/stat", fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0\ncpu0 %d 0 0 9 0 0 0 0\ncpu1 x\ncpu0 1 2 3 4\ncpux 1 2 3 4\n", 100+50*second, 900+150*second, 100+50*second))
			if second == 0 {
				f.open()
			}
			lines = f.tick()
		}
		text := strings.Join(lines, "\n")
		for _, want := range []string{"sysotel.cpu.usage{} 0.25", "sysotel.cpu.core.usage{cpu=cpu0} 0.5", "system.cpu.logical.count{} 2"} {
			if !slices.Contains(lines, want) {
				t.Errorf("missing %s in\n%s", want, text)
			}
		}
		if strings.Contains(text, "sysotel.cpu.core.usage{cpu=cpu1}") {
			t.Errorf("cpu1 has a share in\n%s", text)
		}
		r, err := f.collectors[0].Read(t.Context(), f.host, Tick{Seq: 99, Interval: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		want := `[{/proc/stat: cpu1, user "x" is not a number that can be false} {/proc/stat: cpu0 is listed twice false} {/proc/stat: a line of a processor "cpux" is not the name of one false}]`
		if got := fmt.Sprint(r.(Partial).Missing()); got != want {
			t.Errorf("missing %s, want %s", got, want)
		}
	})
}

// TestCPUStateThatIsLost: one processor's steal that is never told keeps the total of
// steal unknown for a minute, and one that nobody says for ever.
func TestCPUStateThatIsLost(t *testing.T) {
	for _, others := range []int64{0, -800000000} {
		tree := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			h := newCPUHistory(t, tree, stateTicks{1000, 0, 0, 90000, 0, 0, 0, 200000000000}, stateTicks{1000, 0, 0, 90000, 0, 0, 0, 200000000000})
			h.after(nil)
			for second := 1; second < 70; second++ {
				points := h.after([]cpuSecond{{2, 98, -800000000}, {2, 98, others}})
				want := ""
				if second > 60 && others == 0 {
					want = "0"
				}
				if got := points["sysotel.cpu.state.usage{state=steal}"]; got != want || points["sysotel.cpu.usage{}"] != "0.02" || points["sysotel.cpu.state.usage{state=user}"] != "0.02" {
					t.Errorf("second %d: steal is %q, want %q: %v", second, got, want, points)
				}
			}
			h.ticks[0][stateUser], h.ticks[0][stateIdle], h.ticks[0][stateSteal] = h.ticks[0][stateUser]+2, h.ticks[0][stateIdle]+98, h.ticks[0][stateSteal]-800000000
			h.lay()
			time.Sleep(time.Second)
			r, err := h.fixture.collectors[0].Read(t.Context(), h.fixture.host, Tick{Seq: 99, Interval: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if said := fmt.Sprint(r.(Partial).Missing()); !strings.Contains(said, "{/proc/stat: cpu0 some of its times cannot be; totals go on without it false}") {
				t.Errorf("missing %s", said)
			}
		})
	}
}

// TestCPULineOfAllAlone: a view without a line for each processor has as many as were
// busy and idle together.
func TestCPULineOfAllAlone(t *testing.T) {
	for _, c := range []struct {
		user, idle int
		want       string
	}{
		{20, 380, "sysotel.cpu.usage{} 0.05"},   // Four of them.
		{2, 98, "sysotel.cpu.usage{} 0.02"},     // One.
		{320, 6130, "sysotel.cpu.usage{} 0.05"}, // Some 64, not read in one moment.
		{100, 50, ""},                           // One or two?
		{2, 8, ""},                              // Idle stands nearly still.
	} {
		tree := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, tree, Defaults())
			f.only([]string{"cpu"})
			var text string
			for second := range 3 {
				writeFile(t, tree+"/proc/stat", fmt.Sprintf("cpu  %d 0 0 %d 0 0 0 0 0 0\nctxt %d\nbtime 1767225600\n", 1000+c.user*second, 9000+c.idle*second, second))
				if second == 0 {
					f.open()
				}
				text = strings.Join(f.tick(), "\n")
			}
			if got := strings.Contains(text, "sysotel.cpu.usage{}"); got != (c.want != "") {
				t.Errorf("user %d, idle %d:\n%s", c.user, c.idle, text)
			}
			if c.want != "" && math.Abs(usageOf(t, text)-usageOf(t, c.want)) > 0.002 {
				t.Errorf("user %d, idle %d: want %s in\n%s", c.user, c.idle, c.want, text)
			}
			if strings.Contains(text, "logical.count") {
				t.Errorf("the number of processors is told:\n%s", text)
			}
		})
	}
}

// usageOf finds the usage of all processors among points.
func usageOf(t *testing.T, text string) float64 {
	t.Helper()
	_, after, _ := strings.Cut(text, "sysotel.cpu.usage{} ")
	number, _, _ := strings.Cut(after, "\n")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCPUSlowFrequencies: 64 processors whose frequency takes 20 ms each hold up no
// reading, and all are known in the end.
func TestCPUSlowFrequencies(t *testing.T) {
	tree := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newCPUHistory(t, tree, make([]stateTicks, 64)...)
		c := h.fixture.collectors[0].(*cpu)
		c.frequencies.cores.read = func(*Host, string, coreFrequency) coreFrequency {
			time.Sleep(20 * time.Millisecond)
			return coreFrequency{current: 2e9}
		}
		var points map[string]string
		for range 40 {
			before := time.Now()
			points = h.after(slices.Repeat([]cpuSecond{{50, 50, 0}}, 64))
			if time.Since(before) > time.Second {
				t.Fatal("a reading was held up")
			}
		}
		if points["system.cpu.frequency{cpu=cpu63}"] != "2000000000" || points["sysotel.cpu.usage{}"] != "0.5" {
			t.Errorf("frequency %q, usage %q", points["system.cpu.frequency{cpu=cpu63}"], points["sysotel.cpu.usage{}"])
		}
		time.Sleep(time.Second) // The last questions are answered.
	})
}

// TestCPUTwoViews: a container that is shown two of 64 processors under names of its
// own is not given the frequencies of others.
func TestCPUTwoViews(t *testing.T) {
	for _, c := range []struct{ online, want, missing string }{
		{"0-1\n", "1500000000", "[]"},
		{"0-63\n", "", "[{frequencies and physical cores not visible from here: /proc/stat shows the processors 0-1, /sys \"0-63\" true}]"},
	} {
		tree := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			sys := tree + "/sys/devices/system/cpu/"
			writeFile(t, sys+"online", c.online)
			writeFile(t, sys+"cpu0/cpufreq/scaling_cur_freq", "1500000\n")
			writeFile(t, sys+"cpu1/cpufreq/scaling_cur_freq", "18446744073709551615\n")
			h := newCPUHistory(t, tree, make([]stateTicks, 2)...)
			h.after(nil)
			points := h.after(nil)
			if got := points["system.cpu.frequency{cpu=cpu0}"]; got != c.want {
				t.Errorf("online %q: frequency %q, want %q", c.online, got, c.want)
			}
			if got, ok := points["system.cpu.frequency{cpu=cpu1}"]; ok {
				t.Errorf("a frequency of %s", got)
			}
			r, err := h.fixture.collectors[0].Read(t.Context(), h.fixture.host, Tick{Seq: 99, Interval: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(r.(Partial).Missing()); got != c.missing {
				t.Errorf("missing %s, want %s", got, c.missing)
			}
		})
	}
}

func TestProcessorList(t *testing.T) {
	for _, c := range []struct {
		ids  []string
		want string
	}{
		{nil, ""},
		{[]string{"cpu0"}, "0"},
		{[]string{"cpu0", "cpu1", "cpu2", "cpu4", "cpu6", "cpu7"}, "0-2,4,6-7"},
	} {
		if got := processorList(c.ids); got != c.want {
			t.Errorf("%v is %q, want %q", c.ids, got, c.want)
		}
	}
}
