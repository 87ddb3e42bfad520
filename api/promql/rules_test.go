package promql

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"

	"sysotel/agent/alerting"
)

// TestRules compares the lists of rules and alerts to the letter.
func TestRules(t *testing.T) {
	busy := rules.NewAlertingRule("Busy", expression(t, "cpu > 80"), time.Minute, 0, labels.FromStrings("severity", "warning"), labels.FromStrings("summary", "{{ $value }} %"),
		labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler))
	at := time.Unix(60, 0)
	_, err := busy.Eval(t.Context(), 0, at, func(context.Context, string, time.Time) (promql.Vector, error) {
		return promql.Vector{{Metric: labels.FromStrings("__name__", "cpu", "core", "<1>"), F: 90.5}}, nil
	}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	busy.SetEvaluationTimestamp(at.UTC())
	busy.SetHealth(rules.HealthGood)
	recorded := rules.NewRecordingRule("cpu:twice", expression(t, "2 * cpu"), labels.EmptyLabels())
	h := New(Config{Log: slog.New(slog.DiscardHandler), Rules: func() []alerting.PrometheusGroup {
		return []alerting.PrometheusGroup{{Name: "g", File: "f.yml", Interval: 15, Rules: []alerting.PrometheusRule{
			{Rule: busy, State: rules.StatePending, Alerts: busy.ActiveAlerts()}, {Rule: recorded},
		}}}
	}})
	f := func(path, form, want string) {
		t.Helper()
		values, err := url.ParseQuery(form)
		if err != nil {
			t.Fatal(err)
		}
		code, _, body := ask(t, h, http.MethodGet, "/api/v1/"+path, values)
		body = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(body)
		if code != http.StatusOK || body != `{"status":"success","data":`+want+`}` {
			t.Errorf("%s?%s: %d\n%s\nwant\n%s", path, form, code, body, want)
		}
	}
	const (
		alert = `{"labels":{"alertname":"Busy","core":"<1>","severity":"warning"},"annotations":{"summary":"90.5 %"},"state":"pending","activeAt":"1970-01-01T00:01:00Z","value":"9.05e+01"}`
		group = `{"name":"g","file":"f.yml","rules":[`
		ends  = `],"interval":15,"limit":0,"evaluationTime":0,"lastEvaluation":`
		never = `"0001-01-01T00:00:00Z"`
		once  = `"1970-01-01T00:01:00Z"`
		rec   = `{"name":"cpu:twice","query":"2 * cpu","labels":{},"health":"unknown","evaluationTime":0,"lastEvaluation":` + never + `,"type":"recording"}`
	)
	one := func(alerts string) string {
		return `{"state":"pending","name":"Busy","query":"cpu > 80","duration":60,"keepFiringFor":0,"labels":{"severity":"warning"},"annotations":{"summary":"{{ $value }} %"},"alerts":` +
			alerts + `,"health":"ok","evaluationTime":0,"lastEvaluation":` + once + `,"type":"alerting"}`
	}
	f("alerts", "", `{"alerts":[`+alert+`]}`)
	f("rules", "", `{"groups":[`+group+one("["+alert+"]")+`,`+rec+ends+never+`}]}`)
	f("rules", "type=alert&exclude_alerts=true&rule_name[]=Busy", `{"groups":[`+group+one("null")+ends+never+`}]}`)
	f("rules", "type=record", `{"groups":[`+group+rec+ends+never+`}]}`)
	f("rules", "rule_group[]=other", `{"groups":[]}`)

	// Of a rule that matches no series nobody knows whether its condition holds.
	h = New(Config{Log: slog.New(slog.DiscardHandler), Rules: func() []alerting.PrometheusGroup {
		return []alerting.PrometheusGroup{{Name: "g", File: "f.yml", Interval: 15, Rules: []alerting.PrometheusRule{{Rule: busy, State: rules.StateInactive, NoSeries: "no_series: cpu"}}}}
	}})
	blind := strings.Replace(one("null"), `"health":"ok"`, `"health":"unknown","lastError":"no_series: cpu"`, 1)
	f("rules", "exclude_alerts=true", `{"groups":[`+group+strings.Replace(blind, "pending", "inactive", 1)+ends+once+`}]}`)
	if code, _, _ := ask(t, h, http.MethodGet, "/api/v1/rules", url.Values{"type": {"odd"}}); code != http.StatusBadRequest {
		t.Errorf("an odd type is answered %d", code)
	}
}
