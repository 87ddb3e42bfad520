package promql

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"

	"sysotel/agent/alerting"
	"sysotel/agent/query"
	"sysotel/otel-collector/programs"
)

// asked are the requests that both answer with the same shape.
var asked = []string{
	"query?query=up&time=30", "query?query=cpu_total[20s]&time=30&stats=all", "query?query=sum(rate(cpu_total[20s]))&time=30&stats=true",
	"query?query=1&stats=odd", `query?query="x"`, "query?query=up&time=30&limit=1&lookback_delta=1m", "query?query=x[5s*2]",
	"query_range?query=cpu_total&start=0&end=60&step=10&stats=all", "query_range?query=max_over_time(cpu_total[2*step()])&start=0&end=60&step=10",
	"query_exemplars?query=up&start=0&end=60", "query_exemplars?query=1",
	"format_query?query=a%2bb", "series?match[]=cpu_total&start=0&end=60", "labels?start=0&end=60", "labels?match[]=up&start=0&end=60&limit=1", "label/cpu/values?start=0&end=60",
	"metadata", "metadata?metric=up&limit=1",
	"rules", "rules?type=alert", "rules?type=record", "rules?exclude_alerts=true", "rules?group_limit=1", `rules?match[]={severity="warning"}`, `rules?match[]={severity="none"}`,
	"rules?rule_name[]=Busy", "rules?rule_group[]=none", "rules?file[]=none", "alerts",
	"scrape_pools", "targets", "targets/metadata", "targets/metadata?metric=up", `targets/metadata?match_target={job="x"}&limit=3`, "alertmanagers", "features", "notifications",
	"status/config", "status/flags", "status/runtimeinfo", "status/buildinfo", "status/tsdb", "status/tsdb?limit=1", "status/tsdb/blocks", "status/walreplay",
}

// trees are expressions whose trees are equal.
var trees = []string{
	"up", "1", `"x"`, "-up", "(up)", "sum by (a) (up)", "topk without (a) (3, up)", "rate(up[5m] offset 1m)", `up{a="b",c!~"d|e"} @ start()`, "up @ 12.5 offset -5s",
	"max_over_time(up[1h:5m] @ end() offset 1m)", "a + on (b) group_left (c) d", "a unless ignoring (b) d", "a == bool 1", "max_over_time(up[5s*2])", "up offset (-step() + 1m)", "up[max_of(step(), 2m):(range() / 2)]",
	"time()", `label_replace(up, "a", "$1", "b", "(.*)")`, `{"dotted.name", x="y"}`, "histogram_quantile(0.9, a)",
}

// wrong are the requests that both refuse with the same text.
var wrong = []string{
	"query", "query?query=sum(", "query?query=up&time=x", "query?query=up&timeout=x", "query?query=up&limit=x", "query?query=up&limit=-1", "query?query=up&lookback_delta=x",
	"query?query=max_over_time(up[1m]%20anchored)", "query_range?query=up", "query_range?query=up&start=2&end=1&step=1", "query_range?query=up&start=0&end=1&step=0",
	"query_range?query=up&start=0&end=1e6&step=1", "query_range?query=up[1m]&start=0&end=60&step=1",
	"query_exemplars?query=sum(", "query_exemplars?query=up&start=x", "query_exemplars?query=up&start=2&end=1", "parse_query?query=sum(", "format_query?query=sum(",
	"series", "series?match[]=x{", "series?match[]={}", "labels?match[]=x{", "metadata?limit=x", "metadata?limit_per_metric=x", "targets/metadata?limit=x", "targets/metadata?match_target=x{", "status/tsdb?limit=0", "status/tsdb?limit=99999",
	"rules?type=x", "rules?exclude_alerts=x", "rules?group_limit=0", "rules?group_limit=x", "rules?group_next_token=x", "rules?group_next_token=x&group_limit=1", "rules?match[]=x{", "rules?match[]={}",
}

// unlike are the differences in shape, with their reasons.
var unlike = map[string]string{
	".data.headStats.chunkCount": "not known",
	".data.corruptionCount":      "not counted; the health reports damage",
	".data.otlp_receiver":        "a feature of what is not here", ".data.prometheus": "a feature of what is not here", ".data.scrape": "a feature of what is not here",
	".data.service_discovery_providers": "a feature of what is not here", ".data.tsdb": "a feature of what is not here", ".data.ui": "a feature of what is not here",
	".data.api.openapi_3.1": "the API is documented by Prometheus", ".data.api.openapi_3.2": "the API is documented by Prometheus",
	".data.api.search_fuzz_alg_jarowinkler": "no search", ".data.api.search_fuzz_alg_subsequence": "no search",
}

// named are objects whose keys are names, of flags or of metrics.
var named = []string{"status/flags", "metadata"}

// TestLikePrometheus: a real Prometheus with the same samples and rules gives responses
// of the same shape, the same trees of expressions and the same errors.
func TestLikePrometheus(t *testing.T) {
	theirs := realPrometheus(t)
	server := httptest.NewServer(agentLike(t))
	defer server.Close()
	ours := server.URL
	ask := func(base, request string) (int, string, map[string]any, string) {
		t.Helper()
		path, form, _ := strings.Cut(request, "?")
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = strings.NewReplacer(" ", "%20", `"`, "%22", "+", "%2B", "{", "%7B", "}", "%7D").Replace(form)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var parsed map[string]any
		_ = json.Unmarshal(body, &parsed) // An empty body, or no JSON, is compared as text.
		return response.StatusCode, response.Header.Get("Content-Type"), parsed, string(body)
	}
	used := map[string]bool{}
	for _, request := range asked {
		wantCode, wantType, want, wantBody := ask(theirs, request)
		gotCode, gotType, got, body := ask(ours, request)
		if gotCode != wantCode || gotType != wantType || wantCode >= 400 {
			t.Errorf("%s: %d %s, Prometheus has %d %s\n%.500s\n%.500s", request, gotCode, gotType, wantCode, wantType, body, wantBody)
		}
		if path, _, _ := strings.Cut(request, "?"); slices.Contains(named, path) {
			got["data"], want["data"] = firstValue(got["data"]), firstValue(want["data"])
		}
		for _, difference := range differences("", want, got, used) {
			t.Errorf("%s: %s\n%.500s\n%.500s", request, difference, body, wantBody)
		}
	}
	for place := range unlike {
		if !used[place] {
			t.Errorf("%s is said to differ, but does not", place)
		}
	}
	for _, text := range trees {
		request := "parse_query?query=" + strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
		_, _, want, _ := ask(theirs, request)
		if code, _, got, body := ask(ours, request); code != http.StatusOK || !equalJSON(got, want) {
			t.Errorf("%s: %d %s\nwant %v", text, code, body, want)
		}
	}
	for _, request := range wrong {
		wantCode, _, _, want := ask(theirs, request)
		if code, _, _, body := ask(ours, request); code != wantCode || code < 400 || body != want {
			t.Errorf("%s: %d %s\nwant %d %s", request, code, body, wantCode, want)
		}
	}
}

// TestEveryPathOfPrometheus: each path that a Prometheus registers is served, or refused
// in its way with a reason.
func TestEveryPathOfPrometheus(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "web", "api", "v1", "api.go"))
	if err != nil {
		t.Fatal(err)
	}
	h := agentLike(t)
	known := map[string]bool{}
	for _, found := range regexp.MustCompile(`\br\.(Get|Post)\("/([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		method, path := strings.ToUpper(found[1]), found[2]
		known[method+" "+path] = true
		_, why := refused[method+" "+path]
		code, header, body := ask(t, h, method, "/api/v1/"+strings.ReplaceAll(path, ":name", "cpu"), nil)
		if !json.Valid([]byte(body)) || header.Get("Content-Type") != "application/json" || why != (code == http.StatusNotFound) || code == http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d %s", method, path, code, body)
		}
	}
	if len(known) < 45 {
		t.Errorf("found only %d paths", len(known))
	}
	for path := range refused {
		if !known[path] {
			t.Errorf("Prometheus has no %s", path)
		}
	}
}

// differences lists where two responses differ in keys or types. Lists are alike if their
// first elements are, where both have any.
func differences(place string, want, got any, used map[string]bool) []string {
	if _, known := unlike[place]; known {
		used[place] = true
		return nil
	}
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			break
		}
		if strings.HasSuffix(place, ".metric") {
			return nil // Its keys are labels.
		}
		var all []string
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if _, there := got[key]; !there && unlike[place+"."+key] == "" {
				all = append(all, place+"."+key+" is missing")
				continue
			}
			all = append(all, differences(place+"."+key, want[key], got[key], used)...)
		}
		for key := range got {
			if _, there := want[key]; !there {
				all = append(all, place+"."+key+" is more")
			}
		}
		return all
	case []any:
		got, ok := got.([]any)
		if ok && len(want) > 0 && len(got) > 0 {
			return differences(place+"[]", want[0], got[0], used)
		}
		if ok {
			return nil
		}
	default:
		if fmt.Sprintf("%T", want) == fmt.Sprintf("%T", got) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %T, not %T", place, got, want)}
}

// firstValue is a value of an object whose keys are names.
func firstValue(data any) any {
	for _, value := range data.(map[string]any) {
		return value
	}
	return nil
}

func equalJSON(a, b any) bool {
	one, err := json.Marshal(a)
	two, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(one) == string(two)
}

// sharedRules are the rules of both.
const sharedRules = `groups:
- name: g
  interval: 1s
  rules:
  - {alert: Busy, expr: vector(90), labels: {severity: warning}, annotations: {summary: "{{ $value }} %"}}
  - {record: "cpu:twice", expr: vector(2)}
- name: h
  interval: 1s
  rules:
  - {record: "cpu:thrice", expr: vector(3)}
`

// realPrometheus starts Prometheus with the samples of the script, and returns its URL.
func realPrometheus(t *testing.T) string {
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var page strings.Builder
	for _, series := range []string{`up{host_name="h"}`, `cpu_total{cpu="0",host_name="h"}`, `cpu_total{cpu="1",host_name="h"}`} {
		for at := 0; at <= 60; at += 10 {
			fmt.Fprintf(&page, "%s %d %d\n", series, at, at)
		}
	}
	samples, data := write("samples", page.String()+"# EOF\n"), filepath.Join(folder, "data")
	if out, err := programs.Command(t, "promtool", "tsdb", "create-blocks-from", "openmetrics", samples, data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write("rules.yml", sharedRules)
	file := write("prometheus.yml", "rule_files: [rules.yml]\n")
	address := fmt.Sprintf("127.0.0.1:%d", programs.FreePort(t))
	p := programs.Start(t, programs.Command(t, "prometheus", "--config.file="+file, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address))
	const patience = 2 * time.Minute
	p.WaitHTTP("http://"+address+"/-/ready", patience)
	// The rules have been evaluated when the last one has a result.
	deadline, poll := time.Now().Add(patience), time.NewTicker(100*time.Millisecond)
	defer poll.Stop()
	for ; ; <-poll.C {
		var rows struct{ Data struct{ Result []any } }
		response, err := http.Get("http://" + address + "/api/v1/query?query=cpu:thrice")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(response.Body).Decode(&rows)
		_ = response.Body.Close()
		if err == nil && len(rows.Data.Result) > 0 {
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatalf("the rules of Prometheus are not evaluated: %v", err)
		}
	}
}

// agentLike serves the API with the same samples and rules.
func agentLike(t *testing.T) http.Handler {
	now := time.Now()
	held := promqltest.LoadedStorage(t, script)
	busy := rules.NewAlertingRule("Busy", expression(t, "vector(90)"), 0, 0, labels.FromStrings("severity", "warning"), labels.FromStrings("summary", "{{ $value }} %"),
		labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	_, err := busy.Eval(t.Context(), 0, now, func(context.Context, string, time.Time) (promql.Vector, error) {
		return promql.Vector{{F: 90}}, nil
	}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	groups := []alerting.PrometheusGroup{
		{Name: "g", File: "rules.yml", Interval: 1, Rules: []alerting.PrometheusRule{
			{Rule: busy, State: rules.StateFiring, Alerts: busy.ActiveAlerts()},
			{Rule: rules.NewRecordingRule("cpu:twice", expression(t, "vector(2)"), labels.EmptyLabels())},
		}},
		{Name: "h", File: "rules.yml", Interval: 1, Rules: []alerting.PrometheusRule{
			{Rule: rules.NewRecordingRule("cpu:thrice", expression(t, "vector(3)"), labels.EmptyLabels())},
		}},
	}
	return New(Config{
		Querier: querierOn(held), Version: "1.2.3", Log: slog.New(slog.DiscardHandler), Storage: database{held.DB},
		Metadata: func() map[string]Metadata { return nil }, Rules: func() []alerting.PrometheusGroup { return groups },
		Settings: func() []Setting { return []Setting{{"http.listen", "127.0.0.1:8080"}, {"store.tiers", []any{1.0}}} },
		Program:  func() Program { return Program{Started: now, Configured: now, Valid: true, Retention: "1h of 1s"} },
	})
}

// database is a whole TSDB.
type database struct{ *tsdb.DB }

func (d database) Stats(limit int) (*tsdb.Stats, error) {
	return d.Head().Stats(labels.MetricName, limit), nil
}
func (d database) Blocks() ([]tsdb.BlockMeta, error) { return d.BlockMetas(), nil }

func expression(t *testing.T, text string) parser.Expr {
	t.Helper()
	parsed, err := query.NewParser().ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
