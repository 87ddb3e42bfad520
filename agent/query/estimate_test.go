package query

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// busy is a tier with 3,000 series of five labels with a sample each 10 s for ten
// minutes; values differ.
func busy(t testing.TB) *fakeTier {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	var all []samples
	for i := range 3000 {
		s := samples{named("m_total", "host_name", fmt.Sprintf("host-%03d.example.org", i%300), "device", fmt.Sprintf("disk%d", i/300), "state", "used"), map[int64]float64{}}
		if i%10 == 0 {
			s.labels = labels.NewBuilder(s.labels).Set("mountpoint", "/mnt/"+strings.Repeat("x", 200)).Labels()
		}
		for k := range int64(60) {
			s.at[day.UnixMilli()+10_000*k] = random.Float64()
		}
		all = append(all, s)
	}
	return &fakeTier{name: "10s", resolution: 10 * time.Second, oldest: day, queryable: storageOf(t, all...)}
}

// nested puts an expression into a function a number of times.
func nested(format, inner string, times int) string {
	for range times {
		inner = fmt.Sprintf(format, inner)
	}
	return inner
}

// TestWhatWouldTakeTooMuchIsRefused: before it takes the memory, whatever the text
// looks like, with what it is, how much, and what is allowed.
func TestWhatWouldTakeTooMuchIsRefused(t *testing.T) {
	q := querierOn(busy(t))
	q.config.Interval = 10 * time.Second
	end := day.Add(590 * time.Second)
	for _, c := range []struct {
		name, expr, want string
		step             time.Duration // 0 for an instant query
	}{
		{"doubling by nesting", nested(`label_replace(%s, "a", "$1$1", "a", "(.*)")`, `label_replace(vector(1), "a", "xxxxxxxxxxxxxxxx", "", "")`, 30), "too much memory", 0},
		{"doubling in a range", nested(`label_replace(%s, "device", "$1$1", "device", "(.*)")`, `m_total`, 16), "too much memory", time.Minute},
		{"many references", `label_replace(m_total, "a", "` + strings.Repeat("$1", 2000) + `", "host_name", "(.*)")`, "too much memory", 0},
		{"a long text for each series", `label_replace(m_total, "a", "` + strings.Repeat("x", 100_000) + `", "host_name", ".*")`, "too much memory", 0},
		{"joining a label with itself", `label_join(m_total, "a", ","` + strings.Repeat(`, "mountpoint"`, 200) + `)`, "too much memory", 0},
		{"joining by nesting", nested(`label_join(%s, "a", "", "a", "a")`, `label_replace(vector(1), "a", "xxxxxxxxxxxxxxxx", "", "")`, 30), "too much memory", 0},
		{"before the selector", nested(`label_replace(%s, "a", "$1$1", "a", "(.*)")`, `label_replace(vector(1), "a", "xxxxxxxxxxxxxxxx", "", "")`, 30) + " * on() m_total", "too much memory", 0},
		{"copies by group_left", `m_total * on() group_left(a) ` + `label_replace(vector(1), "a", "` + strings.Repeat("x", 20_000) + `", "", "")`, "too much memory", 0},
		{"a group for each series", `topk by (host_name, device) (1e6, m_total)`, "too much memory", 0},
		{"limitk by without", `limitk without (state) (3000, m_total)`, "too much memory", time.Minute},
		{"a result of too many points", `m_total`, "too large", 100 * time.Millisecond},
		{"a subquery in a subquery", `max_over_time(sum_over_time(m_total[10m:1s])[10m:1s])`, "too much memory", 0},
		{"a union", "m_total" + strings.Repeat(` or on(device, host_name, state, a) label_replace(m_total, "a", "x", "", "")`, 40), "too much memory", 10 * time.Second},
		{"sorting by a long label", `sort_by_label(label_replace(m_total, "a", "` + strings.Repeat("1a", 1500) + `$1", "host_name", "(.*)"), "a")`, "too", 0},
		{"quantiles of long ranges", `quantile_over_time(0.5, vector(1)[90000m:1m])` + strings.Repeat(` + quantile_over_time(0.5, vector(1)[90000m:1m])`, 3), "", 0},
		{"quantiles in every step of a subquery", `max_over_time(quantile_over_time(0.5, vector(1)[30000m:1m])[30000m:1m])`, "too long", 0},
		{"info of a long identity", `info(label_replace(m_total, "instance", "$1` + strings.Repeat("x", 200) + `", "host_name", "(.*)"))`, "labels job and instance", 0},
		{"a large regular expression", `label_replace(m_total, "a", "$1", "host_name", "((((.?){30}){30}){30}).*")`, "invalid regular expression", 0},
		{"a large program", `label_replace(m_total, "a", "$1", "host_name", "(` + strings.Repeat("(abc?d){900}", 10) + `)")`, "instructions", 0},
		{"matching for long", `label_replace(label_replace(m_total, "a", "` + strings.Repeat("a", 500) + `", "", ""), "b", "x", "a", "` + strings.Repeat("a?", 1000) + strings.Repeat("a", 1000) + `")`, "too long", 0},
		{"a large program in a matcher", `m_total{host_name=~"` + strings.Repeat("(abc?d){900}", 10) + `"}`, "instructions", 0},
		{"many large programs", strings.TrimSuffix(strings.Repeat(`m_total{host_name=~"(abc?d){900}"} or `, 10), "or "), "instructions", 0},
		{"many Unicode classes", `m_total{host_name=~"` + strings.Repeat(`[\\pL\\pN]`, 50) + `"}`, "Unicode classes", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var a *Result
			var err error
			if c.step == 0 {
				a, err = q.Instant(t.Context(), c.expr, end)
			} else {
				a, err = q.Range(t.Context(), c.expr, day, end, c.step)
			}
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > 200<<20 {
				t.Errorf("it took %d MiB", took>>20)
			}
			if err == nil {
				a.Close()
			}
			if c.want == "" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			var known *Error
			if !asQueryError(err, &known) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
				t.Errorf("error %.2000v, want a short one that says %q", err, c.want)
			}
		})
	}
}

// TestHonestQueriesAreAnswered: thousands of series and long lists of hosts fit.
func TestHonestQueriesAreAnswered(t *testing.T) {
	q := querierOn(busy(t))
	q.config.Interval = 10 * time.Second
	hosts := make([]string, 400)
	for i := range hosts {
		hosts[i] = fmt.Sprintf(`host-%03d\\.example\\.org`, i)
	}
	all := strings.Join(hosts, "|")
	many := strings.Join(append(hosts, make([]string, 4000)...), "|a-rather-long-host-name-of-nobody.example.org")
	for _, expr := range []string{
		`label_replace(m_total, "short", "$1", "host_name", "([^.]*)\\..*")`,
		`label_replace(label_replace(m_total, "short", "$1", "host_name", "([^.]*)\\..*"), "disk", "${1}", "device", "disk(.*)")`,
		`label_join(m_total, "where", "/", "host_name", "device", "mountpoint")`,
		`sum by (short) (label_replace(rate(m_total[1m]), "short", "$1", "host_name", "([^.]*)\\..*"))`,
		`m_total{host_name=~"` + all + `"}`,
		`m_total{host_name=~"` + all + `",device!~"` + all + `"}`,
		`sum(rate(m_total{host_name=~"` + all + `"}[5m])) by (host_name)`,
		`count(m_total{host_name=~"` + many + `"})`,
		`topk(10, m_total)`, `topk by (device) (10, m_total)`, `topk by (host_name) (100, m_total)`,
		`count_values("v", round(m_total * 10))`,
		`sum by (host_name) (m_total) / sum by (host_name) (rate(m_total[1m]))`,
		`m_total / on(host_name) group_left sum by (host_name) (m_total)`,
		`m_total / ignoring(device, mountpoint) group_left sum without (device, mountpoint) (m_total)`,
		`max_over_time(sum(rate(m_total[1m]))[10m:10s])`,
		`max_over_time(rate(m_total{device="disk0",host_name=~"host-00.*"}[5m])[30d:])`,
		`quantile_over_time(0.99, m_total[10m])`, `sort_by_label(m_total{device="disk0"}, "host_name")`, `sort_desc(m_total)`,
		`m_total offset 1m > m_total`, `absent(m_total{host_name="none"})`, `m_total or m_total offset 1m`,
		`step() + range() + start() - end()`,
	} {
		for _, step := range []time.Duration{0, 10 * time.Second} {
			var a *Result
			var err error
			if step == 0 {
				a, err = q.Instant(t.Context(), expr, day.Add(9*time.Minute))
			} else {
				a, err = q.Range(t.Context(), expr, day, day.Add(590*time.Second), step)
			}
			if err != nil {
				t.Errorf("%.150s, step %s: %v", expr, step, err)
				continue
			}
			a.Close()
		}
	}
	if q.light.free != q.config.Limits.Concurrency || q.heavy.free != 1 || q.held.total != 0 || len(q.held.each) != 0 {
		t.Errorf("left over: %d light and %d heavy turns, %v bytes held", q.light.free, q.heavy.free, q.held.total)
	}
}

// TestCutQueriesGiveTheSame: an evaluation that does not fit is evaluated in parts,
// and its result is the same.
func TestCutQueriesGiveTheSame(t *testing.T) {
	tier := busy(t)
	whole := querierOn(tier)
	whole.config.Interval = 10 * time.Second
	all := 0
	for _, expr := range []string{
		`sum by (device) (m_total)`, `count_values("v", round(m_total{host_name=~"host-00.*"} * 3))`, `topk(3, m_total)`, `sum(rate(m_total[2m]))`,
		`quantile(0.9, m_total) + start() + step() - end() + range()`, `max_over_time(sum(m_total)[1m:10s])`, `sum(m_total @ start())`,
		`absent(m_total{device="none"})`, `label_replace(topk(2, m_total), "a", "$1", "device", "(.*)")`,
		`max by (host_name) (m_total) and on(host_name) m_total{host_name=~"host-00.*"}`,
	} {
		want, err := whole.Range(t.Context(), expr, day, day.Add(590*time.Second), 10*time.Second)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		cuts := 0
		for _, memory := range []float64{7 << 20, 5 << 20, 3500 << 10} {
			cut := querierOn(tier)
			cut.config.Interval, cut.config.Limits.Memory = 10*time.Second, memory
			got, err := cut.Range(t.Context(), expr, day, day.Add(590*time.Second), 10*time.Second)
			if err != nil {
				var known *Error
				if !errors.As(err, &known) || known.Type != Execution {
					t.Errorf("%s: %v", expr, err)
				}
				continue
			}
			if got.query == nil {
				cuts++
			}
			a, b := want.Value.(promql.Matrix), got.Value.(promql.Matrix)
			if a.String() != b.String() {
				t.Errorf("%s with %s: %.300s, want %.300s", expr, mebibytes(memory), b, a)
			}
			got.Close()
		}
		want.Close()
		all += cuts
	}
	if all < 10 {
		t.Errorf("only %d of the evaluations were cut", all)
	}
}
