package queue

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sysotel/agent/sqlite"
)

// epoch is when the tests begin.
var epoch = time.Date(2026, 2, 2, 12, 0, 0, 0, time.UTC)

func options(dir string) Options {
	return Options{
		Path: filepath.Join(dir, "queue", "otlp.db"), Partitions: []string{"", "1m"}, MaxBytes: 1 << 30, MaxAge: 24 * time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}
}

// opened is a queue and one of its partitions, which takes the requests of most tests.
type opened struct {
	*Queue
	*Partition
}

// Stats are the partition's.
func (o opened) Stats() Stats { return o.Partition.Stats() }

// Oldest takes one request.
func (o opened) Oldest() (Request, error) { return one(o.Partition.Oldest(0)) }

// Newest takes one request.
func (o opened) Newest(after time.Time) (Request, error) { return one(o.Partition.Newest(after, 1, 0)) }

// one is the only request of a batch.
func one(list []Request, err error) (Request, error) {
	if err != nil {
		return Request{}, err
	}
	if len(list) != 1 {
		return Request{}, fmt.Errorf("%d requests instead of one", len(list))
	}
	return list[0], nil
}

// Push pushes without a mark.
func (o opened) Push(at time.Time, body []byte) { o.Partition.Push(at, time.Time{}, body) }

// Done is done with one request.
func (o opened) Done(r Request) { o.Partition.Done([]Request{r}) }

// Return gives one request back.
func (o opened) Return(r Request) { o.Partition.Return([]Request{r}) }

func open(t testing.TB, o Options) opened {
	t.Helper()
	q, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() }) // A second time where the test has done so.
	return opened{q, q.Partition("")}
}

// body is a request that carries a number.
func body(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// noise is a request that does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// push pushes requests with the numbers from first to last, one a second.
func push(q opened, first, last int) {
	for i := first; i <= last; i++ {
		q.Push(epoch.Add(time.Duration(i)*time.Second), body(i))
	}
}

func number(t testing.TB, r Request, err error) int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return int(binary.BigEndian.Uint64(r.Body))
}

// drain takes and removes everything, oldest first.
func drain(t testing.TB, q opened) (numbers []int) {
	t.Helper()
	for {
		r, err := q.Oldest()
		if errors.Is(err, ErrEmpty) {
			return numbers
		}
		n := number(t, r, err)
		if want := epoch.Add(time.Duration(n) * time.Second); !r.Time.Equal(want) {
			t.Errorf("request %d is of %s, want %s", n, r.Time, want)
		}
		numbers = append(numbers, n)
		q.Done(r)
	}
}

func wantAll(t *testing.T, got []int, first, last int) {
	t.Helper()
	var want []int
	for i := first; i <= last; i++ {
		want = append(want, i)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d requests %v, want %d to %d", len(got), got, first, last)
	}
}

func TestOldestFirst(t *testing.T) {
	for _, n := range []int{1, recent, recent + 1, 10 * recent} {
		q := open(t, options(t.TempDir()))
		push(q, 1, n)
		if s := q.Stats(); s.Waiting != uint64(n) || s.Dropped != 0 {
			t.Errorf("of %d requests %d wait and %d were dropped", n, s.Waiting, s.Dropped)
		}
		wantAll(t, drain(t, q), 1, n)
		if s := q.Stats(); s.Waiting != 0 || s.Bytes != 0 {
			t.Errorf("of an empty queue %d requests wait with %d bytes", s.Waiting, s.Bytes)
		}
	}
}

// TestTaken: what one has taken another does not get, and what is given back is
// the oldest again.
func TestTaken(t *testing.T) {
	q := open(t, options(t.TempDir()))
	push(q, 1, 3*recent)
	first, err := q.Oldest()
	number(t, first, err)
	second, err := q.Oldest()
	if n := number(t, second, err); n != 2 {
		t.Errorf("the second to ask gets request %d", n)
	}
	newest, err := q.Newest(epoch)
	if n := number(t, newest, err); n != 3*recent {
		t.Errorf("the newest is request %d", n)
	}
	if _, err := q.Newest(epoch); !errors.Is(err, ErrEmpty) {
		t.Errorf("the newest can be taken twice: %v", err)
	}
	q.Return(first)
	q.Done(second)
	q.Done(newest)
	got := drain(t, q)
	wantAll(t, append(got[:1:1], append([]int{2}, got[1:]...)...), 1, 3*recent-1)
}

func TestNewestIsNew(t *testing.T) {
	q := open(t, options(t.TempDir()))
	push(q, 1, 1)
	if _, err := q.Newest(epoch.Add(time.Second)); !errors.Is(err, ErrEmpty) {
		t.Errorf("a request that is not newer than that was given: %v", err)
	}
}

// TestReopen: what waits outlives the process, with its time; what was done does
// not come back; numbers go on.
func TestReopen(t *testing.T) {
	o := options(t.TempDir())
	q := open(t, o)
	push(q, 1, 2*recent)
	r, err := q.Oldest()
	number(t, r, err)
	q.Done(r)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	push(q, 2*recent+1, 2*recent+5)
	if s := q.Stats(); s.Waiting != 2*recent+4 {
		t.Errorf("%d requests wait", s.Waiting)
	}
	wantAll(t, drain(t, q), 2, 2*recent+5)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	push(q, 1, 1)
	if r, err := q.Oldest(); err != nil || r.Number != 2*recent+6 {
		t.Errorf("after all was sent, the next number is %d, %v", r.Number, err)
	}
}

// TestBytesAreBounded: the oldest go, they are counted, and it is said once.
func TestBytesAreBounded(t *testing.T) {
	var log bytes.Buffer
	o := options(t.TempDir())
	o.MaxBytes, o.Log = 20_000, slog.New(slog.NewTextHandler(&log, nil))
	q := open(t, o)
	for i := range 1000 {
		q.Push(epoch.Add(time.Duration(i)*time.Second), append(body(i), noise(100)...))
		if s := q.Stats(); s.Bytes > o.MaxBytes {
			t.Fatalf("%d bytes wait", s.Bytes)
		}
	}
	s := q.Stats()
	if s.Waiting+s.Dropped != 1000 || s.Waiting < 150 {
		t.Errorf("%d requests wait and %d were dropped of 1000", s.Waiting, s.Dropped)
	}
	got := drain(t, q)
	wantAll(t, got, 1000-len(got), 999)
	if uint64(len(got)) != s.Waiting {
		t.Errorf("%d requests came of %d that wait", len(got), s.Waiting)
	}
	if n := strings.Count(log.String(), "the queue is full"); n != 1 {
		t.Errorf("it is said %d times:\n%s", n, &log)
	}
}

// TestAgeIsBounded: what is too old goes, on disk and in memory.
func TestAgeIsBounded(t *testing.T) {
	o := options(t.TempDir())
	o.MaxAge = 10 * time.Minute
	q := open(t, o)
	push(q, 1, 3600)
	got := drain(t, q)
	// Old requests are looked for once a minute.
	if n := len(got); n < 600 || n > 661 || got[0] != 3601-n || got[n-1] != 3600 {
		t.Errorf("%d requests are left, from %d to %d", n, got[0], got[n-1])
	}
	push(q, 1, 1)
	push(q, 3600, 3600)
	wantAll(t, drain(t, q), 3600, 3600)
}

// TestDroppedOnItsWay: a request that is dropped while it is being sent is
// neither counted twice nor left.
func TestDroppedOnItsWay(t *testing.T) {
	for _, n := range []int{1, 2 * recent} {
		o := options(t.TempDir())
		o.MaxAge = time.Minute
		q := open(t, o)
		push(q, 1, n)
		r, err := q.Oldest()
		number(t, r, err)
		push(q, 1000, 1000)
		q.Done(r)
		if s := q.Stats(); s.Waiting != 1 || s.Dropped != uint64(n) || s.Bytes <= 0 || s.Bytes > 20 {
			t.Errorf("of %d: %+v", n, s)
		}
		wantAll(t, drain(t, q), 1000, 1000)
	}
}

// TestDiskTakesNothing: requests wait in memory, bounded, it is said, and when
// the disk takes them again none of those is lost.
func TestDiskTakesNothing(t *testing.T) {
	o := options(t.TempDir())
	q := open(t, o)
	limit := func(pages string) {
		if _, err := q.file.exec(t.Context(), "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	big := noise(5000)
	for i := 1; i <= unwritten+10; i++ {
		q.Push(epoch.Add(time.Duration(i)*time.Second), append(body(i), big...))
	}
	s := q.Stats()
	if s.Failing == nil || s.Waiting < unwritten || s.Waiting > unwritten+recent || s.Waiting+s.Dropped != unwritten+10 {
		t.Fatalf("with a full disk: %+v", s)
	}
	r, err := q.Oldest()
	if n := number(t, r, err); n != int(s.Dropped)+1 {
		t.Errorf("the oldest is request %d after %d were dropped", n, s.Dropped)
	}
	q.Done(r)
	limit("1000000")
	q.Push(epoch.Add((unwritten+11)*time.Second), body(unwritten+11))
	if s := q.Stats(); s.Failing != nil {
		t.Errorf("with room again: %v", s.Failing)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	wantAll(t, drain(t, q), int(s.Dropped)+2, unwritten+11)
}

// TestDamagedFileIsSetAside: the start is not refused, and what was there can be
// looked at.
func TestDamagedFileIsSetAside(t *testing.T) {
	for what, damage := range map[string]func([]byte) []byte{
		"no database":       func([]byte) []byte { return []byte(strings.Repeat("nothing of the kind ", 100)) },
		"half":              func(b []byte) []byte { return b[:len(b)/2] },
		"flipped structure": func(b []byte) []byte { clear(b[100:]); return b },
	} {
		o := options(t.TempDir())
		q := open(t, o)
		push(q, 1, 10*recent)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.Path, damage(text), 0o600); err != nil {
			t.Fatal(err)
		}
		q = open(t, o)
		push(q, 1, 3)
		wantAll(t, drain(t, q), 1, 3)
		if aside, err := filepath.Glob(o.Path + ".broken-*"); err != nil || len(aside) != 1 {
			t.Errorf("%s: set aside are %v", what, aside)
		}
	}
}

func TestNewerFileIsRefused(t *testing.T) {
	o := options(t.TempDir())
	q := open(t, o)
	push(q, 1, 1)
	if _, err := q.file.exec(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", len(format.Steps)+1)); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, sqlite.ErrNewer) {
		t.Fatalf("a newer file is opened with %v", err)
	}
	db, err := sql.Open("sqlite", o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM request").Scan(&n); err != nil || n != 1 {
		t.Errorf("it was not left as it is: %d requests, %v", n, err)
	}
}

// TestDamagedRequest: one that cannot be unpacked does not stand in the way.
func TestDamagedRequest(t *testing.T) {
	o := options(t.TempDir())
	q := open(t, o)
	push(q, 1, 2*recent)
	if _, err := q.file.exec(t.Context(), "UPDATE request SET body = x'ffffffffffff' WHERE number = 1"); err != nil {
		t.Fatal(err)
	}
	wantAll(t, drain(t, q), 2, 2*recent)
	if s := q.Stats(); s.Dropped != 1 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

// TestConcurrently: with two who send and one who pushes, each request is given
// once.
func TestConcurrently(t *testing.T) {
	q := open(t, options(t.TempDir()))
	const n = 400
	var mu sync.Mutex
	seen := map[int]int{}
	var senders sync.WaitGroup
	done := make(chan struct{})
	for _, take := range []func() (Request, error){q.Oldest, func() (Request, error) { return q.Newest(epoch) }} {
		senders.Go(func() {
			for last := false; ; {
				r, err := take()
				if errors.Is(err, ErrEmpty) {
					if last {
						return
					}
					select {
					case <-done:
						last = true
					case <-q.Pushed():
					}
					continue
				}
				mu.Lock()
				seen[number(t, r, err)]++
				mu.Unlock()
				q.Done(r)
			}
		})
	}
	push(q, 1, n)
	close(done)
	senders.Wait()
	for i := 1; i <= n; i++ {
		if seen[i] != 1 {
			t.Errorf("request %d was given %d times", i, seen[i])
		}
	}
	if s := q.Stats(); s.Waiting != 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// BenchmarkPush is what a tick costs while the receiver takes everything: one
// request in and out.
func BenchmarkPush(b *testing.B) {
	q := open(b, options(b.TempDir()))
	request := bytes.Repeat([]byte("system.cpu.time is of the same kind as the one before "), 1000)
	b.ReportAllocs()
	at := epoch
	for b.Loop() {
		at = at.Add(time.Second)
		q.Push(at, request)
		r, err := q.Newest(epoch)
		if err != nil {
			b.Fatal(err)
		}
		q.Done(r)
	}
}
