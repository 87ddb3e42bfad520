package instruments

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAsideDoesNotHoldUpTheTick: 64 answers of 20 ms each cost the tick nothing, come
// again every ten seconds a few at a time, and are forgotten with what they are of.
func TestAsideDoesNotHoldUpTheTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHost(t.TempDir())
		var asked atomic.Int64
		a := aside[int64]{every: 10 * time.Second, ask: func(*Host, string) int64 {
			time.Sleep(20 * time.Millisecond)
			return asked.Add(1)
		}}
		ticks := 0
		tick := func(cores int) (known int) {
			ticks++
			began := time.Now()
			for i := range cores {
				if _, ok := a.of(fmt.Sprint("cpu", i), began); ok {
					known++
				}
			}
			a.end(h, began, time.Second)
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("the tick waited for %v", waited)
			}
			before := asked.Load()
			time.Sleep(time.Second)
			if n := asked.Load() - before; ticks > 2 && n > 8 {
				t.Errorf("%d questions in one second", n)
			}
			return known
		}
		if known := tick(64); known != 0 {
			t.Errorf("%d answers before the first question", known)
		}
		tick(64)
		for range 60 {
			if known := tick(64); known != 64 {
				t.Fatalf("%d of 64 answers", known)
			}
		}
		if n := asked.Load(); n < 64*5 || n > 64*7 {
			t.Errorf("asked %d times in a minute, want about six times each", n)
		}
		tick(2)
		if len(a.answers) != 2 {
			t.Errorf("%d answers are kept of 2 cores", len(a.answers))
		}
		before := asked.Load()
		a.again("cpu0")
		tick(2)
		if asked.Load() == before {
			t.Error("what can have changed was not asked again")
		}
		synctest.Wait()
	})
}

// TestAsideAnswerExpires: a driver that no longer answers costs one goroutine, and its
// old answers are not told for ever.
func TestAsideAnswerExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHost(t.TempDir())
		var asked, stuck atomic.Int64
		release := make(chan struct{})
		a := aside[int]{every: 10 * time.Second, ask: func(*Host, string) int {
			asked.Add(1)
			if stuck.Load() == 1 {
				<-release
			}
			return 7
		}}
		answer := func() bool {
			_, ok := a.of("eth0", time.Now())
			a.end(h, time.Now(), time.Second)
			time.Sleep(time.Second)
			return ok
		}
		answer()
		if !answer() {
			t.Fatal("no answer")
		}
		stuck.Store(1)
		for range 29 {
			if !answer() {
				t.Fatal("an answer of half a minute is gone")
			}
		}
		for range 10 {
			answer()
		}
		if answer() {
			t.Error("an old answer is told for ever")
		}
		if n := asked.Load(); n != 2 {
			t.Errorf("asked %d times, want 2: the second has not returned", n)
		}
		close(release)
		synctest.Wait()
		if !answer() {
			t.Error("no answer after the driver's return")
		}
		synctest.Wait()
	})
}
