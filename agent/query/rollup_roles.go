package query

import (
	"context"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// partReader reads what one tier keeps, by the roles of selectors.
type partReader struct {
	storage.Querier
	q        *Querier
	from, to int64
	names    Names
	source   Source
	finest   bool
}

// openPart opens a tier, given by its index.
func (q *Querier) openPart(sources []Source, level int, from, to int64) (*partReader, error) {
	querier, err := sources[level].Queryable().Querier(from, to)
	if err != nil {
		return nil, err
	}
	return &partReader{Querier: querier, q: q, from: from, to: to, names: q.config.Names, source: sources[level], finest: level == 0}, nil
}

// Select implements storage.Querier, for lookups.
func (p *partReader) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	v, kept, named := p.q.viewOf(matchers)
	read := func(matchers []*labels.Matcher) storage.SeriesSet {
		return p.named(ctx, metricName(matchers), selected{matchers: matchers, reading: reading{role: rolePoints}, hints: *hints, sorted: sorted})
	}
	if v == nil {
		return read(kept)
	}
	return v.of(read(kept), read(named), false)
}

// needsName reports whether a role is kept under another name.
func (p *partReader) needsName(of role) bool {
	return !p.finest && (of == roleMin || of == roleMax || of == roleSum || of == roleCount)
}

// derived reports whether a name is that of a roll-up, which is found by its name only.
func (p *partReader) derived(name string) bool {
	if p.names == nil {
		return false
	}
	_, ok := p.names.Lookup(name)
	return ok
}

// named reads the series of a metric; those of all measured ones if it is "".
func (p *partReader) named(ctx context.Context, name string, s selected) storage.SeriesSet {
	if name == "" {
		set := &measuredSet{SeriesSet: p.Querier.Select(ctx, s.sorted, &s.hints, s.matchers...), part: p, selected: s}
		return p.counted(set, s.role)
	}
	if !matchesName(s.matchers, name) {
		return storage.EmptySeriesSet()
	}
	if p.finest {
		return p.raw(ctx, name, s)
	}
	raw, minName, maxName, kind, isRollup := p.metric(name)
	own := name
	switch s.role {
	case roleMin, roleMax:
		extreme := minName
		if s.role == roleMax {
			extreme = maxName
		}
		switch {
		case isRollup:
		case kind == store.Counter, extreme == "":
			s.role = roleOne
		default:
			own = extreme
		}
	case roleSum, roleCount:
		return p.weighed(ctx, raw, name, s)
	case roleMean:
		return p.noted(p.selectName(ctx, name, s), name, s)
	}
	set := p.selectName(ctx, own, s)
	if own != name {
		set = &renamedSet{SeriesSet: set, name: name}
	}
	return &measuredSet{SeriesSet: set, part: p, selected: s, rollups: isRollup}
}

// metric returns what is known of a name: the measured metric, its roll-ups and its
// kind, and whether it is itself a roll-up.
func (p *partReader) metric(name string) (raw, minName, maxName string, kind store.Kind, isRollup bool) {
	if p.names == nil {
		return name, "", "", store.Gauge, false
	}
	rollup, isRollup := p.names.Lookup(name)
	if raw = name; isRollup {
		raw = rollup.Raw
	}
	minName, maxName, kind, _ = p.names.Names(raw)
	return raw, minName, maxName, kind, isRollup
}

// raw reads the finest tier, in which a roll-up is the samples of the raw series, or
// their rates.
func (p *partReader) raw(ctx context.Context, name string, s selected) storage.SeriesSet {
	var set storage.SeriesSet
	if rollup, ok := p.rollup(name); ok {
		if rollup.Rate {
			s.hints.Start -= store.RateGap.Milliseconds()
		}
		set = &rollupSet{SeriesSet: p.selectName(ctx, rollup.Raw, s), name: name, rate: rollup.Rate}
	} else {
		set = p.selectName(ctx, name, s)
	}
	return p.counted(set, s.role)
}

// counted counts each sample of the finest tier as one, if they are to be counted.
func (p *partReader) counted(set storage.SeriesSet, of role) storage.SeriesSet {
	if !p.finest || of != roleCount {
		return set
	}
	return &mappedSet{SeriesSet: set, each: func(labels.Labels) func(int64, float64) (float64, bool) {
		return func(int64, float64) (float64, bool) { return 1, true }
	}}
}

func (p *partReader) rollup(name string) (store.Rollup, bool) {
	if p.names == nil {
		return store.Rollup{}, false
	}
	return p.names.Lookup(name)
}

// selectName selects by the matchers, with another name.
func (p *partReader) selectName(ctx context.Context, name string, s selected) storage.SeriesSet {
	matchers := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}
	for _, m := range s.matchers {
		if m.Name != model.MetricNameLabel {
			matchers = append(matchers, m)
		}
	}
	return p.Querier.Select(ctx, s.sorted, &s.hints, matchers...)
}

// matchesName reports whether all matchers accept a name.
func matchesName(matchers []*labels.Matcher, name string) bool {
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel && !m.Matches(name) {
			return false
		}
	}
	return true
}

// weighed reads the number of readings in each bucket, or their sum. The number is that
// of the metric's collector.
func (p *partReader) weighed(ctx context.Context, raw, name string, s selected) storage.SeriesSet {
	byHost, err := p.weights(ctx, raw, s)
	if err != nil {
		return storage.ErrSeriesSet(err)
	}
	s.uncounted = len(byHost) == 0
	sum, resolution := s.role == roleSum, p.source.Resolution().Milliseconds()
	set := &mappedSet{SeriesSet: p.selectName(ctx, name, s), each: func(l labels.Labels) func(int64, float64) (float64, bool) {
		w := byHost[l.Get(hostLabel)]
		return func(t int64, v float64) (float64, bool) {
			if t%resolution != 0 {
				return 0, false // A point around a reset: its bucket is counted at its end.
			}
			readings, known := w.at(t)
			if !known {
				readings = 1
			}
			if sum {
				return v * readings, true
			}
			return readings, true
		}
	}}
	return p.noted(set, name, s)
}

// noted says what the numbers of readings behind an answer are not.
func (p *partReader) noted(set storage.SeriesSet, name string, s selected) storage.SeriesSet {
	_, _, _, kind, _ := p.metric(name)
	switch {
	case s.uncounted:
		return &notedSet{SeriesSet: set, note: noteUncounted(p.source)}
	case s.short != "":
		return &notedSet{SeriesSet: set, note: noteShort(p.source, s.short)}
	case s.role != roleCount && kind == store.Counter:
		return &notedSet{SeriesSet: set, note: noteFunction(p.source, s.function)}
	}
	return &notedSet{SeriesSet: set, note: noteCounts(p.source)}
}

// weights reads the numbers of readings of a metric's collector, by host.
func (p *partReader) weights(ctx context.Context, name string, s selected) (map[string]*weights, error) {
	raw, _, _, _, _ := p.metric(name)
	collector := p.collector(raw)
	if collector == "" {
		return nil, nil
	}
	return readWeights(ctx, p.Querier, collector, s.matchers, s.hints.Start-1, s.hints.End, p.source.Resolution().Milliseconds())
}

func (p *partReader) collector(raw string) string {
	if p.names == nil {
		return ""
	}
	return p.names.Collector(raw)
}

// measuredSet leaves out the roll-ups unless they are asked for, and notes what the
// values of the others are not.
type measuredSet struct {
	storage.SeriesSet
	part     *partReader
	selected selected
	rollups  bool
	// last is the name of the newest series, and isRollup and isCounter what it is.
	last                string
	isRollup, isCounter bool
	note                error
}

// Next implements storage.SeriesSet.
func (s *measuredSet) Next() bool {
	for s.SeriesSet.Next() {
		name := s.SeriesSet.At().Labels().Get(model.MetricNameLabel)
		if name != s.last {
			var kind store.Kind
			_, _, _, kind, s.isRollup = s.part.metric(name)
			s.last, s.isCounter = name, kind == store.Counter
		}
		if s.isRollup && !s.rollups {
			continue
		}
		if s.note == nil && !s.part.finest {
			s.note = s.part.noteOf(s.selected, s.isCounter, s.isRollup)
		}
		return true
	}
	return false
}

// Warnings implements storage.SeriesSet.
func (s *measuredSet) Warnings() annotations.Annotations { return withNote(s.SeriesSet, s.note) }

// noteOf is what is to be said of a metric that a selector reads.
func (p *partReader) noteOf(s selected, isCounter, isRollup bool) error {
	switch {
	case s.short != "":
		return noteShort(p.source, s.short)
	case s.role == roleOne && !(isCounter && ruleOf(s.function).counters):
		return noteFunction(p.source, s.function)
	case s.role == roleValue && !isCounter && !isRollup:
		return noteMeans(p.source)
	case s.role == rolePoints && s.function == "avg_over_time":
		return noteUnweighted(p.source)
	case s.place == "subquery":
		return noteSubquery(p.source)
	}
	return nil
}

// notedSet is a set with a note if it has a series.
type notedSet struct {
	storage.SeriesSet
	note  error
	found bool
}

// Next implements storage.SeriesSet.
func (s *notedSet) Next() bool {
	next := s.SeriesSet.Next()
	s.found = s.found || next
	return next
}

// Warnings implements storage.SeriesSet.
func (s *notedSet) Warnings() annotations.Annotations {
	if !s.found {
		return s.SeriesSet.Warnings()
	}
	return withNote(s.SeriesSet, s.note)
}

func withNote(set storage.SeriesSet, note error) annotations.Annotations {
	if note == nil {
		return set.Warnings()
	}
	all := annotations.New().Add(note)
	return all.Merge(set.Warnings())
}

// renamedSet gives the series of a set another name.
type renamedSet struct {
	storage.SeriesSet
	name string
}

// At implements storage.SeriesSet.
func (s *renamedSet) At() storage.Series {
	series := s.SeriesSet.At()
	l := labels.NewBuilder(series.Labels()).Set(model.MetricNameLabel, s.name).Labels()
	return &storage.SeriesEntry{Lset: l, SampleIteratorFn: series.Iterator}
}
