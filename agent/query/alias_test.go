package query

import (
	"testing"
	"time"
)

// TestAliases: a metric is found by OpenTelemetry's name too, in queries, rules and
// selectors of series; the answer has Prometheus' name.
func TestAliases(t *testing.T) {
	raw := map[int64]float64{}
	for s := range int64(60) {
		raw[s*1000] = float64(s)
	}
	tier := &fakeTier{"1s", time.Second, time.Unix(-100, 0), storageOf(t, samples{named("system_load", "core", "0"), raw}, samples{named("cpu_seconds", "cpu_mode", "user"), raw})}
	q := querierOn(tier)
	q.config.Aliases = map[string]string{"system.load": "system_load", "cpu.seconds": "cpu_seconds"}
	for text, want := range map[string]string{
		`{"system.load"}`:                                  `{__name__="system_load", core="0"} 30@30000` + "\n",
		`{"system.load", core="0"} offset (2*5s)`:          `{__name__="system_load", core="0"} 20@30000` + "\n",
		`{__name__="system.load"}`:                         `{__name__="system_load", core="0"} 30@30000` + "\n",
		`sum(max_over_time({"system.load"}[5s*2]))`:        `{} 30@30000` + "\n",
		`{"system.load"} - on (core) {"system.load"}`:      `{core="0"} 0@30000` + "\n",
		`{"cpu.seconds", "cpu.mode"="user"}`:               `{__name__="cpu_seconds", cpu_mode="user"} 30@30000` + "\n",
		`cpu_seconds{"cpu.mode"=~"u.*"}`:                   `{__name__="cpu_seconds", cpu_mode="user"} 30@30000` + "\n",
		`sum by ("cpu.mode") (cpu_seconds)`:                `{cpu_mode="user"} 30@30000` + "\n",
		`cpu_seconds / on ("cpu.mode") cpu_seconds`:        `{cpu_mode="user"} 1@30000` + "\n",
		`cpu_seconds{"cpu.mode"!="user"}`:                  "",
		`{"system.loaded"}`:                                "",
		`label_replace({"system.load"}, "a", "b", "", "")`: `{__name__="system_load", a="b", core="0"} 30@30000` + "\n",
	} {
		result, err := q.Instant(t.Context(), text, time.Unix(30, 0))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := written(result.Value); got != want {
			t.Errorf("%s: %s want %s", text, got, want)
		}
		result.Close()
	}
	expr, err := q.Parse(`rate({"system.load"}[1m]) > 0`)
	if err != nil || expr.String() != "rate(system_load[1m]) > 0" {
		t.Errorf("a rule has %v, %v", expr, err)
	}
	sets, err := q.Matchers(t.Context(), []string{`{"system.load",core=~".*"}`})
	if err != nil {
		t.Fatal(err)
	}
	found, _, err := q.Series(t.Context(), sets, time.Unix(0, 0), time.Unix(60, 0), 0)
	if err != nil || len(found) != 1 || found[0].Get("__name__") != "system_load" {
		t.Errorf("%v, %v", found, err)
	}
}
