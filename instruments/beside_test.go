package instruments

import (
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// settle waits until everything that is due was read.
func (b *beside[V]) settle(h *Host) {
	for {
		b.mu.Lock()
		b.start(h)
		running, idle := b.running, b.idle
		b.mu.Unlock()
		if !running {
			return
		}
		<-idle
	}
}

func TestBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads, answer atomic.Int64
		answer.Store(7)
		b := &beside[int64]{every: time.Minute, read: func(*Host, string, int64) int64 { reads.Add(1); return answer.Load() }}
		want := func(value int64, known bool, looks int64) {
			t.Helper()
			v, ok := b.get(nil, "eth0", time.Now())
			synctest.Wait()
			if v != value || ok != known || reads.Load() != looks {
				t.Errorf("the value is %d (%v) after %d reads, want %d (%v) after %d", v, ok, reads.Load(), value, known, looks)
			}
		}
		want(0, false, 1) // The tick does not wait for the first answer.
		want(7, true, 1)
		answer.Store(8)
		time.Sleep(time.Minute)
		want(7, true, 2) // Old, and asked again.
		want(8, true, 2)
		answer.Store(9)
		b.again(nil, "eth0", time.Now())
		synctest.Wait()
		want(9, true, 3)
		b.forget("eth0")
		want(0, false, 4)
	})
}

// A read that does not return holds up nobody: one goroutine waits, and the values
// are unknown once they are old.
func TestBesideHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang, begun atomic.Int64
		release := make(chan struct{})
		b := &beside[string]{every: time.Second, read: func(_ *Host, name, _ string) string {
			begun.Add(1)
			if hang.Load() > 0 {
				<-release
			}
			return name
		}}
		b.get(nil, "a", time.Now())
		b.settle(nil)
		hang.Store(1)
		for tick := range 20 {
			time.Sleep(time.Second)
			start := time.Now()
			_, known := b.get(nil, "a", time.Now())
			b.get(nil, "b", time.Now())
			if time.Since(start) != 0 {
				t.Fatalf("tick %d waited for %v", tick, time.Since(start))
			}
			if want := tick+1 < besideLasts; known != want {
				t.Errorf("%d s after the last answer the value is known: %v, want %v", tick+1, known, want)
			}
		}
		synctest.Wait()
		if begun.Load() != 2 {
			t.Errorf("%d reads were begun, want the one before and the one that hangs", begun.Load())
		}
		close(release)
		b.settle(nil)
		if v, ok := b.get(nil, "b", time.Now()); !ok || v != "b" {
			t.Errorf("after the hang the value is %q, %v", v, ok)
		}
	})
}

// Slow values are spread over the ticks, each of them in its turn.
func TestBesideIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names, slow = 64, 20 * time.Millisecond
		var reads atomic.Int64
		b := &beside[bool]{every: 10 * time.Second, read: func(*Host, string, bool) bool { time.Sleep(slow); reads.Add(1); return true }}
		before := int64(0)
		for range 3 * names {
			known := 0
			for i := range names {
				if _, ok := b.get(nil, strconv.Itoa(i), time.Now()); ok {
					known++
				}
			}
			if now := reads.Load(); now-before > int64(besideBudget/slow)+1 {
				t.Fatalf("%d were read in one tick", now-before)
			}
			before = reads.Load()
			if reads.Load() >= names && known != names {
				t.Fatalf("after %d reads %d of %d are known", reads.Load(), known, names)
			}
			time.Sleep(time.Second)
		}
		if reads.Load() < 2*names {
			t.Errorf("%d reads in %d s", reads.Load(), 3*names)
		}
	})
}
