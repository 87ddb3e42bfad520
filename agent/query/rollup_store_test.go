package query_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// young is a tier that has lost its older part.
type young struct {
	query.Source
	oldest time.Time
}

func (y *young) Oldest() time.Time { return y.oldest }

// coarse is a store whose readings of the first hours are in coarser tiers only.
type coarse struct {
	*query.Querier
	start time.Time
	// alternating and total are the values of each second from start.
	alternating, total []float64
}

// recentSeconds is how long the seconds of a coarse store reach back.
const recentSeconds = 3 * time.Minute

// openCoarse returns a store at a time that is on no edge of a bucket. A gauge is 0 and 100
// in turn, a counter grows by bursts and is reset every 41 minutes.
func openCoarse(t *testing.T) *coarse {
	t.Helper()
	c := &coarse{start: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	clock := storetest.NewClock(c.start)
	s := storetest.OpenStore(t, store.Options{Dir: t.TempDir(), Tiers: store.Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"), Clock: clock.Judge()})
	gauge := &store.Series{Labels: labels.FromStrings(model.MetricNameLabel, "alt", "host_name", "h"), MinName: "alt_min", MaxName: "alt_max"}
	counter := &store.Series{Labels: labels.FromStrings(model.MetricNameLabel, "c_total", "host_name", "h"), Kind: store.Counter, MinName: "c_rate_min", MaxName: "c_rate_max"}
	total := 1e6
	for i := range 2*3600 + 37*60 + 24 {
		now := c.start.Add(time.Duration(i) * time.Second)
		clock.Set(now)
		if total += float64(i % 2 * 100); i%600 < 60 {
			total += 5000
		}
		if i%2460 == 2459 {
			total = 3
		}
		v := float64(i % 2 * 100)
		c.alternating, c.total = append(c.alternating, v), append(c.total, total)
		reading := store.CollectorReading{Collector: "fam", Taken: now, Samples: []store.Sample{{Series: gauge, Value: v}, {Series: counter, Value: total}}}
		if err := s.Append(store.Reading{Time: now, Collectors: []store.CollectorReading{reading}}); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Complete(t, s)
	sources := query.Sources(s.Tiers())
	sources[0] = &young{sources[0], clock.Now().Add(-recentSeconds)}
	c.Querier = query.NewQuerier(query.Config{
		Tiers: func() []query.Source { return sources }, Names: s.Rollups(), Interval: time.Second, Limits: query.DefaultLimits(),
	})
	return c
}

// end is the newest second.
func (c *coarse) end() time.Time { return c.at(len(c.total) - 1) }

func (c *coarse) at(i int) time.Time { return c.start.Add(time.Duration(i) * time.Second) }

// counted is what the counter counted in (from, to].
func (c *coarse) counted(from, to int) (sum float64) {
	for i := max(1, from+1); i <= to && i < len(c.total); i++ {
		if d := c.total[i] - c.total[i-1]; d >= 0 {
			sum += d
		} else {
			sum += c.total[i]
		}
	}
	return sum
}

// one evaluates an expression with one result.
func (c *coarse) one(t *testing.T, expr string, at time.Time) (v float64, warnings string) {
	t.Helper()
	a, err := c.Instant(t.Context(), expr, at)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer a.Close()
	vector, ok := a.Value.(promql.Vector)
	if !ok || len(vector) != 1 {
		t.Fatalf("%s at %s: %v, want one value", expr, at, a.Value)
	}
	for _, err := range a.Warnings {
		warnings += err.Error() + "\n"
	}
	return vector[0].F, warnings
}

// TestFunctionsKnowTheRollUp: what a coarser tier answers is what the seconds say, within
// one bucket's share at each end of the range.
func TestFunctionsKnowTheRollUp(t *testing.T) {
	c := openCoarse(t)
	for _, last := range []int{len(c.total) - 1, len(c.total) - 100, 2*3600 + 61, 2 * 3600, 3*1800 - 1} {
		for _, width := range []int{3600, 1234, 300} {
			if last-width < 0 || time.Duration(len(c.total)-1-last+width)*time.Second < recentSeconds {
				continue
			}
			at, text := c.at(last), fmt.Sprintf("[%ds]", width)
			bucket := 60.0
			f := func(expr string, want, bound float64) {
				t.Helper()
				got, warnings := c.one(t, strings.ReplaceAll(expr, "[w]", text), at)
				if !(math.Abs(got-want) <= bound) {
					t.Errorf("%s over %d s at %s: %v, want %v within %v", expr, width, at, got, want, bound)
				}
				counts := strings.HasPrefix(expr, "count") || strings.HasPrefix(expr, "sum") || strings.HasPrefix(expr, "avg")
				if known := strings.HasPrefix(warnings, "PromQL info: tier 1m counts the readings of each 1m by collector"); known != counts || warnings != "" && !known {
					t.Errorf("%s: %s", expr, warnings)
				}
			}
			f("max_over_time(alt[w])", 100, 0)
			f("min_over_time(alt[w])", 0, 0)
			f(`max_over_time({__name__=~"al.*"}[w])`, 100, 0)
			f("max_over_time(alt_max[w])", 100, 0)
			f("count_over_time(alt[w])", float64(width), bucket)
			f("sum_over_time(alt[w])", float64(width)*50, 100*bucket)
			f("avg_over_time(alt[w])", 50, 1)
			f("present_over_time(alt[w])", 1, 0)
			// Within the shares of the buckets at both ends, and never above what was counted.
			least, most := c.counted(last-width+60, last-60), c.counted(last-width-60, last+60)
			f("increase(c_total[w])", (least+most)/2, (most-least)/2)
			f("rate(c_total[w])", (least+most)/2/float64(width), (most-least)/2/float64(width))
			resets := 0.0
			for i := last - width + 2; i <= last; i++ {
				if c.total[i] < c.total[i-1] {
					resets++
				}
			}
			f("resets(c_total[w])", resets, 0)
		}
	}
}

// TestSaysWhatATierCannotTell: by a warning that names function and tier, or an information.
func TestSaysWhatATierCannotTell(t *testing.T) {
	c := openCoarse(t)
	for _, function := range []string{"quantile_over_time(0.9, alt[1h])", "stddev_over_time(alt[1h])", "changes(alt[1h])", "last_over_time(alt[1h])", "deriv(alt[1h])", "changes(c_total[1h])", "resets(alt[1h])", "delta(alt[1h])", "rate(alt[1h])", "avg_over_time(c_total[1h])"} {
		_, warnings := c.one(t, function, c.end())
		name, _, _ := strings.Cut(function, "(")
		if !strings.Contains(warnings, "PromQL warning: "+name+"() is computed from one value of each 1m") {
			t.Errorf("%s: warnings %q", function, warnings)
		}
	}
	old := c.end().Add(-time.Hour)
	if v, warnings := c.one(t, "alt", old); v != 50 || !strings.Contains(warnings, "PromQL info: tier 1m keeps the mean of each 1m of a gauge") {
		t.Errorf("%v, warnings %q", v, warnings)
	}
	if _, warnings := c.one(t, "c_total", old); warnings != "" {
		t.Errorf("a counter: %q", warnings)
	}
	if _, warnings := c.one(t, "max_over_time(rate(c_total[5m])[1h:2m])", c.end()); !strings.Contains(warnings, "PromQL info: each point of the subquery") {
		t.Errorf("a subquery: %q", warnings)
	}
	if v, warnings := c.one(t, "alt - alt offset 1m", c.end()); v != 0 || warnings != "" {
		t.Errorf("of seconds: %v, %q", v, warnings)
	}
}

// TestRangesWithinABucket: the bucket around the range answers, with a warning.
func TestRangesWithinABucket(t *testing.T) {
	c := openCoarse(t)
	at := c.start.Add(3600*time.Second + 31*time.Second)
	for expr, want := range map[string]float64{"max_over_time(alt[1s])": 100, "min_over_time(alt[1s])": 0, "avg_over_time(alt[1s])": 50} {
		if got, warnings := c.one(t, expr, at); got != want || !strings.Contains(warnings, "PromQL warning: 1s are answered from a whole 1m") {
			t.Errorf("%s: %v, %q; want %v", expr, got, warnings, want)
		}
	}
	if _, err := c.Instant(t.Context(), "alt[10s]", at); err == nil || !strings.Contains(err.Error(), "a range of samples over 10s is too short") {
		t.Errorf("error %v, want too short", err)
	}
}

// TestNoEdgeIsEmpty: what a coarser tier has not written yet comes from the finer one, at
// every second of a minute and of five, and the newest second is there.
func TestNoEdgeIsEmpty(t *testing.T) {
	c := openCoarse(t)
	for i := range 301 {
		at := len(c.total) - 1 - i
		for _, width := range []int{600, 60, 61} {
			if time.Duration(i+width)*time.Second < recentSeconds {
				continue // Of seconds.
			}
			got, _ := c.one(t, fmt.Sprintf("increase(c_total[%ds])", width), c.at(at))
			if most := c.counted(at-width-60, at+60); got > most || got < 0 {
				t.Errorf("over %d s at %s: %v, but %v were counted", width, c.at(at), got, most)
			}
		}
	}
	if got, _ := c.one(t, "timestamp(c_total) + 0 * increase(c_total[1h])", c.end()); got != float64(c.end().Unix()) {
		t.Errorf("the newest second is %v, want %v", got, c.end().Unix())
	}
	got, _ := c.one(t, "increase(c_total[1h])", c.end())
	before, _ := c.one(t, "increase(c_total[59m59s] offset 1s)", c.end())
	if n := len(c.total); got-before != c.counted(n-2, n-1) {
		t.Errorf("the newest second counts %v, want %v", got-before, c.counted(n-2, n-1))
	}
}

// TestEndIsTheOneAskedFor: not the last step.
func TestEndIsTheOneAskedFor(t *testing.T) {
	c := openCoarse(t)
	end := c.end()
	for expr, want := range map[string]float64{
		"timestamp(alt @ end())": float64(end.Unix()), "vector(range())": 100, "vector(end())": float64(end.Unix()), "timestamp(alt @ start())": float64(end.Unix() - 100),
	} {
		a, err := c.Range(t.Context(), expr, end.Add(-100*time.Second), end, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if matrix := a.Value.(promql.Matrix); len(matrix) != 1 || len(matrix[0].Floats) != 4 || matrix[0].Floats[3].F != want {
			t.Errorf("%s: %v, want %v", expr, matrix, want)
		}
		a.Close()
	}
}

// TestRollUpsAreFoundByTheirNameOnly: alike in every tier.
func TestRollUpsAreFoundByTheirNameOnly(t *testing.T) {
	c := openCoarse(t)
	for _, at := range []time.Time{c.end(), c.end().Add(-time.Hour)} {
		for expr, want := range map[string]float64{
			`count({__name__=~"alt.*"})`: 1, `count({host_name="h",__name__!="sysotel_family_readings"})`: 2,
			`count(alt_max)`: 1, `count({__name__="alt_max",__name__=~"alt.*"})`: 1,
		} {
			if got, _ := c.one(t, expr, at); got != want {
				t.Errorf("%s at %s: %v, want %v", expr, at, got, want)
			}
		}
	}
}
