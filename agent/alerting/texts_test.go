package alerting

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/query"
)

// TestTexts: the variables of templates are there, in the first evaluation, after a
// reload and after a restart.
func TestTexts(t *testing.T) {
	p := newPlay(t, `groups: [{name: g, rules: [{alert: Busy, expr: cpu_usage > 80, labels: {where: "{{ pathPrefix }}:{{ $externalLabels.host_name }}"},
		annotations: {summary: "{{ externalURL }} {{ $externalURL }} {{ .ExternalURL }} {{ $value }}{{ with query \"cpu_usage\" }} {{ . | first | value }}{{ end }}"}}]}]`)
	p.command("set cpu_usage 90")
	check := func(when string) {
		t.Helper()
		all := p.alerts.Alerts()
		if len(all) != 1 || all[0].Summary != "http://h http://h http://h 90 90" || all[0].Labels["where"] != ":h" {
			t.Errorf("%s: %+v", when, all)
		}
		for _, g := range p.alerts.Groups() {
			for _, r := range g.Rules {
				if len(r.Alerts) != 1 || r.Alerts[0].Annotations.Get("summary") != all[0].Summary || !strings.Contains(r.Rule.Labels().Get("where"), "{{") {
					t.Errorf("%s: Prometheus' API has %+v", when, r)
				}
			}
		}
	}
	p.command("pass 15s")
	check("at first")
	if err := p.alerts.Reload(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	check("after a reload")
	p.command("kill")
	check("after a restart")
	p.command("pass 30s")
	check("after an evaluation")
	if len(p.sent) != 1 {
		t.Errorf("notifications: %v", p.sent)
	}
}

// TestHarmfulTexts: an alert whose texts ask for too much is told with a sentence in
// their place, its rule says so, and the others go on.
func TestHarmfulTexts(t *testing.T) {
	p := newPlay(t, `groups: [{name: g, rules: [
		{alert: Gigabyte, expr: cpu_usage > 80, annotations: {summary: '{{ $x := "0123456789" }}{{ range 30 }}{{ $x = print $x $x }}{{ end }}{{ $x }}'}},
		{alert: Endless, expr: cpu_usage > 80, labels: {team: '{{ range 1000000000 }}{{ end }}'}},
		{alert: Asks, expr: cpu_usage > 80, annotations: {summary: '{{ range 1000 }}{{ $x := query "cpu_usage" }}{{ end }}'}},
		{alert: Sound, expr: cpu_usage > 80}]}]`)
	p.command("set cpu_usage 90")
	p.command("pass 15s")
	if len(p.sent) != 4 {
		t.Errorf("notifications: %v", p.sent)
	}
	for _, a := range p.alerts.Alerts() {
		text := a.Summary
		if a.Rule == "Endless" {
			text = a.Labels["team"]
		}
		if strings.HasPrefix(text, "<error expanding template: ") == (a.Rule == "Sound") || len(text) > 500 {
			t.Errorf("%s says %q", a.Rule, text)
		}
	}
	for _, r := range p.alerts.Rules() {
		if (r.Error == "") != (r.Name == "Sound") || r.Health != "ok" {
			t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.Error)
		}
	}
	if reason := p.alerts.Health().Reason; !strings.Contains(reason, "3 of 4 rules fail, for example rule Gigabyte: summary: the template makes a text of 81920 bytes; at most 65536 are allowed") {
		t.Errorf("health says %q", reason)
	}
}

// TestManyAlerts: a rule with more alerts than a bound keeps those that it had.
func TestManyAlerts(t *testing.T) {
	p := newPlay(t, `groups: [{name: g, rules: [{alert: Many, expr: cpu_usage > 80}]}]`)
	p.command("set cpu_usage{n=\"first\"} 90")
	p.command("pass 15s")
	for i := range maxAlerts {
		p.command(fmt.Sprintf("set cpu_usage{n=\"%d\"} 90", i))
	}
	p.command("pass 15s")
	if r := p.alerts.Rules()[0]; r.Health != "err" || r.Error != "exceeded limit of 1000 with 1001 alerts" || r.State != Firing || r.Alerts != 1 {
		t.Errorf("the rule is %+v", r)
	}
	for i := range maxAlerts {
		p.command(fmt.Sprintf("end cpu_usage{n=\"%d\"}", i))
	}
	p.command("pass 15s")
	if r := p.alerts.Rules()[0]; r.Health != "ok" || r.State != Firing || len(p.sent) != 1 {
		t.Errorf("the rule is %+v, notifications: %v", r, p.sent)
	}
}

// TestBounds: a file that goes beyond a bound is an error that names the place.
func TestBounds(t *testing.T) {
	p := newPlay(t, "groups: []")
	long := strings.Repeat("x", 20_000)
	many := ""
	for i := range 70 {
		many += fmt.Sprintf("l%d: x, ", i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a long annotation": {"groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up\n        annotations: {summary: " + long + "}", "line 6: the text has 20000 bytes; at most 16384 are allowed"},
		"a long label":      {"groups: [{name: g, rules: [{alert: A, expr: up, labels: {team: " + long[:2000] + "}}]}]", "line 1: group g: rule A: team has 2000 bytes; at most 1024 are allowed"},
		"a long name":       {"groups: [{name: g, rules: [{alert: " + long[:300] + ", expr: up}]}]", "the name of a group or a rule has at most 256 bytes"},
		"many labels":       {"groups: [{name: g, rules: [{alert: A, expr: up, labels: {" + many + "}}]}]", "group g: rule A: a rule has at most 64 labels"},
		"many groups":       {"groups: [" + strings.Repeat("{name: x, rules: []}, ", maxGroups+1) + "]", "x"},
		"a large file":      {"# " + strings.Repeat(long, 60), "has 1200002 bytes; at most 1048576 are allowed"},
		"a loop":            {"groups: [{name: g, rules: [{alert: A, expr: up, annotations: {a: '{{ template \"x\" }}'}}]}]", "a: templates that define or call other templates are not allowed"},
	} {
		path := filepath.Join(t.TempDir(), "bad.yml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		config := p.config
		config.Rules = []string{path}
		if err := p.alerts.Reload(t.Context(), config); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %.300v, want %s", name, err, c.want)
		}
	}
}

// TestExportedGroups: groups of one name in two files stay apart and keep what they say.
func TestExportedGroups(t *testing.T) {
	p := newPlay(t, "groups: [{name: g, interval: 1m, rules: [{alert: A, expr: up}]}]")
	other := filepath.Join(p.dir, "other.yml")
	if err := os.WriteFile(other, []byte("groups: [{name: g, limit: 5, query_offset: 30s, rules: [{alert: B, expr: up, labels: {team: '{{ $labels.x }}'}, annotations: {summary: '{{ $value }}'}}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.config.Rules = append(p.config.Rules, other)
	if err := p.alerts.Reload(t.Context(), p.config); err != nil {
		t.Fatal(err)
	}
	text, err := p.alerts.Export()
	if err != nil {
		t.Fatal(err)
	}
	l := &loader{parser: query.NewParser(), querier: p.querier, interval: p.alerts.interval, log: discard()}
	all, wrong := l.document(document{file: "export", text: text})
	if len(wrong) > 0 || len(all) != 2 {
		t.Fatalf("%v, %v in\n%s", all, wrong, text)
	}
	if a, b := all[0], all[1]; a.interval != time.Minute || b.limit != 5 || b.offset != 30*time.Second || len(b.labelTexts) != 1 || len(b.annotationTexts) != 1 {
		t.Errorf("the export is\n%s", text)
	}
}
