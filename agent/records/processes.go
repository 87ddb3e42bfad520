package records

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrNoRecord is the error of a question about a time of which nothing is kept.
var ErrNoRecord = errors.New("there is no process table of that time")

// Order is what processes are ranked by, the greatest first.
type Order string

// The orders: CPU seconds, mean memory while a process ran, the most memory it
// had at a tick, and bytes read and written.
const (
	ByCPU        Order = "cpu"
	ByMemory     Order = "memory"
	ByPeakMemory Order = "memory_peak"
	ByIO         Order = "io"
)

// Orders lists the orders.
func Orders() []Order { return []Order{ByCPU, ByMemory, ByPeakMemory, ByIO} }

// Usage is what one process, or several together, used over the time asked for.
type Usage struct {
	// CPUSeconds is user and system time; NaN where it was never known.
	CPUSeconds float64
	// Seen is the time for which it was seen; of several, it is added up.
	Seen time.Duration
	// MemoryMean is the mean of resident bytes while a process was seen (of
	// several: what they held together, over the time that was recorded),
	// MemoryPeak the most that one process held at a tick.
	MemoryMean, MemoryPeak float64
	// ReadBytes and WriteBytes are NaN where they were never known.
	ReadBytes, WriteBytes float64
}

// ProcessUsage is what one process used. Its texts are hostile.
type ProcessUsage struct {
	PID                         int
	Start                       uint64
	BootID                      string
	Name, Program, User, Status string
	Kernel                      bool
	CommandLine                 string
	Threads                     int
	Started                     time.Time
	Usage
}

// Span is a time that was answered from records of one resolution.
type Span struct {
	Resolution time.Duration
	From, To   time.Time
}

// Processes is the process table over a time.
type Processes struct {
	// Start and End are the span of the records that were used; it can be wider
	// than what was asked for where only coarse records are left.
	Start, End time.Time
	// Spans tell which tier answered for which time, without the times of which
	// nothing is kept.
	Spans []Span
	// Covered is the time in it that was really looked at, CPUCovered the part of
	// it with known CPU time, by which CPU seconds are to be divided.
	Covered, CPUCovered time.Duration
	CPUs                int
	MemoryTotal         uint64
	// HostCPUSeconds is what all processors did: the rows', the others' and the
	// unattributed CPU time together. NaN where it is not known.
	HostCPUSeconds float64
	// Unattributed is CPU time that no process accounts for: that of processes
	// which came and went between two looks (Vanished), and interrupts. It can be
	// a little below 0, since the kernel accounts in steps of 10 ms.
	Unattributed, Vanished float64
	// Rows are the processes in the order asked for, Matched how many there are
	// before the limit.
	Rows    []ProcessUsage
	Matched int
	// Others is everything that is not among the rows.
	Others Usage
	// Damaged counts records that could not be read; their time is not covered.
	Damaged int
}

// maxRead bounds the records that one question reads.
const maxRead = 4096

// ErrTooMuch is the error of a question that would have to read too many records.
var ErrTooMuch = fmt.Errorf("the range needs more than %d process records, ask for a shorter one", maxRead)

// ProcessesAt returns the process table of the finest record that covers a moment.
func (r *Records) ProcessesAt(ctx context.Context, t time.Time) (*Processes, error) {
	at := t.UnixMilli()
	var answer *Processes
	err := r.ask(ctx, func(q *question) error {
		for _, tier := range q.tiers {
			s, err := q.first(ctx, tier.key(at), tier.key(maxTime)+1)
			if err != nil {
				return err
			}
			if s == nil || s.since >= at || s.last < at {
				continue
			}
			if err := q.merge(s); err != nil {
				continue // A coarser one may be whole.
			}
			q.span(tier, s.since, s.last)
			answer = q.answer(ByCPU, 0, "")
			return nil
		}
		return ErrNoRecord
	})
	return answer, err
}

// ProcessesBetween returns what processes used between two moments: the first top
// (all where it is 0) by an order among those that match the query, which is part
// of a name, program, user or command line in upper or lower case, or a PID.
// Whole buckets are answered from the coarsest tier that fits in, as its sums are
// the most complete; the ends from finer ones.
func (r *Records) ProcessesBetween(ctx context.Context, start, end time.Time, by Order, top int, query string) (*Processes, error) {
	if !slices.Contains(Orders(), by) {
		return nil, fmt.Errorf("processes cannot be ranked by %q; allowed are %v", by, Orders())
	}
	if !start.Before(end) {
		return nil, errors.New("the start must be before the end")
	}
	var answer *Processes
	err := r.ask(ctx, func(q *question) error {
		from, to := max(start.UnixMilli(), 0), min(end.UnixMilli(), maxTime)
		if _, err := q.cover(ctx, len(q.tiers)-1, from, to); err != nil {
			return err
		}
		if len(q.spans) == 0 {
			return ErrNoRecord
		}
		answer = q.answer(by, top, query)
		return nil
	})
	return answer, err
}

// readers lends codecs.
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

// question is one question about processes: what was read so far.
type question struct {
	*codec
	file  *database
	tiers []Tier
	// waiting are the records that are not in the file yet, the open finest one
	// among them.
	waiting []stored
	rec     record
	read    int

	frame
	damaged int
	found   map[identity]*merged
	spans   []Span
}

// ask prepares a question, and asks again where the file had to be replaced.
func (r *Records) ask(ctx context.Context, f func(*question) error) error {
	c, err := r.readers.get()
	if err != nil {
		return err
	}
	defer r.readers.put(c)
	r.mu.Lock()
	if r.account == nil {
		r.mu.Unlock()
		return ErrClosed
	}
	waiting := slices.Clone(r.queue.records)
	if b := &r.account.buckets[0]; b.open {
		rec := r.account.record(0)
		waiting = append(waiting, stored{key: r.tiers[0].key(b.until), since: rec.since, last: rec.last, body: r.codec.encode(rec)})
	}
	r.mu.Unlock()
	damagedRecords := 0
	err = r.withFile(ctx, func(d *database) error {
		q := &question{codec: c, file: d, tiers: r.tiers, waiting: waiting, found: map[identity]*merged{}}
		err := f(q)
		damagedRecords = q.damaged
		return err
	})
	if damagedRecords > 0 {
		r.mu.Lock()
		r.stats.DamagedRecords = max(r.stats.DamagedRecords, uint64(damagedRecords))
		r.mu.Unlock()
	}
	return err
}

// each calls f with the records of a range of keys, in no particular order.
func (q *question) each(ctx context.Context, from, to int64, f func(*stored) error) error {
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

// merged is a process that was read, and the end of the newest record with it.
type merged struct {
	row
	last int64
}

// errEnough ends a walk over records.
var errEnough = errors.New("enough")

// first returns the first record of a range of keys, nil for none.
func (q *question) first(ctx context.Context, from, to int64) (*stored, error) {
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

// cover reads what covers (from, to] from the tiers up to i, and tells whether it
// found anything.
func (q *question) cover(ctx context.Context, i int, from, to int64) (found bool, err error) {
	if from >= to {
		return false, nil
	}
	tier := q.tiers[i]
	size := tier.Resolution.Milliseconds()
	first, last := from, to
	if i > 0 { // The finest tier takes every record that overlaps.
		first, last = tier.bucketEnd(from), to/size*size
	}
	// at is the moment up to which everything is answered.
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
				return nil // It is counted; a finer tier answers for its time.
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

// widen reads the records of a tier that reach beyond the ends of (from, to],
// where no finer ones are left.
func (q *question) widen(ctx context.Context, tier Tier, from, to int64) (found bool, err error) {
	size := tier.Resolution.Milliseconds()
	ends := []int64{tier.bucketEnd(from + 1), tier.bucketEnd(to)}
	for _, end := range slices.Compact(ends) {
		if end-size >= from && end <= to {
			continue // It lies inside: it was looked for already.
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

// merge adds a record to the answer.
func (q *question) merge(s *stored) error {
	q.rec.since, q.rec.last = s.since, s.last
	if err := q.decode(s.body, &q.rec); err != nil {
		q.damaged++
		return err
	}
	q.frame.add(&q.rec.frame)
	for i := range q.rec.rows {
		from := &q.rec.rows[i]
		to := q.found[from.identity]
		if to == nil {
			q.found[from.identity] = &merged{row: *from, last: s.last}
			continue
		}
		before, command := to.sums, to.commandLine
		if s.last > to.last { // What it is called now is what the newest record says.
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

// span notes that a time was answered from a tier.
func (q *question) span(tier Tier, since, last int64) {
	q.spans = append(q.spans, Span{Resolution: tier.Resolution, From: time.UnixMilli(since), To: time.UnixMilli(last)})
}

// answer makes the answer of what was read.
func (q *question) answer(by Order, top int, query string) *Processes {
	p := &Processes{
		Covered: milliseconds(q.covered), CPUCovered: milliseconds(q.cpuCovered), CPUs: q.cpus, MemoryTotal: q.memoryTotal << 10,
		HostCPUSeconds: math.NaN(), Unattributed: math.NaN(), Vanished: math.NaN(), Damaged: q.damaged,
	}
	p.Spans = joined(q.spans)
	p.Start, p.End = p.Spans[0].From, p.Spans[len(p.Spans)-1].To
	for _, s := range p.Spans {
		if s.To.After(p.End) {
			p.End = s.To
		}
	}
	attributed := q.others.cpu
	matching := make([]*row, 0, len(q.found))
	query = strings.ToLower(strings.TrimSpace(query))
	others := q.others
	for _, found := range q.found {
		attributed += found.cpu
		if found.matches(query) {
			matching = append(matching, &found.row)
		} else {
			others.add(&found.sums)
		}
	}
	p.Matched = len(matching)
	slices.SortFunc(matching, func(a, b *row) int {
		return cmp.Or(cmp.Compare(by.value(&b.sums), by.value(&a.sums)), cmp.Compare(a.pid, b.pid), cmp.Compare(a.start, b.start), cmp.Compare(a.boot, b.boot))
	})
	for i, m := range matching {
		if top > 0 && i >= top {
			others.add(&m.sums)
			continue
		}
		p.Rows = append(p.Rows, m.usage())
	}
	p.Others = others.usage(q.covered)
	if q.cpuCovered > 0 {
		p.HostCPUSeconds, p.Vanished = seconds(q.host), seconds(q.vanished)
		p.Unattributed = seconds(q.host - attributed)
	}
	return p
}

// joined puts spans in order and joins neighbours of one tier.
func joined(spans []Span) []Span {
	slices.SortFunc(spans, func(a, b Span) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	var all []Span
	for _, s := range spans {
		if n := len(all); n > 0 && all[n-1].Resolution == s.Resolution && !s.From.After(all[n-1].To) {
			if s.To.After(all[n-1].To) {
				all[n-1].To = s.To
			}
			continue
		}
		all = append(all, s)
	}
	return all
}

// value is what an order compares.
func (o Order) value(s *sums) float64 {
	switch o {
	case ByMemory:
		return float64(s.memory) / float64(max(s.seen, 1))
	case ByPeakMemory:
		return float64(s.peak)
	case ByIO:
		return float64(s.moved())
	case ByCPU:
	}
	return float64(s.cpu)
}

func (r *row) matches(query string) bool {
	if query == "" || strconv.Itoa(r.pid) == query {
		return true
	}
	for _, text := range [...]string{r.name, r.program, r.user, r.commandLine} {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}

func (r *row) usage() ProcessUsage {
	p := ProcessUsage{
		PID: r.pid, Start: r.start, BootID: r.boot, Name: r.name, Program: r.program, User: r.user, Status: r.status,
		Kernel: r.kernel, CommandLine: r.commandLine, Threads: r.threads, Usage: r.sums.usage(r.seen),
	}
	if r.started != 0 {
		p.Started = time.UnixMilli(r.started)
	}
	return p
}

// usage turns sums over a time into what users read.
func (s *sums) usage(over int64) Usage {
	u := Usage{CPUSeconds: math.NaN(), Seen: milliseconds(s.seen), MemoryPeak: float64(s.peak) * 1024, ReadBytes: math.NaN(), WriteBytes: math.NaN()}
	if over > 0 {
		u.MemoryMean = float64(s.memory) / float64(over) * 1024
	}
	if s.cpuKnown {
		u.CPUSeconds = seconds(s.cpu)
	}
	if s.ioKnown {
		u.ReadBytes, u.WriteBytes = float64(s.read), float64(s.write)
	}
	return u
}
