package records

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// readers is a pool of codecs.
type readers struct{ pool sync.Pool }

func (p *readers) get() (*codec, error) {
	if c, ok := p.pool.Get().(*codec); ok {
		return c, nil
	}
	return newDecoder()
}

func (p *readers) put(c *codec) {
	clear(c.table)
	p.pool.Put(c)
}

// tableQuery is one query for processes in progress.
type tableQuery struct {
	*codec
	file  *database
	tiers []Tier
	// waiting are the records not in the file yet, including the open finest one.
	waiting []stored
	rec     record
	read    int

	frame
	damaged int
	found   map[identity]*merged
	spans   []Span
}

// runQuery prepares a query, and repeats it if the file had to be replaced.
func (r *Records) runQuery(ctx context.Context, f func(*tableQuery) error) error {
	c, err := r.readers.get()
	if err != nil {
		return err
	}
	defer r.readers.put(c)
	r.mu.Lock()
	if r.aggregator == nil {
		r.mu.Unlock()
		return ErrClosed
	}
	waiting := slices.Clone(r.queue.records)
	if b := &r.aggregator.buckets[0]; b.open {
		rec := r.aggregator.record(0)
		waiting = append(waiting, stored{key: r.tiers[0].key(b.until), since: rec.since, last: rec.last, body: r.codec.encode(rec)})
	}
	r.mu.Unlock()
	damagedRecords := 0
	err = r.read(ctx, func(d *database) error {
		q := &tableQuery{codec: c, file: d, tiers: r.tiers, waiting: waiting, found: map[identity]*merged{}}
		err := f(q)
		damagedRecords = q.damaged
		return err
	})
	if damagedRecords > 0 {
		r.mu.Lock()
		r.unreadable = max(r.unreadable, damagedRecords)
		r.mu.Unlock()
	}
	return err
}

// each calls f with the records in a range of keys, in no particular order.
func (q *tableQuery) each(ctx context.Context, from, to int64, f func(*stored) error) error {
	newer := map[int64]bool{}
	for i := range q.waiting {
		if s := &q.waiting[i]; s.key >= from && s.key < to {
			newer[s.key] = true
		}
	}
	count := func(s *stored) error {
		if q.read++; q.read > maxRead {
			return ErrTooMuch
		}
		return f(s)
	}
	if err := q.file.each(ctx, from, to, func(s *stored) error {
		if newer[s.key] {
			return nil
		}
		return count(s)
	}); err != nil {
		return err
	}
	for i := range q.waiting {
		if s := &q.waiting[i]; s.key >= from && s.key < to {
			if err := count(s); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// merged is a process of several records, and the end of the newest one.
type merged struct {
	row
	last int64
}

// errEnough stops an iteration over records.
var errEnough = errors.New("enough")

// first returns the first record in a range of keys, nil if there is none.
func (q *tableQuery) first(ctx context.Context, from, to int64) (*stored, error) {
	var found *stored
	keep := func(s *stored) {
		if found == nil || s.key <= found.key {
			found = &stored{key: s.key, since: s.since, last: s.last, body: slices.Clone(s.body)}
		}
	}
	if err := q.file.each(ctx, from, to, func(s *stored) error { keep(s); return errEnough }); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	for i := range q.waiting {
		if s := &q.waiting[i]; s.key >= from && s.key < to {
			keep(s)
		}
	}
	return found, nil
}

// cover reads records that cover (from, to] from the tiers up to i, and reports
// whether it found any.
func (q *tableQuery) cover(ctx context.Context, i int, from, to int64) (found bool, err error) {
	if from >= to {
		return false, nil
	}
	tier := q.tiers[i]
	size := tier.Resolution.Milliseconds()
	first, last := from, to
	if i > 0 { // The finest tier includes records that overlap the ends.
		first, last = tier.bucketEnd(from), to/size*size
	}
	// at is the time up to which everything is read.
	at := from
	fill := func(until int64) error {
		if i == 0 || at >= until {
			return nil
		}
		below, err := q.cover(ctx, i-1, at, until)
		if err != nil {
			return err
		}
		if !below {
			below, err = q.widen(ctx, tier, at, until)
		}
		found = found || below
		return err
	}
	var inside []Span
	if first < last {
		err := q.each(ctx, tier.key(first)+1, tier.key(tier.bucketEnd(last))+1, func(s *stored) error {
			if i == 0 && s.last <= from || i == 0 && s.since >= to {
				return nil
			}
			if q.merge(s) != nil {
				return nil // It is counted as damaged; a finer tier covers its time.
			}
			until := keyUntil(s.key)
			q.span(tier, s.since, s.last)
			inside = append(inside, Span{From: time.UnixMilli(until - size), To: time.UnixMilli(until)})
			found = true
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	slices.SortFunc(inside, func(a, b Span) int { return a.From.Compare(b.From) })
	for _, s := range inside {
		if err := fill(min(s.From.UnixMilli(), to)); err != nil {
			return false, err
		}
		at = max(at, s.To.UnixMilli())
	}
	return found, fill(to)
}

// widen reads the records of a tier that extend beyond the ends of (from, to], if
// no finer ones are left.
func (q *tableQuery) widen(ctx context.Context, tier Tier, from, to int64) (found bool, err error) {
	size := tier.Resolution.Milliseconds()
	ends := []int64{tier.bucketEnd(from + 1), tier.bucketEnd(to)}
	for _, end := range slices.Compact(ends) {
		if end-size >= from && end <= to {
			continue // It lies inside and was read already.
		}
		s, err := q.first(ctx, tier.key(end), tier.key(end)+1)
		if err != nil {
			return found, err
		}
		if s == nil || s.last <= from || s.since >= to || q.merge(s) != nil {
			continue
		}
		q.span(tier, s.since, s.last)
		found = true
	}
	return found, nil
}

// merge adds a record to the result.
func (q *tableQuery) merge(s *stored) error {
	q.rec.since, q.rec.last = s.since, s.last
	if err := q.decode(s.body, &q.rec); err != nil {
		q.damaged++
		return err
	}
	q.add(&q.rec.frame)
	for i := range q.rec.rows {
		from := &q.rec.rows[i]
		to := q.found[from.identity]
		if to == nil {
			q.found[from.identity] = &merged{row: *from, last: s.last}
			continue
		}
		before, command := to.sums, to.commandLine
		if s.last > to.last { // The newest record has the current names.
			*to = merged{row: *from, last: s.last}
			if to.commandLine == "" {
				to.commandLine = command
			}
			to.sums = before
		}
		to.add(&from.sums)
	}
	return nil
}

// span records that a time span was read from a tier.
func (q *tableQuery) span(tier Tier, since, last int64) {
	q.spans = append(q.spans, Span{Resolution: tier.Resolution, From: time.UnixMilli(since), To: time.UnixMilli(last)})
}
