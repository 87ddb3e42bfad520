package queue

import (
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// numbersOf takes and removes requests as long as there are any, and returns the
// numbers of each batch.
func numbersOf(t *testing.T, l *Partition, most int) (batches [][]int) {
	t.Helper()
	for {
		list, err := l.Oldest(most)
		if errors.Is(err, ErrEmpty) {
			return batches
		}
		if err != nil {
			t.Fatal(err)
		}
		var numbers []int
		for _, r := range list {
			numbers = append(numbers, number(t, r, nil))
		}
		batches = append(batches, numbers)
		l.Done(list)
	}
}

// TestNeighboursAreTakenTogether, on disk and in memory, as long as they are
// small together.
func TestNeighboursAreTakenTogether(t *testing.T) {
	q := open(t, options(t.TempDir()))
	push(q, 1, 2*recent)
	got := numbersOf(t, q.Partition, 7*len(body(0)))
	for i, batch := range got {
		if want := min(7, 2*recent-7*i); len(batch) != want {
			t.Errorf("batch %d has %d requests, want %d", i, len(batch), want)
		}
	}
	wantAll(t, slices.Concat(got...), 1, 2*recent)
}

// TestNewestTogether: the newest neighbours in order, none that was taken nor what
// lies behind it.
func TestNewestTogether(t *testing.T) {
	q := open(t, options(t.TempDir()))
	push(q, 1, 10)
	f := func(n, most int, want ...int) {
		t.Helper()
		list, err := q.Partition.Newest(epoch.Add(2*time.Second), n, most)
		if len(want) == 0 && !errors.Is(err, ErrEmpty) {
			t.Errorf("got %v, %v", list, err)
		}
		var got []int
		for _, r := range list {
			got = append(got, number(t, r, nil))
		}
		if !slices.Equal(got, want) {
			t.Errorf("the newest are %v, want %v", got, want)
		}
	}
	f(1, 1<<20, 10)
	f(1, 1<<20)
	push(q, 11, 14)
	f(9, 3*len(body(0)), 12, 13, 14)
	push(q, 15, 16)
	f(9, 1<<20, 15, 16)
}

// TestLanesAreApart: what waits in one partition is not in the way of another, and each
// counts its own; what is too much goes by age, whatever its partition.
func TestLanesAreApart(t *testing.T) {
	o := options(t.TempDir())
	q := open(t, o)
	minutes := q.Queue.Partition("1m")
	for i := range 3 * recent {
		if i%10 == 0 {
			minutes.Push(epoch.Add(time.Duration(i)*time.Second), time.Time{}, body(i))
			continue
		}
		push(q, i, i)
	}
	if seconds, s := q.Stats(), minutes.Stats(); seconds.Waiting != 3*recent*9/10 || s.Waiting != 3*recent/10 || s.Bytes+seconds.Bytes != q.Queue.Stats().Bytes {
		t.Errorf("%+v and %+v wait", seconds, s)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	minutes = q.Queue.Partition("1m")
	if got := numbersOf(t, minutes, 1<<20); len(got) != 1 || !slices.Equal(got[0], []int{0, 10, 20, 30, 40, 50, 60, 70, 80}) {
		t.Errorf("the minutes are %v", got)
	}
	if s := q.Stats(); s.Waiting != 3*recent*9/10 {
		t.Errorf("of the seconds %d wait", s.Waiting)
	}

	// The bound is over all partitions.
	minutes.Push(epoch.Add(100*time.Second), time.Time{}, body(100))
	q.options.MaxBytes = q.Queue.Stats().Bytes - 1
	for q.Queue.Stats().Waiting > 0 {
		push(q, 200, 200)
		q.options.MaxBytes /= 2
		if s := q.Queue.Stats(); s.Bytes > 2*q.options.MaxBytes {
			t.Fatalf("%d bytes wait, of at most %d", s.Bytes, 2*q.options.MaxBytes)
		}
	}
	if seconds, s := q.Stats(), minutes.Stats(); s.Dropped != 1 || seconds.Dropped < 3*recent*9/10 || s.Bytes != 0 || seconds.Bytes != 0 {
		t.Errorf("after all was dropped: %+v and %+v", seconds, s)
	}
}

// TestMarks are kept with the requests they came with, and without any.
func TestMarks(t *testing.T) {
	o := options(t.TempDir())
	q := open(t, o)
	minutes := q.Queue.Partition("1m")
	if !q.Mark().IsZero() || !minutes.Mark().IsZero() {
		t.Errorf("a new queue has the marks %s and %s", q.Mark(), minutes.Mark())
	}
	minutes.Push(epoch, epoch)
	minutes.Push(epoch, epoch.Add(time.Minute), body(1), body(2))
	q.Partition.Push(epoch, time.Time{}, body(3))
	// The disk takes neither a request nor its mark.
	limit := func(pages string) {
		if _, err := q.file.exec(t.Context(), "PRAGMA max_page_count = "+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1")
	minutes.Push(epoch, epoch.Add(2*time.Minute), []byte(strings.Repeat("x", 100)), noise(10_000))
	if s := minutes.Stats(); s.Failing == nil || s.Waiting != 4 || !minutes.Mark().Equal(epoch.Add(2*time.Minute)) {
		t.Errorf("with a full disk: %+v, mark %s", s, minutes.Mark())
	}
	if err := q.Close(); err != nil { // As if it was killed.
		t.Fatal(err)
	}
	q = open(t, o)
	minutes = q.Queue.Partition("1m")
	if !minutes.Mark().Equal(epoch.Add(time.Minute)) || !q.Mark().IsZero() || minutes.Stats().Waiting != 2 {
		t.Errorf("the marks are %s and %s, %d requests wait", minutes.Mark(), q.Mark(), minutes.Stats().Waiting)
	}
	// A request that was sent before the disk took it leaves its mark.
	limit("1")
	minutes.Push(epoch, epoch.Add(3*time.Minute), noise(10_000))
	for {
		list, err := minutes.Oldest(0)
		if err != nil {
			break
		}
		minutes.Done(list)
	}
	limit("1000000")
	push(q, 1, 1)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = open(t, o)
	if mark := q.Queue.Partition("1m").Mark(); !mark.Equal(epoch.Add(3 * time.Minute)) {
		t.Errorf("the mark is %s", mark)
	}
}

// TestFirstFormat: what a version without partitions left is in the partition without a
// name; what was for a partition that is gone is dropped.
func TestFirstFormat(t *testing.T) {
	o := options(t.TempDir())
	o.Path = filepath.Join(t.TempDir(), "otlp.db")
	db, err := sql.Open("sqlite", o.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{format.Steps[0], "INSERT INTO request (number, time, body) VALUES (7, 1770033607000, x'081c0000000000000007')", "PRAGMA user_version = 1"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	q := open(t, o)
	if r, err := q.Oldest(); err != nil || r.Number != 7 || !r.Time.Equal(time.UnixMilli(1770033607000)) {
		t.Errorf("the request is %+v, %v", r, err)
	}
	q.Queue.Partition("1m").Push(epoch, epoch, body(8))
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	o.Partitions = []string{""}
	q = open(t, o)
	if s := q.Queue.Stats(); s.Waiting != 1 || q.Queue.Partition("1m") != nil {
		t.Errorf("%+v", s)
	}
}
