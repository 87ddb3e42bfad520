package query

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// TestScraped: expressions that name job or instance see measured series as a Prometheus
// that scraped them; others do not. A series with labels of its own keeps them, and so does
// one that a rule made.
func TestScraped(t *testing.T) {
	raw, ones := map[int64]float64{}, map[int64]float64{}
	for s := range int64(60) {
		raw[s*1000], ones[s*1000] = float64(s), 1
	}
	tier := &fakeTier{"1s", time.Second, time.Unix(-100, 0), storageOf(t,
		samples{named("load", "host_name", "a"), raw}, samples{named("load", "host_name", "b"), raw},
		samples{named("info", "host_name", "a"), ones},
		samples{named("own", "host_name", "a", "job", "backup"), raw},
		samples{named("instance:load:sum", "instance", "a:9100"), raw},
	)}
	q := querierOn(tier)
	q.config.Aliases = map[string]string{UpName: "info"}
	const a, b = `host_name="a", instance="a:9100", job=`, `host_name="b", instance="b:9100", job=`
	expressions := map[string]string{
		`load`:                               `{__name__="load", host_name="a"} 30; {__name__="load", host_name="b"} 30`,
		`load{job="node"}`:                   `{__name__="load", ` + a + `"node"} 30; {__name__="load", ` + b + `"node"} 30`,
		`load{job=~"node-.*"}`:               `{__name__="load", ` + a + `"node-exporter"} 30; {__name__="load", ` + b + `"node-exporter"} 30`,
		`load{job!=""}`:                      `{__name__="load", ` + a + `"sysotel"} 30; {__name__="load", ` + b + `"sysotel"} 30`,
		`load{job!="sysotel",host_name="b"}`: `{__name__="load", ` + b + `"node"} 30`,
		`load{job=""}`:                       ``,
		`load{job="mysqld"}`:                 ``,
		`load{instance="b:9100"}`:            `{__name__="load", ` + b + `"sysotel"} 30`,
		`load{instance=~"c.*"}`:              ``,
		`sum by (instance) (load)`:           `{instance="a:9100"} 30; {instance="b:9100"} 30`,
		`sum without (host_name) (load)`:     `{} 60`,
		`load * on (instance) group_left load{job="node",instance="a:9100"}`:   `{` + a + `"node"} 900`,
		`rate(load{job="node",host_name="a"}[10s])`:                            `{` + a + `"node"} 1`,
		`avg_over_time(load{job="node",host_name="a"}[5s:1s])`:                 `{` + a + `"node"} 28`,
		`up{job="node-exporter"} == 1`:                                         `{__name__="info", ` + a + `"node-exporter"} 1`,
		`up == 0`:                                                              ``,
		`absent(up{job="node"})`:                                               ``,
		`absent(up{job="mysqld"})`:                                             `{job="mysqld"} 1`,
		`own{job="backup"}`:                                                    `{__name__="own", host_name="a", instance="a:9100", job="backup"} 30`,
		`own{job="node"}`:                                                      ``,
		`instance:load:sum{instance="a:9100"}`:                                 `{__name__="instance:load:sum", instance="a:9100"} 30`,
		`instance:load:sum{job="node"}`:                                        ``,
		`instance:load:sum - on (instance) sum by (instance) (load)`:           `{instance="a:9100"} 0`,
		`label_replace(load{host_name="a"}, "x", "$1", "instance", "(.*):.*")`: `{__name__="load", ` + a + `"sysotel", x="a"} 30`,
		`count({job="node"})`:                                                  `{} 3`,
		`load{job="node"} / ignoring (job) load{job="node"} > 0 and on (host_name) load{host_name="b"}`: `{host_name="b", instance="b:9100"} 1`,
	}
	check := func(answer func(text string) (string, error)) {
		t.Helper()
		for text, want := range expressions {
			got, err := answer(text)
			if err != nil || strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(got), "\n", "; "), "@30000", "") != want {
				t.Errorf("%s: %s, %v\nwant %s", text, got, err, want)
			}
		}
	}
	instant := func(text string) (string, error) {
		result, err := q.Instant(t.Context(), text, time.Unix(30, 0))
		if err != nil {
			return "", err
		}
		defer result.Close()
		return written(result.Value), nil
	}
	if got, err := instant(`load{job="node"}`); err != nil || got != "" {
		t.Errorf("without jobs: %s, %v", got, err)
	}
	q.config.Scrape = Scrape{Jobs: []string{"sysotel", "node", "node-exporter"}, Instance: func(host string) string { return host + ":9100" }}
	check(instant)
	check(func(text string) (string, error) { // As a rule, which is evaluated as it was parsed.
		expr, err := q.Parse(text)
		if err != nil {
			return "", err
		}
		v, err := q.EvalRule(t.Context(), expr.String(), time.Unix(30, 0), q.RuleQueryable(nil))
		return written(v), err
	})
	always := q.Scraped(t.Context(), parse(t, "load"), true)
	if v, err := q.EvalRule(always, `load{host_name="a"}`, time.Unix(30, 0), q.RuleQueryable(nil)); err != nil || written(v) != `{__name__="load", `+a+`"sysotel"} 30@30000`+"\n" {
		t.Errorf("for a text that shows them: %v, %v", v, err)
	}
	lookups := []struct{ name, selector, want string }{
		{"job", "", "[backup sysotel]"},
		{"job", "load", "[sysotel]"},
		{"job", `load{job=~"node.*"}`, "[node]"},
		{"instance", "load", "[a:9100 b:9100]"},
		{"instance", `load{job="node"}`, "[a:9100 b:9100]"},
		{"instance", `load{job="mysqld"}`, "[]"},
		{"host_name", `load{instance="b:9100"}`, "[b]"},
		{"host_name", `load{job="node",instance=~"c.*"}`, "[]"},
		{"__name__", `{job="node",instance="b:9100"}`, "[load]"},
	}
	for _, one := range lookups {
		var sets [][]*labels.Matcher
		if one.selector != "" {
			var err error
			if sets, err = q.Matchers(t.Context(), []string{one.selector}); err != nil {
				t.Fatal(err)
			}
		}
		got, _, err := q.LabelValues(t.Context(), one.name, sets, time.Unix(0, 0), time.Unix(60, 0), 0)
		if err != nil || fmt.Sprint(got) != one.want {
			t.Errorf("values of %s of %s: %v, %v, want %s", one.name, one.selector, got, err, one.want)
		}
	}
	sets, err := q.Matchers(t.Context(), []string{`load{job="node",instance="a:9100"}`})
	if err != nil {
		t.Fatal(err)
	}
	if found, _, err := q.Series(t.Context(), sets, time.Unix(0, 0), time.Unix(60, 0), 0); err != nil || fmt.Sprint(found) != `[{__name__="load", `+a+`"node"}]` {
		t.Errorf("series: %v, %v", found, err)
	}
	if names, _, err := q.LabelNames(t.Context(), sets, time.Unix(0, 0), time.Unix(60, 0), 0); err != nil || fmt.Sprint(names) != "[__name__ host_name instance job]" {
		t.Errorf("names: %v, %v", names, err)
	}
	found, err := q.Matched(t.Context(), []Selection{{Matchers: sets[0]}, {Matchers: parseMatchers(t, `load{job="mysqld"}`)}}, time.Unix(60, 0))
	if err != nil || fmt.Sprint(found) != "[true false]" {
		t.Errorf("matched: %v, %v", found, err)
	}
}

func parseMatchers(t *testing.T, selector string) []*labels.Matcher {
	t.Helper()
	m, err := NewParser().ParseMetricSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
