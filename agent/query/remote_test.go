package query_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// down is a tier that does not respond while err is set.
type down struct {
	query.Source
	store *store.Store
	err   error
}

var _ query.Remote = (*down)(nil)

func (a *down) Down() error { return a.err }

func (a *down) Latency() time.Duration { return 10 * time.Second }

func (a *down) Queryable() storage.Queryable {
	return storage.QueryableFunc(func(mint, maxt int64) (storage.Querier, error) {
		inner, err := a.Source.Queryable().Querier(mint, maxt)
		return &awayQuerier{inner, a}, err
	})
}

type awayQuerier struct {
	storage.Querier
	a *down
}

func (q *awayQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if q.a.err != nil {
		return storage.ErrSeriesSet(q.a.err)
	}
	return q.Querier.Select(ctx, sorted, hints, matchers...)
}

func (q *awayQuerier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	if q.a.err != nil {
		return nil, nil, q.a.err
	}
	return q.Querier.LabelValues(ctx, name, hints, matchers...)
}

// cachedQuerier queries a remote tier with two hosts, with an embedded one of one
// host as fallback.
func cachedQuerier(t *testing.T) (*down, *query.Querier, time.Time) {
	t.Helper()
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	hold := func(value float64, hosts ...string) *store.Store {
		s := storetest.OpenStore(t, store.Options{Dir: t.TempDir(), Tiers: []store.TierConfig{{Resolution: time.Second, Retention: time.Hour}}})
		reading := store.CollectorReading{Collector: "f"}
		for _, host := range hosts {
			series := &store.Series{Labels: labels.FromStrings("__name__", "g", "host_name", host)}
			reading.Samples = append(reading.Samples, store.Sample{Series: series, Value: value})
		}
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{reading}}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	kept := hold(1, "here", "there")
	remote := &down{Source: kept.Tiers()[0], store: kept}
	local := hold(2, "here")
	recorded := store.CollectorReading{Collector: store.Rules, Samples: []store.Sample{{Series: &store.Series{Labels: labels.FromStrings("__name__", "a:b")}, Value: 3}}}
	if err := local.Append(store.Reading{Time: at.Add(time.Second), Collectors: []store.CollectorReading{recorded}}); err != nil {
		t.Fatal(err)
	}
	source := &query.Cached{Remote: remote, Local: local.Tiers()[0], Host: "here", Here: func(metric string) bool { return query.OfRules(local.Rollups(), metric) }}
	return remote, query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return []query.Source{source} }, Interval: time.Second, Limits: query.DefaultLimits(),
	}), at
}

// TestCostlyQuestions: what the server finds too large or too slow about this host comes
// from the local cache; asked of all hosts it is an error, not this host's answer.
func TestCostlyQuestions(t *testing.T) {
	remote, q, at := cachedQuerier(t)
	remote.err = &query.Error{Type: query.Execution, Err: fmt.Errorf("%w: status 422", query.ErrCostly)}
	result, err := q.Instant(t.Context(), `g{host_name="here"}`, at.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Value.String(); !strings.HasPrefix(got, `{__name__="g", host_name="here"} => 2`) || len(result.Warnings) != 1 {
		t.Errorf("%s, %v", got, result.Warnings)
	}
	result.Close()
	for _, text := range []string{"g", `g{host_name="there"}`, `g{host_name=~"here"}`, `count(g)`} {
		var failed *query.Error
		if _, err := q.Instant(t.Context(), text, at.Add(time.Second)); !errors.As(err, &failed) || failed.Type != query.Execution || !errors.Is(err, query.ErrCostly) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRecordedSeriesAreHere: what rules make is not pushed, so the embedded tier answers.
func TestRecordedSeriesAreHere(t *testing.T) {
	_, q, at := cachedQuerier(t)
	for text, want := range map[string]string{"a:b": `{__name__="a:b"} => 3`, "max_over_time(a:b[1m])": "{} => 3", "g": `{__name__="g", host_name="here"} => 1`} {
		result, err := q.Instant(t.Context(), text, at.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Value.String(); !strings.HasPrefix(got, want) || len(result.Warnings) > 0 {
			t.Errorf("%s: %s, %v", text, got, result.Warnings)
		}
		result.Close()
	}
}

// TestRecordedSeriesAreFound: what rules make is found by patterns and by labels, too, beside
// what the remote tier has.
func TestRecordedSeriesAreFound(t *testing.T) {
	remote, q, at := cachedQuerier(t)
	now := at.Add(time.Second)
	for text, want := range map[string]string{
		`sort({__name__=~"a:.*|g"})`: "[1 1 3]", `{__name__=~"a:.*"}`: "[3]", `{__name__=~"a:b|g",host_name="there"}`: "[1]",
		`{__name__!="g",__name__=~".+",family!~".+"}`: "[3]", `sort(max_over_time({__name__=~"a:.*|g",host_name!="there"}[1m]))`: "[1 3]",
	} {
		result, err := q.Instant(t.Context(), text, now)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var got []float64
		for _, sample := range result.Value.(promql.Vector) {
			got = append(got, sample.F)
		}
		if fmt.Sprint(got) != want || len(result.Warnings) > 0 {
			t.Errorf("%s: %v, %v; want %s", text, got, result.Warnings, want)
		}
		result.Close()
	}
	is := func(kind labels.MatchType, name, value string) [][]*labels.Matcher {
		return [][]*labels.Matcher{{labels.MustNewMatcher(kind, name, value)}}
	}
	for _, c := range []struct {
		sets [][]*labels.Matcher
		want string
	}{
		{nil, "[a:b g sysotel_family_readings]"},
		{is(labels.MatchEqual, "__name__", "a:b"), "[a:b]"},
		{is(labels.MatchRegexp, "__name__", "a.*"), "[a:b]"},
		{is(labels.MatchRegexp, "__name__", "a.*|g"), "[a:b g]"},
		{is(labels.MatchEqual, "host_name", "there"), "[g]"},
	} {
		names, warnings, err := q.LabelValues(t.Context(), "__name__", c.sets, at, now, 0)
		if err != nil || fmt.Sprint(names) != c.want || len(warnings) > 0 {
			t.Errorf("the names of %v are %v, %v, %v; want %s", c.sets, names, warnings, err, c.want)
		}
		if c.sets == nil {
			continue
		}
		found := map[string]bool{}
		all, _, err := q.Series(t.Context(), c.sets, at, now, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			found[l.Get("__name__")] = true
		}
		if got := fmt.Sprint(slices.Sorted(maps.Keys(found))); got != c.want {
			t.Errorf("the series of %v are %s, want %s", c.sets, got, c.want)
		}
	}
	words, _, err := q.LabelNames(t.Context(), is(labels.MatchEqual, "__name__", "a:b"), at, now, 0)
	if err != nil || fmt.Sprint(words) != "[__name__]" {
		t.Errorf("the labels of a:b are %v, %v", words, err)
	}
	// All of it comes from the cache while the remote tier is down.
	remote.err = &query.Error{Type: query.Unavailable, Err: errors.New("it is gone")}
	names, warnings, err := q.LabelValues(t.Context(), "__name__", nil, at, now, 0)
	if err != nil || !slices.Contains(names, "a:b") || len(warnings) != 1 {
		t.Errorf("the names are %v, %v, %v", names, warnings, err)
	}
}

// TestLocalCacheStandsIn: while the remote tier is down, data of this host comes
// from the cache with a warning; data of other hosts is an error.
func TestLocalCacheStandsIn(t *testing.T) {
	remote, q, at := cachedQuerier(t)
	f := func(err error, expr, want string, cached bool) {
		t.Helper()
		remote.err = err
		a, got := q.Instant(t.Context(), expr, at)
		if got != nil {
			if want == "" || !strings.Contains(got.Error(), want) {
				t.Errorf("%s with %v: %v", expr, err, got)
			}
			return
		}
		defer a.Close()
		v, _ := a.Value.(promql.Vector)
		if text := v.String(); !strings.Contains(text, want) || (want == "" && text != "") {
			t.Errorf("%s with %v: %s, want %s", expr, err, text, want)
		}
		if len(a.Tiers) != 1 || a.Tiers[0].Cached != cached || (len(a.Warnings) > 0) != cached {
			t.Errorf("%s with %v: from %+v with the warnings %v", expr, err, a.Tiers, a.Warnings)
		}
	}
	gone := &query.Error{Type: query.Unavailable, Err: errors.New("it is gone")}
	f(nil, `sum(g)`, "2 @", false)
	f(nil, `g{host_name="there"}`, "1 @", false)
	f(gone, `g`, "2 @", true)
	f(gone, `g{host_name="here"}`, "2 @", true)
	f(gone, `g{host_name=~"here|there"}`, "2 @", true)
	f(gone, `g{host_name="there"}`, "it is gone; the local cache has data of here only", false)
	f(gone, `g{host_name="here"} or g{host_name="there"}`, "it is gone; the local cache has data of here only", false)
	// An error of the query itself has no fallback.
	f(&query.Error{Type: query.Execution, Err: errors.New("too much")}, `g{host_name="here"}`, "too much", false)
	f(nil, `g{host_name="here"}`, "1 @", false)
}

func TestLocalCacheInSeriesAndWords(t *testing.T) {
	remote, q, at := cachedQuerier(t)
	remote.err = &query.Error{Type: query.Unavailable, Err: errors.New("it is gone")}
	name := labels.MustNewMatcher(labels.MatchEqual, "__name__", "g")
	r, err := q.Select(t.Context(), query.SeriesQuery{Matchers: []*labels.Matcher{name}, Start: at.Add(-time.Second), End: at, Step: time.Second, Avg: true})
	if err != nil || len(r.Series) != 1 || len(r.Tiers) != 1 || !r.Tiers[0].Cached || len(r.Warnings) != 1 {
		t.Errorf("%+v, %v; want one series from the local cache", r, err)
	}
	hosts, warnings, err := q.LabelValues(t.Context(), "host_name", nil, at.Add(-time.Second), at, 0)
	if err != nil || len(hosts) != 1 || len(warnings) != 1 {
		t.Errorf("the hosts are %v with the warnings %v, %v", hosts, warnings, err)
	}
	remote.err = nil
	hosts, warnings, err = q.LabelValues(t.Context(), "host_name", nil, at.Add(-time.Second), at, 0)
	if err != nil || len(hosts) != 2 || len(warnings) != 0 {
		t.Errorf("the hosts are %v with the warnings %v, %v", hosts, warnings, err)
	}
}

// TestSamplesUnderWay: samples that have not arrived yet are no gap, and earlier
// steps are evaluated as on an embedded tier.
func TestSamplesUnderWay(t *testing.T) {
	remote, q, at := cachedQuerier(t)
	remote.err = nil
	points := func(start, end time.Time) int {
		t.Helper()
		a, err := q.Range(t.Context(), `g{host_name="here"}`, start, end, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		m, _ := a.Value.(promql.Matrix)
		if len(a.Tiers) != 1 {
			t.Errorf("it is answered from %+v", a.Tiers)
		}
		return m.TotalSamples()
	}
	// The sample is a minute old, so it is valid for two more steps.
	if n := points(at, at.Add(10*time.Second)); n != 3 {
		t.Errorf("a past sample stands for %d steps, want 3", n)
	}
	now := time.Now().Truncate(time.Second)
	late := now.Add(-8 * time.Second)
	reading := store.CollectorReading{Collector: "f", Samples: []store.Sample{{Series: &store.Series{Labels: labels.FromStrings("__name__", "g", "host_name", "here")}, Value: 1}}}
	if err := remote.store.Append(store.Reading{Time: late, Collectors: []store.CollectorReading{reading}}); err != nil {
		t.Fatal(err)
	}
	if n := points(late, now); n != 9 {
		t.Errorf("a sample of eight seconds ago stands for %d steps, want 9", n)
	}
}
