package alerting

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkEvaluate is what an evaluation costs by the kernel's account, garbage
// collection and all, as the share of a core that it is every 15 s.
func BenchmarkEvaluate(b *testing.B) {
	b.Run("500 rules", func(b *testing.B) {
		var rules strings.Builder
		rules.WriteString("groups:\n  - name: many\n    rules:\n")
		for i := range 500 {
			expr := fmt.Sprintf(`disk_used{device="d%d"} > 85 or (disk_used{device="d%d"} > 80 and ignoring(alertname, alertstate, severity) ALERTS{alertname="R%d",alertstate="firing"})`, i%100, i%100, i)
			switch i % 5 {
			case 1:
				expr = fmt.Sprintf(`rate(disk_read_total{device="d%d"}[5m]) > 1e6`, i%100)
			case 2:
				expr = fmt.Sprintf(`avg_over_time(disk_used{device="d%d"}[5m]) > 85`, i%100)
			}
			fmt.Fprintf(&rules, "      - {alert: R%d, expr: '%s', for: 5m, annotations: {summary: '{{ $labels.device }} is {{ $value }}'}}\n", i, expr)
		}
		evaluate(b, rules.String())
	})
	b.Run("default rules", func(b *testing.B) { evaluate(b, string(defaultRules)) })
}

// evaluate measures evaluations of rules on ten minutes of a machine with 100 disks.
func evaluate(b *testing.B, rules string) {
	p := newPlay(b, rules)
	for i := range 100 {
		used := 50.0
		if i%10 == 0 {
			used = 90 // A tenth of the rules fire.
		}
		p.command(fmt.Sprintf(`set disk_used{device="d%d"} %g`, i, used))
		p.command(fmt.Sprintf(`set disk_read_total{device="d%d"} 1`, i))
		p.command(fmt.Sprintf(`set sysotel_disk_utilization_ratio{device="d%d",mountpoint="/%d"} 0.5`, i, i))
		p.command(fmt.Sprintf(`set sysotel_disk_free_bytes{device="d%d",mountpoint="/%d"} 1e12`, i, i))
	}
	p.pass(10*time.Minute, true)
	var used time.Duration
	for b.Loop() {
		p.wall, p.boot, p.mono = p.wall.Add(time.Second), p.boot+time.Second, p.mono+time.Second
		p.read()
		for _, r := range p.alerts.rules {
			r.evaluated = r.evaluated.Add(-time.Minute) // Each is due.
		}
		before := processorTime(b)
		p.alerts.Evaluate(b.Context())
		used += processorTime(b) - before
	}
	each := used.Seconds() / float64(b.N)
	b.ReportMetric(1000*each, "cpu-ms/op")
	b.ReportMetric(100*each/15, "%core")
	if why := p.alerts.status.unsteady; why != "" {
		b.Fatal(why)
	}
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
