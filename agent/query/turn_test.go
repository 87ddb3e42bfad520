package query

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurnsAreShared: whatever one client asks for, another gets the next turn.
func TestTurnsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(4, 64)
		var mu sync.Mutex
		var order []string
		ask := func(client string) {
			go func() {
				done, err := turns.take(WithClient(t.Context(), client))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, client)
				mu.Unlock()
				time.Sleep(time.Second)
				done()
			}()
			synctest.Wait()
		}
		for range 12 {
			ask("greedy")
		}
		time.Sleep(time.Second / 2)
		ask("b")
		ask("c")
		ask("b")
		time.Sleep(10 * time.Second)
		// The first four had nobody to share with. Then b and c come first, and the second
		// query of b waits for at most one of the greedy client.
		// The turns of one moment are noted in any order.
		if len(order) != 15 || fmt.Sprint(order[:4]) != "[greedy greedy greedy greedy]" || fmt.Sprint(slices.Sorted(slices.Values(order[4:8]))) != "[b b c greedy]" {
			t.Fatalf("served %v, want greedy four times, then b, c, greedy and b", order)
		}
		if turns.free != 4 || turns.waiting != 0 || len(turns.held) != 0 || len(turns.lines) != 0 {
			t.Errorf("left over: %d free, %d waiting, %v, %d lines", turns.free, turns.waiting, turns.held, len(turns.lines))
		}
	})
}

// TestTurnsGoRound: clients that wait get as much time, one after the other.
// other.
func TestTurnsGoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, 64)
		var mu sync.Mutex
		var order []string
		for _, client := range []string{"a", "a", "a", "b", "b", "c"} {
			go func() {
				done, err := turns.take(WithClient(t.Context(), client))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, client)
				mu.Unlock()
				time.Sleep(time.Second)
				done()
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		if got := fmt.Sprint(order); got != "[a b c a b a]" {
			t.Errorf("served %s, want [a b c a b a]", got)
		}
	})
}

// TestTurnsShareTime: who asks for little waits for what runs, not for others who wait
// for long turns.
func TestTurnsShareTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(2, 64)
		ask := func(client string, length time.Duration) (waited time.Duration) {
			began := time.Now()
			done, err := turns.take(WithClient(t.Context(), client))
			if err != nil {
				t.Error(err)
				return 0
			}
			waited = time.Since(began)
			time.Sleep(length)
			done()
			return waited
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		end := time.Now().Add(time.Minute)
		served := map[string]int{}
		for i := range 8 {
			client := fmt.Sprint("greedy", i%4)
			all.Go(func() {
				for time.Now().Before(end) {
					ask(client, 50*time.Millisecond)
					mu.Lock()
					served[client]++
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Second)
		all.Go(func() {
			for time.Now().Before(end) {
				if waited := ask("honest", 5*time.Millisecond); waited > 60*time.Millisecond {
					t.Errorf("the honest client waited %v, more than a turn of the others", waited)
					return
				}
				time.Sleep(95 * time.Millisecond)
			}
		})
		all.Wait()
		for client, n := range served {
			if n < 550 || n > 620 { // A quarter of two turns is 600, less what the honest client took.
				t.Errorf("%s got %d turns: %v", client, n, served)
			}
		}
		// Ever new clients do not put off one that has used much for ever, and are forgotten.
		end = time.Now().Add(time.Minute)
		for range 3 {
			all.Go(func() {
				for time.Now().Before(end) {
					ask(fmt.Sprint("new", rand.Int()), time.Millisecond)
				}
			})
		}
		ask("greedy0", 50*time.Millisecond)
		if waited := ask("greedy0", 0); waited > 10*time.Second {
			t.Errorf("a client waited %v for its turn while ever new ones came", waited)
		}
		all.Wait()
		if len(turns.used) > 64 || turns.free != 2 {
			t.Errorf("%d clients are remembered, %d turns are free", len(turns.used), turns.free)
		}
	})
}

// TestWaitingIsBounded: the queue is finite, for each client and for all, and who
// gives up leaves it.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, 8)
		done, err := turns.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		refused := map[string]int{}
		for i := range 15 {
			client := fmt.Sprint(i / 3)
			go func() {
				_, err := turns.take(WithClient(ctx, client))
				var known *Error
				switch {
				case !asQueryError(err, &known):
					t.Errorf("error %v", err)
				case known.Type == Unavailable && errors.Is(err, ErrBusy):
					refused[client]++
				case known.Type != Canceled:
					t.Errorf("error %v of type %s", err, known.Type)
				}
			}()
			synctest.Wait()
		}
		// Two of each client wait, until there are eight.
		want := map[string]int{"0": 1, "1": 1, "2": 1, "3": 1, "4": 3}
		if fmt.Sprint(refused) != fmt.Sprint(want) || turns.waiting != 8 {
			t.Errorf("refused %v, %d wait; want %v and 8", refused, turns.waiting, want)
		}
		cancel()
		synctest.Wait()
		if turns.waiting != 0 || len(turns.lines) != 0 {
			t.Errorf("%d wait in %d lines after all gave up", turns.waiting, len(turns.lines))
		}
		done()
		if turns.free != 1 {
			t.Errorf("%d turns are free, want 1", turns.free)
		}
	})
}
