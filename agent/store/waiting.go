package store

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/encoding"
)

// waiting has the readings that cannot be appended yet, oldest first: while the tiers
// are opened or the disk takes nothing. Queries see them as
// the newest readings of the finest tier (waiting_query.go), and a log keeps them over
// a crash (waiting_log.go).
//
// They are kept in columns, a chunk of the TSDB library for each series, so that an
// hour and a half at one reading a second and 800 series takes 12 MB.
type waiting struct {
	// mu is held, besides Store.mu, by what changes the fields below: queries do not
	// wait for a disk.
	mu      sync.Mutex
	batches []*batch
	// head are the readings of the first batch that are still to be appended, once it
	// was decoded.
	head       []Reading
	collectors []waitingCollector
	indexes    map[string]int
	n          int // readings

	// record is the newest reading as the log keeps it. Only Store.mu protects it.
	record encoding.Encbuf
}

// The bounds of what waits; beyond them the oldest batch is dropped.
const (
	// batchReadings are in one batch, and in one file of the log.
	batchReadings   = 300
	maxWaiting      = 24 * batchReadings // two hours at one reading a second
	maxWaitingBytes = 12 << 20
	// columnBytes is what a column takes without its samples.
	columnBytes = 256
)

// waitingCollector is a collector and its number of readings as a series.
type waitingCollector struct {
	name     string
	readings *Series
}

// life is one process that read the machine: counters of its readings continue, but a
// series may have disappeared between two lives.
type life struct {
	id string
}

// batch has consecutive readings of one life, between which the clock was not set.
type batch struct {
	life *life
	// step is the newest step of the clock that its times follow.
	step uint64
	// first and last are the oldest and the newest tick.
	first, last int64
	readings    int
	samples     uint64
	bytes       int
	// sealed is set once it takes no more.
	sealed  bool
	columns []*column
	index   map[columnKey]int
	// taken are when the collectors were read, since Store.base, by their index; NaN
	// where that is unknown.
	taken []*column
	file  waitingFile
}

// columnKey identifies a column by the caller's series.
type columnKey struct {
	series    *Series
	collector int
}

// column has the samples of a series in a batch. A staleness marker is its end.
type column struct {
	// series is a copy, since the caller's changes.
	series    *Series
	collector int
	chunk     *chunkenc.XORChunk
	appender  chunkenc.Appender
	last      int64
}

func newColumn(series *Series, collector int) *column {
	c := &column{series: series, collector: collector, chunk: chunkenc.NewXORChunk(), last: unknown}
	c.appender, _ = c.chunk.Appender() // An empty chunk has no errors.
	return c
}

// add appends a sample; false if it is not newer than the last.
func (c *column) add(t int64, v float64) bool {
	if c.last != unknown && t <= c.last {
		return false
	}
	c.appender.Append(0, t, v)
	c.last = t
	return true
}

// len is the number of readings.
func (w *waiting) len() int { return w.n }

// refusal counts the samples of a reading that cannot wait, because of their times.
type refusal struct{ late, rejected uint64 }

// add adds a reading to the newest batch, or to a new one.
func (w *waiting) add(r *Reading, tick int64, s *Store, of *life, step uint64) (*batch, refusal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b *batch
	if n := len(w.batches); n > 0 {
		b = w.batches[n-1]
	}
	if b == nil || b.sealed || b.life != of || b.readings >= batchReadings || step != b.step {
		b = w.begin(of, step)
	}
	return b, w.put(b, r, tick, s)
}

// begin begins a batch.
func (w *waiting) begin(of *life, step uint64) *batch {
	if n := len(w.batches); n > 0 {
		w.batches[n-1].seal()
		if n > 1 {
			w.batches[n-2].index = nil // Only the next batch looks there.
		}
	}
	b := &batch{life: of, step: step, first: math.MaxInt64, last: unknown, index: map[columnKey]int{}}
	w.batches = append(w.batches, b)
	return b
}

// seal ends a batch: nothing is added to it any more.
func (b *batch) seal() {
	if b.sealed {
		return
	}
	b.sealed, b.bytes = true, 0
	for _, c := range slices.Concat(b.columns, b.taken) {
		if c != nil {
			c.chunk.Compact()
			c.appender = nil
			b.bytes += columnBytes + len(c.chunk.Bytes())
		}
	}
}

// put adds a reading to a batch, and encodes it as record.
func (w *waiting) put(b *batch, r *Reading, tick int64, s *Store) (no refusal) {
	if tick > b.last {
		b.readings++
		w.n++
	}
	b.first, b.last = min(b.first, tick), max(b.last, tick)
	e := &w.record
	e.Reset()
	e.PutVarint64(tick)
	e.PutUvarint(len(r.Collectors))
	for i := range r.Collectors {
		of := &r.Collectors[i]
		e.PutUvarintStr(of.Collector)
		n := w.collector(of.Collector, s)
		for len(b.taken) <= n {
			b.taken = append(b.taken, nil)
		}
		taken := b.taken[n]
		if taken == nil {
			taken = newColumn(nil, n)
			b.taken[n] = taken
			b.bytes += columnBytes
		}
		at := math.NaN()
		if !r.Collectors[i].Taken.IsZero() {
			at = float64(of.Taken.Sub(s.base))
		}
		if !taken.add(tick, at) {
			no.late += uint64(len(of.Samples))
			e.PutUvarint(0)
			e.PutUvarint(0)
			continue
		}
		count := w.column(b, w.collectors[n].readings, n, s)
		b.columns[count].add(tick, 1)
		b.samples += uint64(len(of.Samples))
		e.PutUvarint(len(of.Samples))
		for _, one := range of.Samples {
			ref := w.column(b, one.Series, n, s)
			e.PutUvarint(ref)
			e.PutBEFloat64(one.Value)
			if !math.IsNaN(one.Value) && !b.add(ref, tick, one.Value) {
				no.rejected++
			}
		}
		e.PutUvarint(len(of.Ended))
		for _, ended := range of.Ended {
			ref := w.column(b, ended, n, s)
			e.PutUvarint(ref)
			b.add(ref, tick, math.Float64frombits(value.StaleNaN))
		}
	}
	return no
}

// add adds a sample to a column; false if it has one at that time.
func (b *batch) add(ref int, t int64, v float64) bool {
	c := b.columns[ref]
	before := max(cap(c.chunk.Bytes()), 128)
	ok := c.add(t, v)
	b.bytes += max(cap(c.chunk.Bytes()), 128) - before
	return ok
}

// collector returns the index of a collector.
func (w *waiting) collector(name string, s *Store) int {
	n, ok := w.indexes[name]
	if !ok {
		if w.indexes == nil {
			w.indexes = map[string]int{}
		}
		n = len(w.collectors)
		w.indexes[name] = n
		readings := s.readingsSeries(name)
		w.collectors = append(w.collectors, waitingCollector{name, &readings})
	}
	return n
}

// column returns the index of a series' column in a batch.
func (w *waiting) column(b *batch, series *Series, collector int, s *Store) int {
	key := columnKey{series, collector}
	if i, ok := b.index[key]; ok && b.columns[i].series.Start.UnixMilli() == series.Start.UnixMilli() {
		return i
	}
	var kept *Series
	if n := len(w.batches); n > 1 {
		if before := w.batches[n-2]; before.life == b.life {
			if i, ok := before.index[key]; ok && before.columns[i].series.Start.UnixMilli() == series.Start.UnixMilli() {
				kept = before.columns[i].series
			}
		}
	}
	if kept == nil {
		kept = &Series{
			Labels: series.Labels, Kind: series.Kind, MinName: series.MinName, MaxName: series.MaxName,
			Brief: series.Brief, Origin: series.Origin, Start: series.Start,
		}
		s.register(kept, w.collectors[collector].name)
	}
	b.columns = append(b.columns, newColumn(kept, collector))
	b.bytes += columnBytes + 128
	b.index[key] = len(b.columns) - 1
	return len(b.columns) - 1
}

// over reports whether the oldest batch has to go.
func (w *waiting) over() bool {
	return len(w.batches) > 1 && (w.n > maxWaiting || w.bytes() > maxWaitingBytes)
}

// bytes is the memory that the batches take.
func (w *waiting) bytes() (total int) {
	for _, b := range w.batches {
		total += b.bytes
	}
	return total
}

// next returns the oldest reading and its batch, nil if none waits.
func (w *waiting) next(base time.Time) (*Reading, *batch) {
	if len(w.batches) == 0 {
		return nil, nil
	}
	b := w.batches[0]
	if w.head == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		b.seal()
		w.head = w.decode(b, base)
		w.n += len(w.head) - b.readings // Late readings are of ticks of their own.
		b.readings = len(w.head)
	}
	return &w.head[0], b
}

// pop removes the oldest reading, but not its batch. It returns false if there is no
// other in the batch.
func (w *waiting) pop() bool {
	w.n--
	w.batches[0].readings--
	w.head[0] = Reading{}
	w.head = w.head[1:]
	return len(w.head) > 0
}

// remove removes a batch.
func (w *waiting) remove(i int) *batch {
	b := w.batches[i]
	w.n -= b.readings
	if i == 0 {
		w.head = nil
	}
	if w.batches = slices.Delete(w.batches, i, i+1); len(w.batches) == 0 {
		w.batches, w.collectors, w.indexes = nil, nil, nil
	}
	return b
}

// decode returns the readings of a batch, in order of time.
func (w *waiting) decode(b *batch, base time.Time) []Reading {
	var ticks []int64
	var it chunkenc.Iterator
	for _, c := range b.taken {
		if c != nil {
			for it = c.chunk.Iterator(it); it.Next() == chunkenc.ValFloat; {
				ticks = append(ticks, it.AtT())
			}
		}
	}
	slices.Sort(ticks)
	ticks = slices.Compact(ticks)
	readings := make([]Reading, len(ticks))
	at := make([]*CollectorReading, len(ticks)*len(b.taken)) // by tick, then collector
	for i, c := range b.taken {
		if c == nil {
			continue
		}
		n := 0
		for it = c.chunk.Iterator(it); it.Next() == chunkenc.ValFloat; {
			t, taken := it.At()
			for ticks[n] < t {
				n++
			}
			one := CollectorReading{Collector: w.collectors[i].name}
			if !math.IsNaN(taken) {
				one.Taken = base.Add(time.Duration(taken))
			}
			at[n*len(b.taken)+i] = &one
		}
	}
	for _, c := range b.columns {
		if c.series.Kind == readingCount {
			continue
		}
		n := 0
		for it = c.chunk.Iterator(it); it.Next() == chunkenc.ValFloat; {
			t, v := it.At()
			for ticks[n] < t {
				n++
			}
			one := at[n*len(b.taken)+c.collector]
			if value.IsStaleNaN(v) {
				one.Ended = append(one.Ended, c.series)
			} else {
				one.Samples = append(one.Samples, Sample{c.series, v})
			}
		}
	}
	for n := range readings {
		readings[n].Time = time.UnixMilli(ticks[n])
		for _, one := range at[n*len(b.taken) : (n+1)*len(b.taken)] {
			if one != nil {
				readings[n].Collectors = append(readings[n].Collectors, *one)
			}
		}
	}
	return readings
}

// wait lets a reading wait. It keeps nothing of it but the labels.
func (s *Store) wait(r Reading) {
	b, no := s.waiting.add(&r, s.tick(r.Time), s, s.life, s.clock.Latest())
	s.drop(DropLate, no.late)
	s.drop(DropRejected, no.rejected)
	s.logWaiting(b)
	s.boundWaiting()
}

// placeWaiting moves what waits to where it belongs after a step of the clock.
func (s *Store) placeWaiting() {
	s.waiting.mu.Lock()
	defer s.waiting.mu.Unlock()
	latest := s.clock.Latest()
	for i, b := range s.waiting.batches {
		if b.step == latest {
			continue
		}
		was := time.UnixMilli(b.first)
		now := was
		for _, step := range s.clock.Steps(b.step) {
			now = step.Place(now)
		}
		b.seal() // The log has the times of before.
		b.step = latest
		by := now.Sub(was)
		if by == 0 {
			continue
		}
		b.shift(by.Milliseconds())
		if i == 0 {
			for n := range s.waiting.head {
				s.waiting.head[n].Time = s.waiting.head[n].Time.Add(by)
			}
		}
	}
}

// shift moves a sealed batch.
func (b *batch) shift(by int64) {
	b.first, b.last = b.first+by, b.last+by
	for _, c := range slices.Concat(b.columns, b.taken) {
		if c == nil {
			continue
		}
		if c.last != unknown {
			c.last += by
		}
		moved := chunkenc.NewXORChunk()
		to, _ := moved.Appender() // An empty chunk has no errors.
		for it := c.chunk.Iterator(nil); it.Next() == chunkenc.ValFloat; {
			t, v := it.At()
			to.Append(0, t+by, v)
		}
		moved.Compact()
		c.chunk = moved
	}
}

// newestOfOthers is the newest waiting tick of earlier lives, the zero time for none.
func (s *Store) newestOfOthers() (newest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.waiting.batches {
		if last := time.UnixMilli(b.last); b.life != s.life && last.After(newest) {
			newest = last
		}
	}
	return newest
}

// boundWaiting drops the oldest readings while too many wait.
func (s *Store) boundWaiting() {
	for s.waiting.over() {
		left := s.waiting.batches[0].samples
		if n := len(s.waiting.head); n > 0 { // A part of it has been appended.
			left = 0
			for i := range s.waiting.head {
				left += s.waiting.head[i].samples()
			}
		}
		s.drop(DropQueueFull, left)
		s.removeWaiting(0)
	}
}

// removeWaiting removes a batch and its file.
func (s *Store) removeWaiting(i int) {
	s.waiting.mu.Lock()
	b := s.waiting.remove(i)
	s.waiting.mu.Unlock()
	s.waitingLog.remove(b)
}
