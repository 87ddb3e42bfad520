package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestTurnsAreShared: whatever one client asks for, another gets the next turn.
func TestTurnsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(4, 64)
		var order []string
		ask := func(client string) {
			go func() {
				done, err := turns.take(WithClient(t.Context(), client))
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, client)
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

// TestTurnsGoRound: clients that wait with equally many turns get them one after the
// other.
func TestTurnsGoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(1, 64)
		var order []string
		for _, client := range []string{"a", "a", "a", "b", "b", "c"} {
			go func() {
				done, err := turns.take(WithClient(t.Context(), client))
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, client)
				time.Sleep(time.Second)
				done()
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		if got := fmt.Sprint(order); got != "[a a b c a b]" {
			t.Errorf("served %s, want [a a b c a b]", got)
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
