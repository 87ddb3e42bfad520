package query

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/store"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"
)

// fakeTier is a tier whose properties a test can set.
type fakeTier struct {
	name       string
	resolution time.Duration
	oldest     time.Time
	queryable  storage.Queryable
}

func (t *fakeTier) Name() string                 { return t.name }
func (t *fakeTier) Resolution() time.Duration    { return t.resolution }
func (t *fakeTier) Oldest() time.Time            { return t.oldest }
func (t *fakeTier) Queryable() storage.Queryable { return t.queryable }

// fourTiers are the default tiers without data, each as old as its retention.
func fourTiers(now time.Time) []*fakeTier {
	var tiers []*fakeTier
	for _, c := range store.Defaults().Tiers {
		tiers = append(tiers, &fakeTier{
			name: store.TierName(c.Resolution), resolution: c.Resolution, oldest: now.Add(-c.Retention),
			queryable: storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return storage.NoopQuerier(), nil }),
		})
	}
	return tiers
}

// fakeNames is a table of metrics: X has X_min and X_max, X_total has X_rate_min
// and X_rate_max, and names that start with brief are brief.
type fakeNames struct{}

func (fakeNames) Lookup(name string) (store.Rollup, bool) {
	for _, raw := range []string{"g", "tricky_max"} {
		switch name {
		case raw + "_min":
			return store.Rollup{Raw: raw, Extreme: store.Min}, true
		case raw + "_max":
			return store.Rollup{Raw: raw, Extreme: store.Max}, true
		}
	}
	switch name {
	case "c_rate_min":
		return store.Rollup{Raw: "c_total", Extreme: store.Min, Rate: true}, true
	case "c_rate_max":
		return store.Rollup{Raw: "c_total", Extreme: store.Max, Rate: true}, true
	}
	return store.Rollup{}, false
}

func (fakeNames) Names(raw string) (minName, maxName string, kind store.Kind, ok bool) {
	switch raw {
	case "g", "tricky_max":
		return raw + "_min", raw + "_max", store.Gauge, true
	case "c_total":
		return "c_rate_min", "c_rate_max", store.Counter, true
	}
	return "", "", store.Gauge, false
}

func (fakeNames) Brief(raw string) bool       { return strings.HasPrefix(raw, "brief") }
func (fakeNames) Collector(raw string) string { return "fam" }

func querierOn[T Source](tiers ...T) *Querier {
	sources := Sources(tiers)
	return NewQuerier(Config{
		Tiers: func() []Source { return sources }, Names: fakeNames{}, Interval: time.Second, Limits: DefaultLimits(),
	})
}

// samples is a series for a test storage: NaN is a gap.
type samples struct {
	labels labels.Labels
	at     map[int64]float64
}

// storageOf holds series; times are in milliseconds.
func storageOf(t testing.TB, all ...samples) storage.Queryable {
	t.Helper()
	s := teststorage.New(t)
	app := s.Appender(t.Context())
	for _, one := range all {
		times := make([]int64, 0, len(one.at))
		for at := range one.at {
			times = append(times, at)
		}
		slices.Sort(times)
		for _, at := range times {
			if _, err := app.Append(0, one.labels, at, one.at[at]); err != nil {
				t.Fatalf("append %s at %d: %v", one.labels, at, err)
			}
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return s
}

func named(name string, more ...string) labels.Labels {
	return labels.FromStrings(append([]string{model.MetricNameLabel, name}, more...)...)
}

func parse(t testing.TB, text string) parser.Expr {
	t.Helper()
	expr, err := NewParser().ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return expr
}

// written formats a value for comparison.
func written(v parser.Value) string {
	var b strings.Builder
	switch v := v.(type) {
	case promql.Matrix:
		for _, s := range v {
			fmt.Fprintf(&b, "%s", s.Metric)
			for _, p := range s.Floats {
				fmt.Fprintf(&b, " %v@%d", p.F, p.T)
			}
			b.WriteByte('\n')
		}
	case promql.Vector:
		for _, s := range v {
			fmt.Fprintf(&b, "%s %v@%d\n", s.Metric, s.F, s.T)
		}
	default:
		b.WriteString(v.String())
	}
	return b.String()
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b)) }

func asQueryError(err error, known **Error) bool { return errors.As(err, known) }
