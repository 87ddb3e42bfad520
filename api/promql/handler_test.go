package promql

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

const script = `
load 10s
	up{host_name="h",note="a\"b\\c\nd<é>"} 1 1 1 1 1 1 1
	cpu_total{host_name="h",cpu="0"} 0+10x6
	cpu_total{host_name="h",cpu="1"} 0+0.5x6
	odd{i="nan"} NaN NaN NaN NaN NaN NaN NaN
	odd{i="inf"} Inf Inf Inf Inf Inf Inf Inf
	odd{i="small"} 0.0000001 0.0000001 0.0000001 0.0000001 0.0000001 0.0000001 0.0000001
	odd{i="big"} 1e21 1e21 1e21 1e21 1e21 1e21 1e21
`

func ask(t *testing.T, h http.Handler, method, path string, form url.Values) (int, http.Header, string) {
	t.Helper()
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequestWithContext(t.Context(), method, path+"?"+form.Encode(), nil)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

// TestResponsesAreThoseOfPrometheus compares responses to the letter.
func TestResponsesAreThoseOfPrometheus(t *testing.T) {
	h := New(Config{
		Querier: querierOn(promqltest.LoadedStorage(t, script)),
		Metadata: func() map[string]Metadata {
			return map[string]Metadata{
				"up":        {Type: "gauge", Help: "Whether \"it\" is up."},
				"cpu_total": {Type: "counter", Help: "Time.", Unit: "s"},
			}
		},
		Version: "1.2.3", Now: func() time.Time { return time.UnixMilli(20_500) }, Log: slog.New(slog.DiscardHandler),
	})
	f := func(path, form, want string) {
		t.Helper()
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		methods := []string{http.MethodGet, http.MethodPost}
		if strings.Contains(path, "label/") || strings.Contains(path, "metadata") || strings.Contains(path, "status") {
			methods = methods[:1]
		}
		for _, method := range methods {
			code, header, body := ask(t, h, method, "/api/v1/"+path, values)
			if code != http.StatusOK || body != want {
				t.Errorf("%s %s?%s: %d\n%s\nwant\n%s", method, path, form, code, body, want)
			}
			if got := header.Get("Content-Type"); got != "application/json" {
				t.Errorf("%s has the type %q", path, got)
			}
		}
	}
	const ok = `{"status":"success","data":`
	f("query", "query=1%2B1&time=1.5", ok+`{"resultType":"scalar","result":[1.500,"2"]}}`)
	f("query", `query="a<b"&time=-1.005`, ok+`{"resultType":"string","result":[-1.005,"a<b"]}}`)
	f("query", "query=up", ok+`{"resultType":"vector","result":[{"metric":{"__name__":"up","host_name":"h","note":"a\"b\\c\nd<é>"},"value":[20.500,"1"]}]}}`)
	f("query", "query=nothing&time=1970-01-01T00:00:20Z", ok+`{"resultType":"vector","result":[]}}`)
	f("query", "query=cpu_total[20s]&time=20&limit=1", ok+`{"resultType":"matrix","result":[{"metric":{"__name__":"cpu_total","cpu":"0","host_name":"h"},"values":[[10,"10"],[20,"20"]]}]},"warnings":["results truncated due to limit"]}`)
	f("query", "query=sort(odd)&time=20", ok+`{"resultType":"vector","result":[`+
		`{"metric":{"__name__":"odd","i":"small"},"value":[20,"1e-07"]},{"metric":{"__name__":"odd","i":"big"},"value":[20,"1e+21"]},`+
		`{"metric":{"__name__":"odd","i":"inf"},"value":[20,"+Inf"]},{"metric":{"__name__":"odd","i":"nan"},"value":[20,"NaN"]}]}}`)
	f("query_range", "query=rate(cpu_total[20s])&start=20&end=40&step=20", ok+`{"resultType":"matrix","result":[`+
		`{"metric":{"cpu":"0","host_name":"h"},"values":[[20,"1"],[40,"1"]]},{"metric":{"cpu":"1","host_name":"h"},"values":[[20,"0.05"],[40,"0.05"]]}]}}`)
	f("query_range", "query=rate(up[20s])&start=20&end=20&step=1m", ok+`{"resultType":"matrix","result":[{"metric":{"host_name":"h","note":"a\"b\\c\nd<é>"},"values":[[20,"0"]]}]},"infos":["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (1:6)"]}`)
	f("query", "query=quantile(2, up)", ok+`{"resultType":"vector","result":[{"metric":{},"value":[20.500,"+Inf"]}]},"warnings":["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]}`)
	f("series", "match[]=cpu_total&match[]=up&start=0&end=60", ok+`[{"__name__":"cpu_total","cpu":"0","host_name":"h"},{"__name__":"cpu_total","cpu":"1","host_name":"h"},{"__name__":"up","host_name":"h","note":"a\"b\\c\nd<é>"}]}`)
	f("series", "match[]=cpu_total&limit=1", ok+`[{"__name__":"cpu_total","cpu":"0","host_name":"h"}],"warnings":["results truncated due to limit"]}`)
	f("series", "match[]=nothing", ok+`[]}`)
	f("labels", "", ok+`["__name__","cpu","host_name","i","note"]}`)
	f("labels", "match[]=cpu_total", ok+`["__name__","cpu","host_name"]}`)
	f("label/__name__/values", "", ok+`["cpu_total","odd","up"]}`)
	f("label/cpu/values", "match[]=cpu_total&match[]=up", ok+`["0","1"]}`)
	f("label/i/values", "limit=2", ok+`["big","inf"],"warnings":["results truncated due to limit"]}`)
	f("label/none/values", "", ok+`[]}`)
	f("metadata", "", ok+`{"cpu_total":[{"type":"counter","unit":"s","help":"Time."}],"up":[{"type":"gauge","unit":"","help":"Whether \"it\" is up."}]}}`)
	f("metadata", "metric=up", ok+`{"up":[{"type":"gauge","unit":"","help":"Whether \"it\" is up."}]}}`)
	f("metadata", "limit=1", ok+`{"cpu_total":[{"type":"counter","unit":"s","help":"Time."}]}}`)
	f("metadata", "metric=none", ok+`{}}`)
	f("format_query", "query=sum(rate(cpu_total[5m]))by(cpu)", ok+`"sum by (cpu) (rate(cpu_total[5m]))"}`)
	code, _, body := ask(t, h, http.MethodGet, "/api/v1/status/buildinfo", nil)
	if code != http.StatusOK || !strings.HasPrefix(body, ok+`{"version":"3.15.0","revision":"1.2.3"`) {
		t.Errorf("build information %d %s", code, body)
	}
}

// TestVersionIsThatOfTheLibrary: 0.315.0 of the module is 3.15.0 of Prometheus.
func TestVersionIsThatOfTheLibrary(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatal(err)
	}
	digits := strings.Split(strings.TrimPrefix(strings.TrimSpace(string(out)), "v0."), ".")
	if want := digits[0][:1] + "." + digits[0][1:] + "." + digits[1]; prometheusVersion != want {
		t.Errorf("the build information says %s, the module is %s", prometheusVersion, want)
	}
}

// TestLongListsOfHosts: a form with hundreds of hosts, as dashboards send them for
// "all", is answered, also as a selector; a form beyond the limit is not.
func TestLongListsOfHosts(t *testing.T) {
	h := handlerOn(promqltest.LoadedStorage(t, script))
	hosts := `up{host_name=~"h` + strings.Repeat(`|web-frontend-1234\\.eu-central\\.example\\.org`, 2000) + `"}`
	for path, form := range map[string]url.Values{
		"query":       {"query": {hosts}, "time": {"30"}},
		"query_range": {"query": {hosts}, "start": {"0"}, "end": {"60"}, "step": {"10"}},
		"series":      {"match[]": {hosts}, "start": {"0"}, "end": {"60"}},
	} {
		if code, _, body := ask(t, h, http.MethodPost, "/api/v1/"+path, form); code != http.StatusOK || !strings.Contains(body, `"host_name":"h"`) {
			t.Errorf("%s: %d %.300s", path, code, body)
		}
	}
	if code, _, body := ask(t, h, http.MethodPost, "/api/v1/query", url.Values{"query": {hosts + " or " + hosts + " or " + hosts}}); code != http.StatusBadRequest || !strings.Contains(body, "at most 262144 are allowed") {
		t.Errorf("%d %.300s", code, body)
	}
}

// TestErrorsAreThoseOfPrometheus: status, type and text.
func TestErrorsAreThoseOfPrometheus(t *testing.T) {
	h := handlerOn(promqltest.LoadedStorage(t, script))
	f := func(path, form string, code int, kind, text string) {
		t.Helper()
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		got, header, body := ask(t, h, http.MethodGet, "/api/v1/"+path, values)
		if got != code || !strings.HasPrefix(body, `{"status":"error","errorType":"`+kind+`","error":"`) || !strings.Contains(body, text) {
			t.Errorf("%s?%.80s: %d %.300s, want %d %s %q", path, form, got, body, code, kind, text)
		}
		if header.Get("Content-Type") != "application/json" {
			t.Errorf("%s has the type %q", path, header.Get("Content-Type"))
		}
	}
	const bad, span = "bad_data", "&start=0&end=60&step=10"
	f("query", "query=sum(", 400, bad, `invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis`)
	f("query", "", 400, bad, "no expression found in input")
	f("query", "query=up%ff", 400, bad, "UTF-8")
	f("query", "query=up&time=soon", 400, bad, `cannot parse \"soon\" to a valid timestamp`)
	f("query", "query=up&time=NaN", 400, bad, "timestamp")
	f("query", "query=up&time=1e300", 400, bad, "timestamp")
	f("query", "query=up&time=1e14", 400, bad, "years")
	f("query", "query=up&timeout=x", 400, bad, "timeout")
	f("query", "query=up&limit=-1", 400, bad, "limit must be non-negative")
	f("query", "query=up&lookback_delta=2d", 400, bad, "must be at most 24h")
	f("query", "query=up%2Bignoring(note)up&timeout=0.000000001", 503, "timeout", "")
	f("query", "query=cpu_total*on(host_name)cpu_total&time=20", 422, "execution", "many-to-many matching not allowed")
	f("query_range", "query=up&start=60&end=0&step=10", 400, bad, "end timestamp must not be before start time")
	f("query_range", "query=up&start=0&end=60&step=0", 400, bad, "zero or negative query resolution step widths are not accepted")
	f("query_range", "query=up&start=0&end=60&step=NaN", 400, bad, "duration")
	f("query_range", "query=up&start=0&end=60&step=-1", 400, bad, "zero or negative")
	f("query_range", "query=up&start=0&end=60&step=1e-9", 400, bad, "at least 1ms")
	f("query_range", "query=up&start=0&end=1000000&step=1", 400, bad, "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
	f("query_range", "query=up&end=60&step=10", 400, bad, `invalid parameter \"start\"`)
	f("query_range", "query=up[1m]"+span, 400, bad, `invalid expression type \"range vector\" for range query, must be Scalar or instant Vector`)
	f("query_range", "query="+strings.Repeat("(", 300)+"up"+strings.Repeat(")", 300)+span, 400, bad, "nested")
	f("query_range", "query="+url.QueryEscape(strings.Repeat("up+", 9000)+"up")+span, 400, bad, "operators and parentheses")
	f("query_range", "query=max_over_time(up[1y:1s])"+span, 400, bad, "31536000 points")
	f("series", "", 400, bad, "no match[] parameter provided")
	f("series", "match[]={}", 400, bad, "match[] must contain at least one non-empty matcher")
	f("series", "match[]=up{", 400, bad, "parse error")
	f("series", "match[]=up&start=60&end=0", 400, bad, "before start")
	f("labels", "match[]=up%ff", 400, bad, "UTF-8")
	f("label/%ff/values", "", 400, bad, "invalid label name")
	f("metadata", "limit=x", 400, bad, "limit must be a number")
	f("format_query", "query=sum(", 400, bad, "parse error")
	f("nothing", "", 404, "not_found", "/api/v1/nothing")
	long := url.Values{"query": {strings.Repeat("x", maxBody)}}
	if code, _, body := ask(t, h, http.MethodPost, "/api/v1/query", long); code != 400 || !strings.Contains(body, "too large") {
		t.Errorf("a huge form: %d %.200s", code, body)
	}
}

// fixed always returns one error.
type fixed struct {
	Querier
	err error
}

func (f fixed) Instant(context.Context, string, time.Time) (*query.Result, error) { return nil, f.err }

func TestInnerErrorsStayInside(t *testing.T) {
	var log strings.Builder
	secret := &query.Error{Type: query.Internal, Err: errors.New("read /var/lib/sysotel/x: broken")}
	h := New(Config{Querier: fixed{err: secret}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	code, _, body := ask(t, h, http.MethodGet, "/api/v1/query", url.Values{"query": {"up"}})
	if code != 500 || strings.Contains(body, "/var") || !strings.Contains(log.String(), "/var/lib/sysotel/x") {
		t.Errorf("%d %s, log %s", code, body, log.String())
	}
	h = New(Config{Querier: fixed{err: &query.Error{Type: query.Unavailable, Err: store.ErrOpening}}, Log: slog.New(slog.DiscardHandler)})
	code, header, body := ask(t, h, http.MethodGet, "/api/v1/query", url.Values{"query": {"up"}})
	if code != 503 || header.Get("Retry-After") == "" || !strings.Contains(body, `"unavailable"`) {
		t.Errorf("a store that is not open: %d %v %s", code, header, body)
	}
}

// TestHeaderNamesTheTiers: one alone by its name, several with their spans.
func TestHeaderNamesTheTiers(t *testing.T) {
	loaded := promqltest.LoadedStorage(t, script)
	old := namedTier{"1m", time.Minute, time.UnixMilli(-1 << 40), loaded}
	fresh := namedTier{"1s", time.Second, time.Unix(30, 0), loaded}
	h := New(Config{Querier: query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return []query.Source{fresh, old} }, Interval: 10 * time.Second, Limits: query.DefaultLimits(),
	}), Log: slog.New(slog.DiscardHandler)})
	f := func(form, want string) {
		t.Helper()
		values, _ := url.ParseQuery(form)
		if _, header, body := ask(t, h, http.MethodGet, "/api/v1/query_range", values); header.Get(TierHeader) != want {
			t.Errorf("%s: tiers %q, want %q; %s", form, header.Get(TierHeader), want, body)
		}
	}
	f("query=up&start=0&end=70.5&step=10", "1m;from=0;to=50, 1s;from=60;to=70")
	f("query=up&start=60&end=70&step=2.5", "1s")
	f("query=up&start=0&end=60&step=60", "1m;from=0;to=0, 1s;from=60;to=60")
	f("query=up&start=0&end=20&step=10", "1m")
	f("query=1&start=0&end=60&step=60", "")
}

type namedTier struct {
	name       string
	resolution time.Duration
	oldest     time.Time
	queryable  storage.Queryable
}

func (t namedTier) Name() string                 { return t.name }
func (t namedTier) Resolution() time.Duration    { return t.resolution }
func (t namedTier) Oldest() time.Time            { return t.oldest }
func (t namedTier) Queryable() storage.Queryable { return t.queryable }

// TestHostileLabelsAreJSON: whatever a label contains, the response is JSON.
func TestHostileLabelsAreJSON(t *testing.T) {
	w := httptest.NewRecorder()
	e := newEncoder(w)
	e.text("a\xff\x00\x1b\u2028\"</script>")
	e.end(nil, "")
	if got, want := w.Body.String(), `{"status":"success","data":"a`+"\ufffd"+`\u0000\u001b`+"\u2028"+`\"</script>"}`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestLongResponsesAreStreamed: they are written in pieces, and a client that
// disconnects does no harm.
func TestLongResponsesAreStreamed(t *testing.T) {
	h := handlerOn(promqltest.LoadedStorage(t, script))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/query_range?query=vector(time())&start=0&end=10000&step=1", nil)
	w := &pieces{}
	h.ServeHTTP(w, r)
	if w.most > pieceSize+4<<10 || w.count < 3 {
		t.Errorf("%d pieces of up to %d bytes", w.count, w.most)
	}
	w = &pieces{err: io.ErrClosedPipe}
	h.ServeHTTP(w, r)
	if w.count != 1 {
		t.Errorf("%d pieces were written to a client that is gone", w.count)
	}
}

type pieces struct {
	count, most int
	err         error
	header      http.Header
}

func (p *pieces) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}
func (p *pieces) WriteHeader(int) {}
func (p *pieces) Write(b []byte) (int, error) {
	p.count++
	p.most = max(p.most, len(b))
	return len(b), p.err
}

func TestDurationsAndTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{"15": 15 * time.Second, "0.5": time.Second / 2, "5m": 5 * time.Minute, "1h30m": 90 * time.Minute} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "1e300", "NaN", "Inf"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
	for _, end := range []time.Time{minTime, maxTime} {
		if got, err := parseTime(end.Format(time.RFC3339Nano)); err != nil || !got.Equal(end) {
			t.Errorf("%s is %s, %v", end, got, err)
		}
	}
	if got, err := parseTime("1763000000.1234"); err != nil || math.Abs(float64(got.UnixNano())-1763000000.123e9) > 1 {
		t.Errorf("%s, %v", got, err)
	}
}
