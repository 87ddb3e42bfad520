package instruments

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// lookAt lets the programs see one process for each name, with the given use.
func lookAt(p *programs, use map[string]programLook) []Program {
	p.begin()
	for name, l := range use {
		g := p.of(name)
		g.look.add(&l)
	}
	p.end(100, 1000)
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

func TestARunningProgramKeepsItsName(t *testing.T) {
	p := &programs{}
	use := map[string]programLook{}
	for i := range maxPrograms {
		use[fmt.Sprint("quiet", i)] = oneProcess(0)
	}
	lookAt(p, use)
	use["busy"] = oneProcess(1000)
	list := lookAt(p, use)
	if len(list) != maxPrograms+1 || findProgram(t, list, otherPrograms).UserSeconds != 1000.0/cpuTicks {
		t.Fatalf("%d programs, others %+v", len(list), findProgram(t, list, otherPrograms))
	}
	// One ends: its name's place goes to the busy one, at its first need.
	delete(use, "quiet7")
	list = lookAt(p, use)
	if got := findProgram(t, list, "busy"); got.UserSeconds != 1000.0/cpuTicks {
		t.Errorf("a name holds what was used before it was given: %+v", got)
	}
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

func TestMadeUpNamesDoNotFillTheMemory(t *testing.T) {
	p := &programs{}
	for i := range maxProgramNames/maxPrograms + 40 {
		use := map[string]programLook{}
		for j := range maxPrograms {
			use[fmt.Sprintf("%d-%d", i, j)] = oneProcess(1)
		}
		lookAt(p, use)
	}
	if known := p.named + len(p.remembered); known > maxProgramNames {
		t.Errorf("%d names are remembered", known)
	}
	if len(p.byName) > 3*maxPrograms || len(p.byName) != len(p.order) {
		t.Errorf("%d programs are held", len(p.byName))
	}
	// A name from the beginning goes on from where it was.
	if g := findProgram(t, lookAt(p, map[string]programLook{"0-0": oneProcess(1)}), "0-0"); g.WriteBytes != 2 {
		t.Errorf("got %+v", g)
	}
}
