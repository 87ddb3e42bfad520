package promql

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"sysotel/agent/query"
)

// leftOut are the skipped scripts with their reasons.
var leftOut = map[string]string{
	"name_label_dropping.test": "names that are dropped last, a feature flag of Prometheus, off by default and here",
	"native_histograms.test":   "native histograms: JSON has their buckets, but not the schema that the script compares",
	"extended_vectors.test":    "experimental syntax: anchored and smoothed, off in Prometheus by default and here",
	"fill-modifier.test":       "experimental syntax: fill, off in Prometheus by default and here",
	"start_timestamps.test":    "start timestamps, a feature flag of Prometheus; the tiers keep none",
	"type_and_unit.test":       "labels __type__ and __unit__, a feature flag of Prometheus; the tiers have none",
}

// oneTier is the storage of a script as the only tier. A resolution of 1 ms is
// never too coarse, and collectors that read every 2 minutes give the look-back of
// 5 minutes that the scripts expect.
type oneTier struct{ queryable storage.Queryable }

func (oneTier) Name() string                   { return "script" }
func (oneTier) Resolution() time.Duration      { return time.Millisecond }
func (oneTier) Oldest() time.Time              { return time.UnixMilli(-1 << 40) }
func (t oneTier) Queryable() storage.Queryable { return t.queryable }

func querierOn(q storage.Queryable) *query.Querier {
	return query.NewQuerier(query.Config{
		Tiers:    func() []query.Source { return []query.Source{oneTier{q}} },
		Interval: 2 * time.Minute,
		Limits:   query.DefaultLimits(),
	})
}

func handlerOn(q storage.Queryable) http.Handler {
	return New(Config{Querier: querierOn(q), Version: "test", Log: slog.New(slog.DiscardHandler)})
}

// TestPromQLScripts runs Prometheus' own scripts against the API.
func TestPromQLScripts(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatalf("find Prometheus' scripts: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "promql", "promqltest", "testdata", "*.test"))
	if err != nil || len(files) < 20 {
		t.Fatalf("found %d scripts: %v", len(files), err)
	}
	for name := range leftOut {
		if !slices.ContainsFunc(files, func(f string) bool { return filepath.Base(f) == name }) {
			t.Errorf("script %s is left out, but there is none of that name", name)
		}
	}
	run, dropped := 0, 0
	for _, file := range files {
		name := filepath.Base(file)
		if why, ok := leftOut[name]; ok {
			t.Logf("%s is left out: %s", name, why)
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Functions name the metric with the flag of name_label_dropping.test only.
		script, kept, without := withoutHistograms(strings.ReplaceAll(string(text), ` for metric name "series" (`, " ("))
		run, dropped = run+kept, dropped+without
		t.Run(name, func(t *testing.T) { promqltest.RunTest(t, script, &httpEngine{}) })
	}
	t.Logf("%d evaluations run, %d left out because they expect native histograms", run, dropped)
	if run < 1000 {
		t.Errorf("only %d evaluations were run", run)
	}
}

// withoutHistograms drops the evaluations that expect a native histogram, for
// the reason that native_histograms.test is left out.
func withoutHistograms(script string) (rest string, kept, dropped int) {
	var out, block []string
	isEval, histogram := false, false
	end := func() {
		switch {
		case isEval && histogram:
			dropped++
		case isEval:
			kept++
			fallthrough
		default:
			out = append(out, block...)
		}
		block, isEval, histogram = nil, false, false
	}
	for line := range strings.Lines(script) {
		trimmed := strings.TrimSpace(line)
		indented := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if !indented || trimmed == "" {
			end()
		}
		if strings.HasPrefix(line, "eval") {
			isEval = true
		} else if isEval && strings.Contains(line, "{{") {
			histogram = true
		}
		block = append(block, line)
	}
	end()
	return strings.Join(out, ""), kept, dropped
}

// httpEngine queries the API instead of an engine.
type httpEngine struct{}

func (e *httpEngine) NewInstantQuery(_ context.Context, q storage.Queryable, _ promql.QueryOpts, expr string, at time.Time) (promql.Query, error) {
	return &httpQuery{queryable: q, path: "/api/v1/query", form: url.Values{"query": {expr}, "time": {decimal(at)}}}, nil
}

func (e *httpEngine) NewRangeQuery(_ context.Context, q storage.Queryable, _ promql.QueryOpts, expr string, start, end time.Time, step time.Duration) (promql.Query, error) {
	return &httpQuery{queryable: q, path: "/api/v1/query_range", form: url.Values{
		"query": {expr}, "start": {decimal(start)}, "end": {decimal(end)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)},
	}}, nil
}

func decimal(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

type httpQuery struct {
	queryable storage.Queryable
	path      string
	form      url.Values
}

func (q *httpQuery) Close()                      {}
func (q *httpQuery) Statement() parser.Statement { return nil }
func (q *httpQuery) Stats() *stats.Statistics    { return nil }
func (q *httpQuery) Cancel()                     {}
func (q *httpQuery) String() string              { return q.form.Get("query") }

func (q *httpQuery) Exec(ctx context.Context) *promql.Result {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, q.path, strings.NewReader(q.form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	handlerOn(q.queryable).ServeHTTP(w, r)
	return decode(w.Body.Bytes())
}

// note is a warning or an info as text.
type note struct {
	text string
	kind error
}

func (n note) Error() string { return n.text }
func (n note) Unwrap() error { return n.kind }

// response is a response of the API.
type response struct {
	Status, ErrorType, Error string
	Data                     struct {
		ResultType string
		Result     json.RawMessage
	}
	Warnings, Infos []string
}

type seriesJSON struct {
	Metric map[string]string
	Value  pair
	Values []pair
}

type pair struct {
	t    int64
	text string
}

func (p *pair) UnmarshalJSON(b []byte) error {
	var t json.Number
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&[]any{&t, &p.text}); err != nil {
		return err
	}
	seconds, err := t.Float64()
	p.t = int64(math.Round(seconds * 1000))
	return err
}

func (p pair) float() float64 {
	v, err := strconv.ParseFloat(p.text, 64)
	if err != nil {
		panic(err)
	}
	return v
}

// decode converts a response of the API to an engine's result.
func decode(body []byte) *promql.Result {
	var r response
	if err := json.Unmarshal(body, &r); err != nil {
		return &promql.Result{Err: fmt.Errorf("%w in %.200s", err, body)}
	}
	if r.Status != "success" {
		return &promql.Result{Err: errors.New(strings.TrimPrefix(r.Error, `invalid parameter "query": `))}
	}
	result := &promql.Result{Warnings: annotations.Annotations{}}
	for _, text := range r.Warnings {
		result.Warnings.Add(note{text, annotations.PromQLWarning})
	}
	for _, text := range r.Infos {
		result.Warnings.Add(note{text, annotations.PromQLInfo})
	}
	var series []seriesJSON
	var one pair
	switch r.Data.ResultType {
	case "scalar", "string":
		result.Err = json.Unmarshal(r.Data.Result, &one)
	default:
		result.Err = json.Unmarshal(r.Data.Result, &series)
	}
	switch r.Data.ResultType {
	case "scalar":
		result.Value = promql.Scalar{T: one.t, V: one.float()}
	case "string":
		result.Value = promql.String{T: one.t, V: one.text}
	case "vector":
		v := promql.Vector{}
		for _, s := range series {
			v = append(v, promql.Sample{Metric: labels.FromMap(s.Metric), T: s.Value.t, F: s.Value.float()})
		}
		result.Value = v
	case "matrix":
		m := promql.Matrix{}
		for _, s := range series {
			points := make([]promql.FPoint, 0, len(s.Values))
			for _, p := range s.Values {
				points = append(points, promql.FPoint{T: p.t, F: p.float()})
			}
			m = append(m, promql.Series{Metric: labels.FromMap(s.Metric), Floats: points})
		}
		result.Value = m
	}
	return result
}
