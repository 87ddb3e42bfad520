package instruments

import (
	"fmt"
	"maps"
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
	p.end(1, 100, 1000)
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
// all the time or comes back later, and all names together hold all that was used.
func TestProgramCountersNeverFall(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	p := &programs{}
	before := map[string]Program{}
	var spent uint64
	for look := range 1500 {
		use := map[string]programLook{}
		names := 50 + 400*(look/300%2) // Now few, now more than can be named.
		for range names {
			name := fmt.Sprintf("program%d", random.IntN(600))
			if random.IntN(40) == 0 {
				name = otherPrograms // A process may have that name, too.
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
		if len(list) > maxPrograms+1 {
			t.Fatalf("look %d: %d programs", look, len(list))
		}
		processes, seen := 0, map[string]bool{}
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
}

// TestARunningProgramKeepsItsName, unless another needs it that uses far more.
func TestARunningProgramKeepsItsName(t *testing.T) {
	p := &programs{}
	use := map[string]programLook{}
	for i := range maxPrograms {
		use[fmt.Sprint("quiet", i)] = oneProcess(0)
	}
	lookAt(p, use)
	use["other"] = oneProcess(1) // A hundredth of the processors.
	for range 300 {
		use["other"] = oneProcess(uint64(p.looks & 1))
		if list := lookAt(p, use); len(list) != maxPrograms+1 || findProgram(t, list, otherPrograms).Processes != 1 {
			t.Fatalf("look %d: %d programs, others %+v", p.looks, len(list), findProgram(t, list, otherPrograms))
		}
	}
	// One ends: the waiting one gets its place.
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
	for i := range maxPrograms + 50 {
		use[fmt.Sprintf("p%03d", i)] = oneProcess(uint64(i))
	}
	list := lookAt(p, use)
	for i := range 50 {
		for _, g := range list {
			if g.Name == fmt.Sprintf("p%03d", i) {
				t.Errorf("%s is named, though %d others use more", g.Name, maxPrograms)
			}
		}
	}
	if got := findProgram(t, list, otherPrograms).Processes; got != 50 {
		t.Errorf("%d processes in others", got)
	}
}

func TestAProgramThatEndedStaysInSightForAWhile(t *testing.T) {
	p := &programs{}
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
	if g := findProgram(t, lookAt(p, map[string]programLook{"make": oneProcess(5)}), "make"); g.WriteBytes != 75 {
		t.Errorf("a program that came back counts %d bytes, want 75", g.WriteBytes)
	}
}

// TestMadeUpNames gives 100,000 names, five a second, of programs that live for two
// seconds and do nothing. Few of them get a name; those that were there keep theirs,
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
	all := map[string]bool{}
	heaptest.Bound(t, 1<<20, func() {
		for range 20_000 {
			named := look(nil)
			if second > 5 {
				maps.Copy(all, named)
			}
		}
	})
	made := 0
	for name := range all {
		if strings.HasPrefix(name, "madeup") {
			made++
		}
	}
	// At first sight there is enough for half of the names, then what a minute of
	// running deserves; none of these runs that long.
	if made > maxPrograms/2+20_000*namesPerHour/3600 {
		t.Errorf("%d of the made up names were given", made)
	}
	if len(p.byName) != len(p.order) || len(p.order) > maxPrograms+maxUnnamed+100 {
		t.Errorf("%d programs are held, %d in order", len(p.byName), len(p.order))
	}
	for _, c := range []struct {
		name string
		look programLook
		want int
	}{{"service", oneProcess(0), longSeconds + 2}, {"worker", oneProcess(60), 5}, {"large", programLook{processes: 1, rss: 500}, 5}} {
		seconds := 0
		for !look(map[string]programLook{c.name: c.look})[c.name] {
			if seconds++; seconds > c.want {
				t.Errorf("%s has no name after %d seconds", c.name, seconds)
				break
			}
		}
	}
}

// TestNamesAreForgotten: the counters of names out of use are bounded, those used
// last are remembered.
func TestNamesAreForgotten(t *testing.T) {
	p := &programs{}
	for i := range maxRemembered + 1000 {
		name := fmt.Sprint("program", i)
		p.of(name).named = true
		p.named++
		p.byName[name].counters.user = uint64(i)
		p.looks++
		p.forget(p.byName[name])
	}
	if len(p.remembered) != maxRemembered {
		t.Errorf("%d names are remembered", len(p.remembered))
	}
	if r, ok := p.remembered["program1000"]; !ok || r.user != 1000 {
		t.Errorf("got %+v, %v", r, ok)
	}
}
