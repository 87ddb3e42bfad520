// Package promql is the Prometheus HTTP API over the tiers, for Grafana, promtool
// and other Prometheus clients.
//
// Responses and errors are identical to those of Prometheus, plus the header
// X-Sysotel-Tier. The package stores and evaluates nothing: a Querier does. Read
// handler.go first for the paths, then encode.go for the responses.
package promql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/alerting"
	"sysotel/agent/query"
)

// Querier evaluates queries. Its errors are of type *query.Error.
type Querier interface {
	Instant(ctx context.Context, expr string, at time.Time) (*query.Result, error)
	Range(ctx context.Context, expr string, start, end time.Time, step time.Duration) (*query.Result, error)
	Format(ctx context.Context, expr string) (string, error)
	Parsed(ctx context.Context, expr string, f func(parser.Expr) error) error
	Features() map[string]map[string]bool
	Large(ctx context.Context) (done func(), err error)
	Matchers(ctx context.Context, selectors []string) ([][]*labels.Matcher, error)
	Series(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]labels.Labels, annotations.Annotations, error)
	LabelNames(ctx context.Context, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]string, annotations.Annotations, error)
	LabelValues(ctx context.Context, name string, sets [][]*labels.Matcher, start, end time.Time, limit int) ([]string, annotations.Annotations, error)
}

var _ Querier = (*query.Querier)(nil)

// Metadata describes a metric.
type Metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// Config has the dependencies of the API.
type Config struct {
	Querier Querier
	// Metadata returns the known metrics by Prometheus name; may be nil. The map must
	// not be changed.
	Metadata func() map[string]Metadata
	// Rules returns the evaluated rules; may be nil.
	Rules func() []alerting.PrometheusGroup
	// Settings returns the options of the configuration; may be nil.
	Settings func() []Setting
	// Program describes the process; may be nil.
	Program func() Program
	// Storage is the embedded history; may be nil.
	Storage Storage
	// Version is the version of the agent, for the build information.
	Version string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// TierHeader lists the tiers of a result in order of time: "1s", or
// "1m;from=1763000000;to=1763003600, 1s;from=1763003660;to=1763007200" with the
// first and the last step of each in Unix seconds. Tiers read from the local cache
// because VictoriaMetrics does not respond end in ";source=local-cache"; the
// warnings say why.
const TierHeader = "X-Sysotel-Tier"

// maxBody is the maximum size of a form: an expression of 256 KiB, percent-encoded.
// Only one form larger than largeBody, or of unknown size, is in memory at once.
const (
	maxBody   = 1 << 20
	largeBody = 32 << 10
)

// api is the handler.
type api struct {
	config Config
	mux    *http.ServeMux
}

// New returns the handler of /api/v1/. Mount it with http.StripPrefix where the
// API has a prefix.
func New(config Config) http.Handler {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Metadata == nil {
		config.Metadata = func() map[string]Metadata { return nil }
	}
	if config.Rules == nil {
		config.Rules = func() []alerting.PrometheusGroup { return nil }
	}
	if config.Settings == nil {
		config.Settings = func() []Setting { return nil }
	}
	if config.Program == nil {
		config.Program = func() Program { return Program{Valid: true} }
	}
	if config.Storage == nil {
		config.Storage = noStorage{}
	}
	a := &api{config: config, mux: http.NewServeMux()}
	a.route()
	return a.mux
}

// route adds all paths.
func (a *api) route() {
	form := func(path string, handler func(http.ResponseWriter, *http.Request) error) {
		a.mux.HandleFunc("GET "+path, a.handle(handler))
		a.mux.HandleFunc("POST "+path, a.handle(handler))
	}
	form("/api/v1/query", a.query)
	form("/api/v1/query_range", a.queryRange)
	form("/api/v1/series", a.series)
	form("/api/v1/labels", a.labelNames)
	form("/api/v1/format_query", a.formatQuery)
	form("/api/v1/parse_query", a.parseQuery)
	form("/api/v1/query_exemplars", a.exemplars)
	get := func(path string, handler func(http.ResponseWriter, *http.Request) error) {
		a.mux.HandleFunc("GET /api/v1/"+path, a.handle(handler))
	}
	get("label/{name}/values", a.labelValues)
	get("metadata", a.metadata)
	get("targets/metadata", a.targetMetadata)
	get("rules", a.rules)
	get("alerts", a.alerts)
	get("features", a.features)
	get("status/buildinfo", a.buildInfo)
	get("status/runtimeinfo", a.runtimeInfo)
	get("status/config", a.settings)
	get("status/flags", a.flags)
	get("status/tsdb", a.storage)
	get("status/tsdb/blocks", a.blocks)
	for path, text := range constant {
		get(path, always(text))
	}
	for path, why := range refused {
		method, path, _ := strings.Cut(path, " ")
		a.mux.HandleFunc(method+" /api/v1/"+path, a.handle(refuse(why)))
	}
	a.mux.HandleFunc("/", a.handle(func(_ http.ResponseWriter, r *http.Request) error {
		return &query.Error{Type: notFound, Err: errors.New("no such path: " + r.URL.Path)}
	}))
}

// notFound is Prometheus' error type for unknown paths and objects.
const notFound query.ErrorType = "not_found"

// status is the HTTP status of an error type, as in Prometheus.
func status(kind query.ErrorType) int {
	switch kind {
	case query.BadData:
		return http.StatusBadRequest
	case query.Execution:
		return http.StatusUnprocessableEntity
	case query.Canceled:
		return 499 // The client has disconnected.
	case query.Timeout, query.Unavailable:
		return http.StatusServiceUnavailable
	case notFound:
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// handle parses the form and writes the handler's error.
func (a *api) handle(handler func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 || r.ContentLength > largeBody {
			done, err := a.config.Querier.Large(r.Context())
			if err != nil {
				a.fail(w, r, err)
				return
			}
			defer done()
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		err := r.ParseForm()
		if err != nil {
			err = badParameter("form", err)
		} else {
			err = handler(w, r)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	}
}

// fail writes an error response.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	kind := query.Internal
	if known, ok := errors.AsType[*query.Error](err); ok {
		kind = known.Type
	}
	text := err.Error()
	if kind == query.Internal {
		// Internal errors are only logged: they may contain file names.
		a.config.Log.ErrorContext(r.Context(), "query failed", "path", r.URL.Path, "err", err)
		text = "Internal error; see the agent log."
	}
	body, err := json.Marshal(struct {
		Status    string          `json:"status"`
		ErrorType query.ErrorType `json:"errorType"`
		Error     string          `json:"error"`
	}{"error", kind, text})
	if err != nil { // Strings always marshal.
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if kind == query.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status(kind))
	_, _ = w.Write(body) // The client may have disconnected.
}

// query handles an instant query.
func (a *api) query(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	at, err := timeOf(r, "time", a.config.Now())
	if err != nil {
		return err
	}
	ctx, cancel, err := requestContext(r)
	if err != nil {
		return err
	}
	defer cancel()
	result, err := a.config.Querier.Instant(ctx, r.FormValue("query"), at)
	if err != nil {
		return badQuery(err)
	}
	defer result.Close()
	return a.write(w, r, result, limit)
}

// queryRange handles a range query.
func (a *api) queryRange(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	start, err := parseTime(r.FormValue("start"))
	if err != nil {
		return badParameter("start", err)
	}
	end, err := parseTime(r.FormValue("end"))
	if err != nil {
		return badParameter("end", err)
	}
	if end.Before(start) {
		return badParameter("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := parseDuration(r.FormValue("step"))
	if err != nil {
		return badParameter("step", err)
	}
	if step <= 0 {
		return badParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	ctx, cancel, err := requestContext(r)
	if err != nil {
		return err
	}
	defer cancel()
	result, err := a.config.Querier.Range(ctx, r.FormValue("query"), start, end, step)
	if err != nil {
		return badQuery(err)
	}
	defer result.Close()
	return a.write(w, r, result, limit)
}

// write writes the result of a query.
func (a *api) write(w http.ResponseWriter, r *http.Request, result *query.Result, limit int) error {
	value, cut := truncate(result.Value, limit)
	if cut {
		result.Warnings.Add(errTruncated)
	}
	var stats []byte
	if kind := r.FormValue("stats"); kind != "" {
		var err error
		if stats, err = json.Marshal(result.Stats); err != nil {
			return err
		}
		if kind != "true" && kind != "all" {
			result.Warnings.Add(fmt.Errorf("value %q for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"", kind))
		}
	}
	if len(result.Tiers) > 0 {
		w.Header().Set(TierHeader, tierHeader(result.Tiers))
	}
	e := newEncoder(w)
	defer e.free()
	e.value(value, stats)
	e.end(result.Warnings, r.FormValue("query"))
	return nil
}

// tierHeader formats the spans of a result.
func tierHeader(spans []query.Span) string {
	if len(spans) == 1 {
		return spans[0].Tier + source(spans[0])
	}
	var b strings.Builder
	for i, span := range spans {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(span.Tier)
		b.WriteString(";from=")
		b.WriteString(seconds(span.From))
		b.WriteString(";to=")
		b.WriteString(seconds(span.To))
		b.WriteString(source(span))
	}
	return b.String()
}

// source is the suffix of a tier if VictoriaMetrics did not respond.
func source(span query.Span) string {
	if span.Cached {
		return ";source=local-cache"
	}
	return ""
}

// seconds formats a time as Unix seconds.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
}
