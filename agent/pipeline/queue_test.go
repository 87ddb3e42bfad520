package pipeline

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
	"testing"
)

// request is a request that carries a number.
func request(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func numberOf(t *testing.T, request []byte) int {
	t.Helper()
	if len(request) != 8 {
		t.Fatalf("request of %d bytes", len(request))
	}
	return int(binary.BigEndian.Uint64(request))
}

func wantStats(t *testing.T, q Queue, waiting, dropped uint64) {
	t.Helper()
	w, d := q.Stats()
	equal(t, "waiting", w, waiting)
	equal(t, "dropped", d, dropped)
}

func TestQueueKeepsOrder(t *testing.T) {
	q := newRing()
	if _, _, ok := q.Oldest(); ok {
		t.Error("an empty queue has an oldest request")
	}
	for i := range 100 {
		q.Push(request(i))
	}
	for i := range 100 {
		wantStats(t, q, uint64(100-i), 0)
		for range 2 { // Asked for again, as after a failure, it is the same one.
			got, number, ok := q.Oldest()
			if !ok || numberOf(t, got) != i || number != uint64(i) {
				t.Fatalf("request %d has number %d, ok %v, want %d", numberOf(t, got), number, ok, i)
			}
		}
		q.Done(uint64(i))
	}
	wantStats(t, q, 0, 0)
	q.Done(100) // Of what never was.
	q.Push(request(100))
	if got, number, _ := q.Oldest(); numberOf(t, got) != 100 || number != 100 {
		t.Errorf("after it was empty: request %d has number %d", numberOf(t, got), number)
	}
}

func TestQueueIsBounded(t *testing.T) {
	q := newRing()
	for i := range 1000 {
		q.Push(request(i))
	}
	equal(t, "size of the ring", ringSize, 600)
	wantStats(t, q, 600, 400)
	got, number, _ := q.Oldest()
	equal(t, "the oldest", numberOf(t, got), 400)
	equal(t, "its number", number, 400)
	if cap(q.entries) > 4*ringSize {
		t.Errorf("%d places are kept for %d requests", cap(q.entries), ringSize)
	}
}

// TestDoneOfADroppedRequest: while a request is on its way the queue may run
// over; its answer must not remove another one.
func TestDoneOfADroppedRequest(t *testing.T) {
	q := newRing()
	q.Push(request(0))
	_, number, _ := q.Oldest()
	for i := range ringSize {
		q.Push(request(i + 1))
	}
	wantStats(t, q, ringSize, 1)
	q.Done(number)
	wantStats(t, q, ringSize, 1)
	if got, _, _ := q.Oldest(); numberOf(t, got) != 1 {
		t.Errorf("the oldest is %d, want 1", numberOf(t, got))
	}
}

// TestQueueKeepsWhatWasPushed: the caller may use its bytes again.
func TestQueueKeepsWhatWasPushed(t *testing.T) {
	q := newRing()
	text := []byte(strings.Repeat("system.cpu.time ", 1000))
	want := bytes.Clone(text)
	q.Push(text)
	clear(text)
	got, _, _ := q.Oldest()
	if !bytes.Equal(got, want) {
		t.Error("the request has changed in the queue")
	}
	if len(q.entries[0]) > len(want)/4 {
		t.Errorf("%d bytes are kept for %d", len(q.entries[0]), len(want))
	}
}

func TestQueueTakesTwoAtOnce(t *testing.T) {
	q := newRing()
	const n = 3000
	var both sync.WaitGroup
	both.Go(func() {
		for i := range n {
			q.Push(request(i))
		}
	})
	last, taken := -1, uint64(0)
	both.Go(func() {
		for last != n-1 {
			got, number, ok := q.Oldest()
			if !ok {
				<-q.Pushed()
				continue
			}
			if i := numberOf(t, got); i <= last || uint64(i) != number {
				t.Errorf("request %d with number %d comes after %d", i, number, last)
			} else {
				last = i
			}
			before, _ := q.Stats()
			q.Done(number)
			if before > 0 {
				taken++
			}
		}
	})
	both.Wait()
	waiting, dropped := q.Stats()
	equal(t, "waiting", waiting, 0)
	if taken+dropped < n {
		t.Errorf("%d were taken and %d dropped of %d", taken, dropped, n)
	}
}
