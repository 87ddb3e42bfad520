package alerting

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestPreviewAgrees: a preview of what was measured has what the running rule had: the
// same firings, at the same seconds, with every way to reduce an interval.
func TestPreviewAgrees(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	p := newPlay(t, "groups: []\n")
	back, no := 50.0, []string(nil)
	thresholds := []Threshold{
		{Name: "Mean", Metric: "cpu_usage", Op: ">", Threshold: 60, For: "1m"},
		{Name: "Worst", Metric: "cpu_usage", Op: ">=", Threshold: 95, For: "45s", Reduce: Worst},
		{Name: "Least", Metric: "cpu_usage", Op: "<", Threshold: 10, Reduce: Worst, For: "30s"},
		{Name: "Last", Metric: "cpu_usage", Op: ">", Threshold: 60, For: "30s", Reduce: Last},
		{Name: "Hysteresis", Metric: "cpu_usage", Op: ">", Threshold: 65, Recover: &back},
		{Name: "Sum", Expr: "cpu_usage - 1", Op: ">", Threshold: 60, For: "1m"},
		{Name: "Equal", Metric: "link_up", Op: "==", Threshold: 0},
	}
	for _, one := range thresholds {
		one.Enabled, one.Channels = true, no
		if _, err := p.alerts.AddThreshold(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	level := 30.0
	for range 7205 { // The end is between two evaluations.
		if random.IntN(120) == 0 {
			level = 20 + 60*random.Float64()
		}
		p.command(fmt.Sprintf("set cpu_usage %d", int(min(100, max(0, level+40*random.NormFloat64())))))
		up := 1
		if random.IntN(200) == 0 {
			up = 0
		}
		p.command(fmt.Sprintf("set link_up %d", up))
		p.pass(time.Second, true)
	}
	for _, one := range thresholds {
		var want, got []string
		all, err := p.alerts.History(t.Context(), HistoryQuery{Start: dawn, End: p.wall, Rule: one.Name, Limit: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			want = append(want, fmt.Sprint(e.FiredAt.UTC(), e.EndedAt.UTC()))
		}
		found, err := p.alerts.Preview(t.Context(), PreviewQuery{Threshold: &one, Start: dawn.Add(-7 * 24 * time.Hour), End: p.wall})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found.Firings {
			got = append(got, fmt.Sprint(f.From, f.To))
		}
		if len(want) < 2 || !slices.Equal(got, want) {
			t.Errorf("%s: the preview has\n%q\nthe rule fired\n%q", one.Name, got, want)
		}
		if first := dawn.Add(15 * time.Second); !found.MeasuredFrom.Equal(first) || found.Step != 15 {
			t.Errorf("%s is measured from %s each %g s, want from %s each 15 s", one.Name, found.MeasuredFrom, found.Step, first)
		}
	}
}

// TestPreviewWindows: a preview does not fire before the window of its condition was
// filled, as the running rule does not.
func TestPreviewWindows(t *testing.T) {
	p := newPlay(t, "groups: [{name: g, rules: [{alert: Mean, expr: 'avg_over_time(cpu_usage[5m]) > 80'}]}]\n")
	p.command("set cpu_usage 90")
	p.command("pass 10m")
	found, err := p.alerts.Preview(t.Context(), PreviewQuery{Expr: "avg_over_time(cpu_usage[5m]) > 80", Start: dawn.Add(-time.Hour), End: p.wall})
	if err != nil {
		t.Fatal(err)
	}
	all, err := p.alerts.History(t.Context(), HistoryQuery{Start: dawn, End: p.wall, Limit: 10})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if len(found.Firings) != 1 || found.Firings[0].From.Sub(all[0].FiredAt).Abs() > 15*time.Second {
		t.Errorf("the preview has %+v, the rule fired at %s", found.Firings, all[0].FiredAt)
	}
}
