package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// crashed is the disk as a crash at some point of a change leaves it.
type crashed struct{ point, dir, file string }

// crash copies the disk of a ticker, less the paths below its store that are gone.
func (k *ticker) crash(t *testing.T, point string, gone ...string) crashed {
	t.Helper()
	at := crashed{point, filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "clock.json")}
	if err := copyFolder(k.o.Dir, at.dir); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(k.file, at.file); err != nil {
		t.Fatal(err)
	}
	for _, path := range gone {
		if err := os.RemoveAll(filepath.Join(at.dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

// after returns a ticker on the disk that a crash left, after the next start.
func (k *ticker) after(t *testing.T, at crashed) *ticker {
	t.Helper()
	m := &machine{wall: k.m.now(), up: k.m.boot(), free: 1 << 40}
	m.pass(3 * time.Second)
	next := &ticker{m: m, o: m.options(t, at.dir), n: k.n, boot: k.boot, file: at.file}
	next.open(t)
	return next
}

// halfOf returns one entry of a folder: half of its removal.
func halfOf(t *testing.T, dir, folder string, last bool) []string {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil || len(all) == 0 {
		return nil
	}
	i := 0
	if last {
		i = len(all) - 1
	}
	return []string{filepath.Join(folder, all[i].Name())}
}

// crashes carries out a plan and returns what a crash leaves before and after each file
// operation, and in the middle of each removal. The short form takes every twelfth of these
// points, from the decision on, and the last.
func (k *ticker) crashes(t *testing.T, p plan) (all []crashed) {
	t.Helper()
	points := 0
	crash := func(point string, gone ...string) {
		if soak() || points%12 == 2 || point == "done" {
			all = append(all, k.crash(t, point, gone...))
		}
		points++
	}
	crash("prepared")
	for _, tier := range k.s.tiers {
		if err := tier.close(); err != nil {
			t.Fatal(err)
		}
	}
	crash("closed")
	if err := k.s.decide(p); err != nil {
		t.Fatal(err)
	}
	crash("decided")
	operations := k.s.operations(p)
	for i, do := range operations {
		name := "synced"
		switch moves := i - len(p.Remove); {
		case moves < 0:
			name = "removed " + p.Remove[i]
			for _, last := range []bool{false, true} {
				if some := halfOf(t, k.o.Dir, p.Remove[i], last); some != nil {
					crash("half "+name, some...)
				}
			}
		case moves < len(p.Move):
			name = "moved " + p.Move[moves][1]
		case i == len(operations)-2:
			name = "numbered"
		case i == len(operations)-1:
			name = "done"
			crash("half done", filepath.Join(nextDir, planFile))
			for _, tier := range k.s.tiers {
				crash("half done, with the plan", filepath.Join(nextDir, tier.name), headDir(tier))
			}
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		crash(name)
	}
	t.Logf("%d of %d points", len(all), points)
	return all
}

// TestKillStep: a crash at any point of the change that moves what a wrong clock wrote
// leaves all of it to the next start: nothing is lost or doubled.
func TestKillStep(t *testing.T) {
	k := newTicker(t)
	k.run(t, 700)
	k.restart(t, true, day)
	k.run(t, 4000)
	k.s.Maintain(t.Context())
	k.m.step(-day)
	before := k.j.Latest()
	k.j.Observe()
	steps := k.j.Steps(before)
	if len(steps) != 1 || len(steps[0].Moves) == 0 {
		t.Fatalf("the steps are %+v", steps)
	}
	p, err := k.s.planStep(steps[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Move) == 0 || len(p.Remove) == 0 {
		t.Fatalf("the plan is %+v", p)
	}
	for _, at := range k.crashes(t, p) {
		t.Run(at.point, func(t *testing.T) {
			next := k.after(t, at)
			next.run(t, 130)
			next.check(t, 2)
			if _, err := os.Stat(filepath.Join(at.dir, nextDir)); err == nil {
				t.Error("the folder of new blocks is left")
			}
		})
	}
}

// TestKillBack: a crash at any point of the change that takes back what had been ahead of
// the clock loses and doubles nothing either.
func TestKillBack(t *testing.T) {
	k := newTicker(t)
	k.run(t, 1000)
	k.restart(t, true, 0)
	k.run(t, 500)
	k.m.step(-day)
	k.run(t, 300)
	k.m.step(day)
	before := k.j.Latest()
	k.j.Observe()
	for _, step := range k.j.Steps(before) {
		if err := k.s.follow(step); err != nil {
			t.Fatal(err)
		}
	}
	p, err := k.s.planBack()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Move) == 0 || len(p.Remove) == 0 {
		t.Fatalf("the plan is %+v", p)
	}
	for _, at := range k.crashes(t, p) {
		t.Run(at.point, func(t *testing.T) {
			next := k.after(t, at)
			next.run(t, 130)
			next.check(t, 2)
		})
	}
}
