package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/query"
	"sysotel/instruments"
)

// fakeHistory returns one series for each set of labels.
type fakeHistory struct {
	asked  []query.SeriesQuery
	answer func(query.SeriesQuery) (query.SeriesResult, error)
}

func (h *fakeHistory) Select(_ context.Context, q query.SeriesQuery) (query.SeriesResult, error) {
	h.asked = append(h.asked, q)
	if h.answer == nil {
		return query.SeriesResult{Step: time.Second}, nil
	}
	return h.answer(q)
}

// say formats the selector of a query.
func say(q query.SeriesQuery) string {
	var words []string
	for _, m := range q.Matchers {
		words = append(words, m.String())
	}
	return strings.Join(words, ",")
}

// testNames uses the OpenTelemetry names.
func testNames(c instruments.Conventions) SeriesNames {
	return SeriesNames{Conventions: c, Metric: func(m *instruments.Metric) string {
		if names := m.Names(c); len(names) > 0 {
			return names[0]
		}
		return ""
	}}
}

func withHistory(t testing.TB, h History) *Server {
	return newTestServer(t, ticked(), func(o *Options) { o.History, o.SeriesNames = h, testNames(instruments.Hostmetrics) })
}

const seriesPath = "/api/v1/metrics/"

func TestSeriesOfEveryQuantity(t *testing.T) {
	for _, c := range []instruments.Conventions{instruments.Hostmetrics, instruments.Semconv, instruments.Both} {
		answered := map[string]bool{}
		for _, family := range []string{"cpu", "memory", "disk", "network"} {
			h := &fakeHistory{answer: func(q query.SeriesQuery) (query.SeriesResult, error) {
				for _, m := range q.Matchers {
					if m.Type == labels.MatchEqual && m.Value == "*" {
						t.Errorf("%s asks for the label value *", say(q))
					}
				}
				return query.SeriesResult{Step: time.Second, Series: []query.SelectedSeries{{T: []int64{1000}, Avg: []float64{1}}}}, nil
			}}
			s := newTestServer(t, ticked(), func(o *Options) { o.History, o.SeriesNames = h, testNames(c) })
			w := ask(s, http.MethodGet, seriesPath+family, nil)
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", family, w.Code, w.Body)
			}
			validated(t, s, seriesPath+family, w.Body.Bytes())
			var answer Series
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			for _, row := range answer.Series {
				answered[row.Metric+" in "+row.Unit] = true
			}
		}
		for _, q := range instruments.Quantities() {
			if q.Metric != nil && q.Field == "" && !answered[q.Name+" in "+q.Unit] {
				t.Errorf("%s: %s is in no answer", c, q.Name)
			}
		}
	}
}

func TestSeriesAsksTheStore(t *testing.T) {
	const host = `host_name="server-01"`
	for target, want := range map[string][]string{
		"cpu?metric=cpu_usage_total":                              {`__name__="sysotel.cpu.usage",` + host},
		"cpu?metric=cpu_usage_per_core":                           {`__name__="sysotel.cpu.core.usage",` + host + `,cpu!=""`},
		"cpu?core=1":                                              {`__name__="sysotel.cpu.core.usage",` + host + `,cpu="cpu1"`, `__name__="system.cpu.frequency",` + host + `,cpu="cpu1"`},
		"cpu?metric=cpu_usage_per_core&core=cpu0&core=cpu11":      {`__name__="sysotel.cpu.core.usage",` + host + `,cpu=~"cpu0|cpu11"`},
		"memory?metric=memory_used":                               {`__name__="system.memory.usage",` + host + `,state="used"`},
		"disk?metric=disk_read_bytes":                             {`__name__="sysotel.disk.io.rate",` + host + `,direction="read",device=""`, `__name__="system.disk.io",` + host + `,device!="",direction="read" as rate`},
		"disk?metric=disk_percent&mountpoint=/&mountpoint=/a%2Bb": {`__name__="sysotel.disk.utilization",` + host + `,device!="",mountpoint=~"/|/a\\+b",type!=""`},
		"network?metric=net_errin,net_dropout&interface=eth0":     {`__name__="system.network.errors",` + host + `,device="eth0",direction="receive" as rate`, `__name__="system.network.dropped",` + host + `,device="eth0",direction="transmit" as rate`},
		"memory?metric=memory_total&metric=memory_total":          {`__name__="system.memory.limit",` + host},
	} {
		h := &fakeHistory{}
		if w := ask(withHistory(t, h), http.MethodGet, seriesPath+target, nil); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		var got []string
		for _, q := range h.asked {
			text := say(q)
			if q.AsRate {
				text += " as rate"
			}
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s asks for\n%q, want\n%q", target, got, want)
		}
	}
}

func TestSeriesTimesAndSteps(t *testing.T) {
	h := &fakeHistory{}
	s := withHistory(t, h)
	of := func(query string) query.SeriesQuery {
		t.Helper()
		h.asked = nil
		if w := ask(s, http.MethodGet, seriesPath+"memory?metric=swap_used&"+query, nil); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", query, w.Code, w.Body)
		}
		return h.asked[0]
	}
	q := of("")
	if ago := time.Since(q.End); ago < 0 || ago > time.Minute || q.End.Sub(q.Start) != time.Hour || q.Step != 0 || q.MaxPoints != 500 || !q.Avg || q.Min || q.Max {
		t.Errorf("by default it asks %+v", q)
	}
	q = of("start=2026-02-02T10:00:00%2B02:00&end=1770022800&step=1m&agg=max,min")
	if want := time.Date(2026, 2, 2, 8, 0, 0, 0, time.UTC); !q.Start.Equal(want) || !q.End.Equal(want.Add(time.Hour)) || q.Step != time.Minute || q.Avg || !q.Min || !q.Max {
		t.Errorf("%+v", q)
	}
	if q := of("start=2026-02-02T10:00:00+02:00&end=1770022800.25&agg=avg&agg=max"); q.End.Sub(q.Start) != time.Hour+250*time.Millisecond || !q.Avg || !q.Max {
		t.Errorf("%+v", q)
	}
	if q := of("start=-7d&end=-15m&step=60&host=server-01"); q.End.Sub(q.Start) != 7*24*time.Hour-15*time.Minute || q.Step != time.Minute {
		t.Errorf("%+v", q)
	}
	if q := of("start=-1w&end=now&max_points=11000"); q.MaxPoints != 11000 || q.Step != 0 {
		t.Errorf("%+v", q)
	}
}

// twoDisks returns two devices, one with a hostile name, from two tiers.
func twoDisks(query.SeriesQuery) (query.SeriesResult, error) {
	at := []int64{1_770_000_000_000, 1_770_000_060_000, 1_770_000_060_500}
	row := func(device string, scale float64) query.SelectedSeries {
		return query.SelectedSeries{
			Labels: labels.FromStrings("device", device), T: at,
			Avg: []float64{0.125 * scale, math.NaN(), 1e-7 * scale}, Min: []float64{0, math.NaN(), math.Inf(1)},
		}
	}
	return query.SeriesResult{
		Step: 500 * time.Millisecond,
		Tiers: []query.Span{
			{Tier: "1m", From: time.UnixMilli(at[0]), To: time.UnixMilli(at[1])}, {Tier: "1s", From: time.UnixMilli(at[2]), To: time.UnixMilli(at[2])},
		},
		Series: []query.SelectedSeries{row("=cmd|' /C calc'!A0", 1), row("sda\xff\n,\"", 2)},
	}, nil
}

func TestGapsAreNullAndNumbersExact(t *testing.T) {
	s := withHistory(t, &fakeHistory{answer: func(q query.SeriesQuery) (query.SeriesResult, error) {
		if !q.AsRate {
			return query.SeriesResult{Step: 500 * time.Millisecond}, nil
		}
		return twoDisks(q)
	}})
	w := ask(s, http.MethodGet, seriesPath+"disk?metric=disk_read_bytes&agg=avg,min,max&start=1770000000&end=1770000061", nil)
	validated(t, s, seriesPath+"disk", w.Body.Bytes())
	const want = `{"host":"server-01","start":"2026-02-02T02:40:00Z","end":"2026-02-02T02:41:01Z","step":0.5,` +
		`"tiers":[{"tier":"1m","from":"2026-02-02T02:40:00Z","to":"2026-02-02T02:41:00Z"},{"tier":"1s","from":"2026-02-02T02:41:00.5Z","to":"2026-02-02T02:41:00.5Z"}],` +
		`"series":[{"metric":"disk_read_bytes","unit":"bytes/s","labels":{"device":"=cmd|' /C calc'!A0"},"t":[1770000000,1770000060,1770000060.5],` +
		`"avg":[0.125,null,1e-07],"min":[0,null,null],"max":[null,null,null]},` +
		`{"metric":"disk_read_bytes","unit":"bytes/s","labels":{"device":"sda\ufffd\n,\""},"t":[1770000000,1770000060,1770000060.5],` +
		`"avg":[0.25,null,2e-07],"min":[0,null,null],"max":[null,null,null]}]}` + "\n"
	if got := strings.ReplaceAll(w.Body.String(), "\uFFFD", `\ufffd`); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := w.Header().Get("X-Sysotel-Tier"); got != "1m, 1s" {
		t.Errorf("X-Sysotel-Tier %q", got)
	}
}

func TestPercentAreScaled(t *testing.T) {
	s := withHistory(t, &fakeHistory{answer: func(query.SeriesQuery) (query.SeriesResult, error) {
		return query.SeriesResult{Step: time.Second, Series: []query.SelectedSeries{{T: []int64{1000}, Avg: []float64{0.452}}}}, nil
	}})
	var answer Series
	if err := json.Unmarshal(ask(s, http.MethodGet, seriesPath+"cpu?metric=cpu_usage_total", nil).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Series[0].Avg[0] != 45.2 || answer.Series[0].Unit != "%" {
		t.Errorf("%+v", answer.Series[0])
	}
}

func TestCSVHasNoFormulas(t *testing.T) {
	s := withHistory(t, &fakeHistory{answer: func(q query.SeriesQuery) (query.SeriesResult, error) {
		if !q.AsRate {
			return query.SeriesResult{}, nil
		}
		return twoDisks(q)
	}})
	w := ask(s, http.MethodGet, seriesPath+"disk?metric=disk_read_bytes&agg=avg,min", http.Header{"Accept": {"text/csv"}})
	if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/csv") {
		t.Fatalf("Content-Type %q", got)
	}
	lines, err := csv.NewReader(w.Body).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(lines[0], ","); got != "time,metric,unit,device,mountpoint,type,avg,min" || len(lines) != 7 {
		t.Errorf("%d lines, the first is %s", len(lines), got)
	}
	if got := fmt.Sprintf("%q", lines[1]); got != `["2026-02-02T02:40:00Z" "disk_read_bytes" "bytes/s" "'=cmd|' /C calc'!A0" "" "" "0.125" "0"]` {
		t.Error(got)
	}
	if lines[2][6] != "" || lines[2][7] != "" {
		t.Errorf("a gap is %q", lines[2])
	}
	for text, want := range map[string]string{"+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", " =1": "' =1", "'=1": "''=1", "'": "''", "\uff1d1": "'\uff1d1", "sda": "sda", "": "", "/": "/"} {
		if got := harmlessCell(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestAcceptChoosesTheForm(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "text/csv": true, "application/json": false, "text/csv, application/json": false, "Text/CSV;q=0.9, */*;q=0.1": true,
		"text/csv;q=0.5, application/json;q=0.4": true, "text/csv;q=0": false, "text/html": false,
	} {
		if got := prefersCSV(accept); got != want {
			t.Errorf("%q: %v", accept, got)
		}
	}
}

// Every invalid parameter is a problem that says what is allowed; the store is not
// queried.
func TestBadSeriesQueries(t *testing.T) {
	h := &fakeHistory{}
	s := withHistory(t, h)
	for _, c := range []struct{ target, location, says string }{
		{"cpu?start=-1h&end=-2h", "query.start", "before the end"},
		{"cpu?start=now", "query.start", "before the end"},
		{"cpu?step=0", "query.step", "positive"},
		{"cpu?step=0s", "query.step", "positive"},
		{"cpu?step=-5s", "query.step", "positive"},
		{"cpu?step=NaN", "query.step", "positive"},
		{"cpu?step=Inf", "query.step", "positive"},
		{"cpu?step=1e300", "query.step", "positive"},
		{"cpu?step=soon", "query.step", "30s, 5m"},
		{"cpu?start=-10y", "query.start", "1830 days"},
		{"cpu?start=0", "query.start", "1830 days"},
		{"cpu?start=-7d&step=1s", "query.step", "at most 11000 points"},
		{"cpu?max_points=1000000", "query.max_points", "from 1 to 11000"},
		{"cpu?max_points=-1", "query.max_points", "from 1 to 11000"},
		{"cpu?max_points=0", "query.max_points", "from 1 to 11000"},
		{"cpu?max_points=10&step=1m", "query.step", "combined with max_points"},
		{"cpu?metric=cpu_beauty", "query.metric", "cpu_usage_total, cpu_usage_per_core"},
		{"cpu?metric=memory_used", "query.metric", "cpu_usage_total, cpu_usage_per_core"},
		{"cpu?metric=", "query.metric", "not be empty"},
		{"cpu?metric=%ff%fe", "query.metric", "cpu_usage_total"},
		{"cpu?core=%ff", "query.core", "UTF-8"},
		{"disk?device=", "query.device", "not be empty"},
		{"disk?mountpoint=%c3%28", "query.mountpoint", "UTF-8"},
		{"cpu?start=yesterday", "query.start", "RFC 3339"},
		{"cpu?start=2026-02-30T00:00:00Z", "query.start", "RFC 3339"},
		{"cpu?start=2026-02-02", "query.start", "RFC 3339"},
		{"cpu?start=-", "query.start", "RFC 3339"},
		{"cpu?start=-1h-", "query.start", "RFC 3339"},
		{"cpu?start=1.2.3", "query.start", "RFC 3339"},
		{"cpu?start=99999999999999999999", "query.start", "RFC 3339"},
		{"cpu?end=%ff", "query.end", "RFC 3339"},
		{"cpu?agg=median", "query.agg", "avg, min, max"},
		{"cpu?agg=", "query.agg", "not be empty"},
		{"cpu?agg=avg,,max", "query.agg", "avg, min, max"},
		{"cpu?host=other", "query.host", "server-01"},
		{"cpu?host=%ff", "query.host", "server-01"},
		{"cpu?device=sda", "query.device", "core"},
		{"memory?interface=eth0", "query.interface", "max_points"},
		{"cpu?start=" + strings.Repeat("9", 65), "query.start", "at most 64"},
	} {
		_, invalid := problemOf(t, ask(s, http.MethodGet, seriesPath+c.target, nil), http.StatusUnprocessableEntity)
		if !strings.Contains(invalid[c.location], c.says) {
			t.Errorf("%s: %v, want %s: …%s…", c.target, invalid, c.location, c.says)
		}
	}
	if len(h.asked) > 0 {
		t.Errorf("the store was asked %d times", len(h.asked))
	}
}

func TestFailuresOfTheStore(t *testing.T) {
	fail := func(kind query.ErrorType) *Server {
		return withHistory(t, &fakeHistory{answer: func(query.SeriesQuery) (query.SeriesResult, error) {
			return query.SeriesResult{}, &query.Error{Type: kind, Err: errors.New("block /var/lib/x \xff")}
		}})
	}
	for kind, want := range map[query.ErrorType]int{query.BadData: 422, query.Execution: 422, query.Timeout: 503, query.Unavailable: 503, query.Internal: 500} {
		w := ask(fail(kind), http.MethodGet, seriesPath+"memory", nil)
		problemOf(t, w, want)
		if (want == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", kind, w.Header().Get("Retry-After"))
		}
		if want >= 500 && strings.Contains(w.Body.String(), "/var") {
			t.Errorf("%s exposes an internal error: %s", kind, w.Body)
		}
	}
	detail, _ := problemOf(t, ask(newTestServer(t, ticked(), nil), http.MethodGet, seriesPath+"cpu", nil), http.StatusServiceUnavailable)
	if !strings.Contains(detail, "store.backend") {
		t.Errorf("%q does not say why", detail)
	}
}

// The limit is for all metrics of a response together.
func TestTooMuchIsRefused(t *testing.T) {
	row := query.SelectedSeries{T: make([]int64, maxPoints), Avg: make([]float64, maxPoints)}
	s := withHistory(t, &fakeHistory{answer: func(query.SeriesQuery) (query.SeriesResult, error) {
		return query.SeriesResult{Step: time.Second, Series: slices.Repeat([]query.SelectedSeries{row}, 50)}, nil
	}})
	detail, _ := problemOf(t, ask(s, http.MethodGet, seriesPath+"network?max_points=11000&"+url.Values{"agg": {"avg,min"}}.Encode(), nil), http.StatusUnprocessableEntity)
	if !strings.Contains(detail, "2000000") {
		t.Errorf("%q does not say what is allowed", detail)
	}
}
