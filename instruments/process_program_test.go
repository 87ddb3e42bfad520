package instruments

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sysotel/instruments/heaptest"
)

// lookAt lets the programs see one process for each name, with the given use.
func lookAt(p *programs, use map[string]programLook) []Program {
	p.begin()
	for name, l := range use {
		g := p.of(name)
		g.look.add(&l)
	}
	p.end(1, 100, 1000, 0)
	return p.report(1, 1, 1000)
}

func oneProcess(user uint64) programLook {
	return programLook{processes: 1, threads: 1, rss: 1, programCounters: programCounters{user: user, ioKnown: true, write: user}}
}

func findProgram(t *testing.T, list []Program, name string) Program {
	t.Helper()
	for _, p := range list {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("%s is not among %d programs", name, len(list))
	return Program{}
}

// TestProgramCountersNeverFall runs programs that come and go by the hundred,
// and follows every name: its counter never falls, whether the name is in use
// all the time or comes back later, and all names together hold all that was used. What
// was used in a tick is what the counters of the names that are in it and in the tick before
// have grown by, so that the sum of the rates is exact also where names are given and
// taken back; and the gauges add up at each tick.
func TestProgramCountersNeverFall(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	p := &programs{}
	before := map[string]Program{}
	var spent uint64
	var last []Program
	moved := 0
	for look := range 1500 {
		already := spent
		use := map[string]programLook{}
		names := 50 + 400*(look/300%2) // Now few, now more than can be named.
		for range names {
			name := fmt.Sprintf("program%d", random.IntN(600))
			if random.IntN(40) == 0 {
				name = otherNames // A process may have that name, too.
			}
			l := oneProcess(uint64(random.IntN(50)))
			l.rss = uint64(random.IntN(100))
			if old, ok := use[name]; ok {
				spent -= old.user
			}
			use[name] = l
			spent += l.user
		}
		list := lookAt(p, use)
		if len(list) > defaultPrograms+1 {
			t.Fatalf("look %d: %d programs", look, len(list))
		}
		processes, seen := 0, map[string]bool{}
		var grown, seconds, rss uint64
		for _, g := range list {
			rss += g.MemoryRSS
			seconds += uint64(math.Round((g.User + g.System) * cpuTicks))
			if i := slices.IndexFunc(last, func(b Program) bool { return b.Name == g.Name }); i >= 0 {
				grown += g.WriteBytes - last[i].WriteBytes
			} else if look > 0 {
				moved++
			}
		}
		var wantRSS uint64
		for _, l := range use {
			wantRSS += l.rss
		}
		if look > 0 && grown != spent-already || seconds != spent-already || rss != wantRSS {
			t.Fatalf("look %d: the counters have grown by %d, the gauges are %d of the processors and %d bytes; %d and %d were used", look, grown, seconds, rss, spent-already, wantRSS)
		}
		last = list
		for _, g := range list {
			if seen[g.Name] {
				t.Fatalf("look %d: %s comes twice", look, g.Name)
			}
			seen[g.Name] = true
			b := before[g.Name]
			if g.UserSeconds < b.UserSeconds || g.WriteBytes < b.WriteBytes {
				t.Fatalf("look %d: %s fell from %v s, %d B to %v s, %d B", look, g.Name, b.UserSeconds, b.WriteBytes, g.UserSeconds, g.WriteBytes)
			}
			before[g.Name] = g
			processes += g.Processes
		}
		if processes != len(use) {
			t.Fatalf("look %d: %d processes, want %d", look, processes, len(use))
		}
		var sum uint64
		for _, g := range before {
			sum += g.WriteBytes // Whole numbers, equal to the ticks used.
		}
		if sum != spent {
			t.Fatalf("look %d: the counters hold %d, %d was used", look, sum, spent)
		}
	}
	if moved < 100 {
		t.Errorf("only %d names were given after the start", moved)
	}
}

// TestARunningProgramKeepsItsName, unless another needs it that uses far more.
func TestARunningProgramKeepsItsName(t *testing.T) {
	p := &programs{}
	use := map[string]programLook{}
	for i := range defaultPrograms {
		use[fmt.Sprint("quiet", i)] = oneProcess(0)
	}
	lookAt(p, use)
	use["other"] = oneProcess(1) // A hundredth of the processors.
	for range 300 {
		use["other"] = oneProcess(uint64(p.looks & 1))
		if list := lookAt(p, use); len(list) != defaultPrograms+1 || findProgram(t, list, otherNames).Processes != 1 {
			t.Fatalf("look %d: %d programs, others %+v", p.looks, len(list), findProgram(t, list, otherNames))
		}
	}
	// One ends: the waiting one gets its place.
	p.stock = defaultPrograms/2 - 1
	delete(use, "quiet7")
	list := lookAt(p, use)
	if got := findProgram(t, list, "other"); got.UserSeconds > 1.0/cpuTicks {
		t.Errorf("a name holds what was used before it was given: %+v", got)
	}
	use["busy"] = oneProcess(50)
	named := func() bool {
		list := lookAt(p, use)
		return slices.ContainsFunc(list, func(g Program) bool { return g.Name == "busy" })
	}
	for range longSeconds {
		if named() {
			return
		}
	}
	t.Error("what uses half of the processors has no name after a minute, though the others use nothing")
}

func TestTheBusiestAreNamedFirst(t *testing.T) {
	p := &programs{}
	use := map[string]programLook{}
	for i := range defaultPrograms + 50 {
		use[fmt.Sprintf("p%03d", i)] = oneProcess(uint64(i))
	}
	list := lookAt(p, use)
	for i := range 50 {
		for _, g := range list {
			if g.Name == fmt.Sprintf("p%03d", i) {
				t.Errorf("%s is named, though %d others use more", g.Name, defaultPrograms)
			}
		}
	}
	if got := findProgram(t, list, otherNames).Processes; got != 50 {
		t.Errorf("%d processes in others", got)
	}
}

func TestAProgramThatEndedStaysInSightForAWhile(t *testing.T) {
	p := &programs{}
	lookAt(p, map[string]programLook{"make": oneProcess(9)}) // Before it has a name.
	lookAt(p, map[string]programLook{"make": oneProcess(70)})
	for range programLinger {
		g := findProgram(t, lookAt(p, nil), "make")
		if g.Processes != 0 || g.WriteBytes != 70 {
			t.Fatalf("got %+v", g)
		}
	}
	if list := lookAt(p, nil); len(list) != 1 {
		t.Fatalf("still %d programs", len(list))
	}
	if g := findProgram(t, lookAt(p, map[string]programLook{"make": oneProcess(3)}), "make"); g.WriteBytes != 70 {
		t.Errorf("a program that came back counts %d bytes, want the 70 that it had", g.WriteBytes)
	}
	list := lookAt(p, map[string]programLook{"make": oneProcess(5)})
	if named, rest := findProgram(t, list, "make").WriteBytes, findProgram(t, list, otherNames).WriteBytes; named != 75 || rest != 9+3 {
		t.Errorf("a program that came back counts %d bytes, want 75; the others %d, want 12", named, rest)
	}
}

// TestMadeUpNames gives 100,000 names, five a second, of programs that live for two
// seconds and do nothing. None of them gets a name; those that were there keep theirs,
// and what is new gets one if it runs on or works.
func TestMadeUpNames(t *testing.T) {
	p := &programs{}
	second := 0
	look := func(more map[string]programLook) map[string]bool {
		second++
		use := map[string]programLook{}
		for i := range 10 {
			use[fmt.Sprintf("madeup%d", 5*second+i)] = oneProcess(0)
		}
		for i := range 30 {
			use[fmt.Sprintf("daemon%d", i)] = oneProcess(1)
		}
		maps.Copy(use, more)
		named := map[string]bool{}
		for _, g := range lookAt(p, use) {
			named[g.Name] = true
		}
		for i := range 30 {
			if name := fmt.Sprintf("daemon%d", i); !named[name] {
				t.Fatalf("second %d: %s, which runs all the time, has no name", second, name)
			}
		}
		return named
	}
	heaptest.Bound(t, 1<<20, func() {
		for range 20_000 {
			named := look(nil)
			for name := range named {
				if second > lookedAtFirst+programLinger+2 && strings.HasPrefix(name, "madeup") {
					t.Fatalf("second %d: %s is named", second, name)
				}
			}
		}
	})
	if len(p.byName) != len(p.order) || len(p.order) > defaultPrograms+maxUnnamed+100 {
		t.Errorf("%d programs are held, %d in order", len(p.byName), len(p.order))
	}
	for _, c := range []struct {
		name string
		look programLook
		want int
	}{{"service", oneProcess(0), longSeconds + 2}, {"worker", oneProcess(60), lookedAtBefore + 1}, {"large", programLook{processes: 1, rss: 500}, lookedAtBefore + 1}} {
		seconds := 0
		for !look(map[string]programLook{c.name: c.look})[c.name] {
			if seconds++; seconds > c.want {
				t.Errorf("%s has no name after %d seconds", c.name, seconds)
				break
			}
		}
	}
}

// TestChurnOfPrograms gives five new names a second for four hours, of programs that live for
// 2 to 600 seconds and use something. Only so many have a name at one time and in all, those
// that use most are among them, and no more is kept of the others than of so many.
func TestChurnOfPrograms(t *testing.T) {
	const hours = 4
	random := rand.New(rand.NewPCG(5, 6))
	p := &programs{}
	lives := map[string]int{} // Until which second.
	ever := map[string]bool{}
	second := 0
	look := func() {
		second++
		for i := range 5 {
			life := 2
			if i == 0 {
				life = 2 + random.IntN(600)
			}
			lives[fmt.Sprintf("job%d-%d", second, i)] = second + life
		}
		use := map[string]programLook{}
		for name, until := range lives {
			if until <= second {
				delete(lives, name)
				continue
			}
			use[name] = oneProcess(uint64(random.IntN(2)))
		}
		if second%600 > 300 {
			use["hog"] = oneProcess(90)
		}
		list := lookAt(p, use)
		if len(list) > defaultPrograms+1 {
			t.Fatalf("second %d: %d programs are named", second, len(list))
		}
		named := false
		for _, g := range list {
			ever[g.Name] = true
			named = named || g.Name == "hog"
		}
		if second%600 > 300+lookedAtBefore && !named {
			t.Fatalf("second %d: what uses most has no name", second)
		}
	}
	for range 3600 {
		look()
	}
	heaptest.Bound(t, 512<<10, func() {
		for range (hours - 1) * 3600 {
			look()
		}
		ever = maps.Clone(ever) // Not what it grew by.
	})
	if most := 2*defaultPrograms + hours*60*namesPerMinute; len(ever) > most {
		t.Errorf("%d names were given in %d hours, want at most %d", len(ever), hours, most)
	}
	t.Logf("%d of %d names were given in %d hours", len(ever), 5*second, hours)
}

// TestNamesInUseAreFewer: with less memory fewer have names, those that use most keep
// theirs, and the sums stay true.
func TestNamesInUseAreFewer(t *testing.T) {
	p := &programs{}
	use := map[string]programLook{}
	for i := range 100 {
		use[fmt.Sprintf("p%03d", i)] = oneProcess(uint64(i))
	}
	lookAt(p, use)
	p.begin()
	for name, l := range use {
		p.of(name).look.add(&l)
	}
	p.end(1, 100, 1000, 2)
	list := p.report(1, 1, 1000)
	if len(list) != defaultPrograms/4+1 || list[0].Name != "p063" || p.folded != 100-defaultPrograms/4 {
		t.Errorf("%d programs are named, the first is %s, and %d are not", len(list), list[0].Name, p.folded)
	}
	if got := findProgram(t, list, otherNames).Processes; got != p.folded {
		t.Errorf("%d processes in others", got)
	}
}

// TestNamesAreForgotten: the counters of names out of use are bounded, those used
// last are remembered.
func TestNamesAreForgotten(t *testing.T) {
	p := &programs{}
	p.begin()
	for i := range maxRemembered + 1000 {
		name := fmt.Sprint("program", i)
		g := p.of(name)
		g.named = true
		p.named++
		p.remembered[name] = programCounters{user: uint64(i)}
		p.looks++
		p.release(&g.member)
	}
	if len(p.remembered) != maxRemembered || len(p.left) != maxRemembered {
		t.Errorf("%d names are remembered, %d counters", len(p.left), len(p.remembered))
	}
	if c, ok := p.remembered["program1000"]; !ok || c.user != 1000 {
		t.Errorf("got %+v, %v", c, ok)
	}
}
