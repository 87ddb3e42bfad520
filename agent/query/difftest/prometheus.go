package difftest

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Prometheus is Prometheus' storage and engine with its own default options, and the
// seconds of a history.
type Prometheus struct {
	queryable storage.Queryable
	engine    *promql.Engine
	parser    parser.Parser
}

// Queryable is its storage.
func (p *Prometheus) Queryable() storage.Queryable { return p.queryable }

// lost is how long the agent shows a value without a newer one: one reading may be lost.
// Prometheus marks a series as stale when a scrape of its target fails.
const lost = 2500 * time.Millisecond

// NewPrometheus returns a Prometheus that kept a history.
func NewPrometheus(tb testing.TB, h *History) *Prometheus {
	tb.Helper()
	o := tsdb.DefaultOptions()
	o.RetentionDuration = (365 * 24 * time.Hour).Milliseconds()
	db, err := tsdb.Open(tb.TempDir(), nil, nil, o, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	w := writer{tb: tb, db: db, refs: make([]storage.SeriesRef, len(h.series)), history: h}
	w.all()
	p := parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
	return &Prometheus{queryable: db, parser: p, engine: NewEngine(p)}
}

// NewEngine returns an engine with the options that Prometheus has by default. Functions
// that it calls experimental are on, as they are here.
func NewEngine(p parser.Parser) *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{
		MaxSamples:               50_000_000,
		Timeout:                  2 * time.Minute,
		LookbackDelta:            5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   p,
	})
}

// writer appends a history to a database.
type writer struct {
	tb      testing.TB
	db      *tsdb.DB
	refs    []storage.SeriesRef
	history *History
	app     storage.Appender
}

func (w *writer) all() {
	var before second
	for i, now := range w.history.seconds {
		if w.app == nil {
			w.app = w.db.Appender(context.Background())
		}
		switch {
		case i == 0:
		case now.at.Sub(before.at) > lost:
			w.endAll(before)
		default:
			now.ended(before.values, func(i int) { w.append(i, now.at, math.Float64frombits(value.StaleNaN)) })
		}
		for i, v := range now.values {
			if !math.IsNaN(v) {
				w.append(i, now.at, v)
			}
		}
		before = now
		if i%1000 == 999 {
			w.commit()
		}
	}
	w.endAll(before)
	w.commit()
}

// endAll marks all series of a second as stale, as if the next scrapes had failed.
func (w *writer) endAll(last second) {
	for i, v := range last.values {
		if !math.IsNaN(v) {
			w.append(i, last.at.Add(lost), math.Float64frombits(value.StaleNaN))
		}
	}
}

func (w *writer) append(i int, at time.Time, v float64) {
	var err error
	if w.refs[i], err = w.app.Append(w.refs[i], w.history.series[i].labels, at.UnixMilli(), v); err != nil {
		w.tb.Fatalf("append %s at %s: %v", w.history.series[i].labels, at, err)
	}
}

func (w *writer) commit() {
	if w.app == nil {
		return
	}
	if err := w.app.Commit(); err != nil {
		w.tb.Fatal(err)
	}
	w.app = nil
}

// ask evaluates an expression; the step of an instant is zero.
func (p *Prometheus) ask(ctx context.Context, text string, q question) (answers, error) {
	var asked promql.Query
	var err error
	if q.step == 0 {
		asked, err = p.engine.NewInstantQuery(ctx, p.queryable, nil, text, q.start)
	} else {
		asked, err = p.engine.NewRangeQuery(ctx, p.queryable, nil, text, q.start, q.end, q.step)
	}
	if err != nil {
		return answers{}, err
	}
	defer asked.Close()
	r := asked.Exec(ctx)
	if r.Err != nil {
		return answers{}, r.Err
	}
	return newAnswers(q, r.Value, r.Warnings), nil
}
