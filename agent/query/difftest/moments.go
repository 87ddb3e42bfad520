package difftest

import (
	"math/rand/v2"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/store"
)

// Tiers are tiers of which each answers for a part of a history that no finer one has.
func Tiers() []store.TierConfig {
	return []store.TierConfig{
		{Resolution: time.Second, Retention: 2 * time.Hour},
		{Resolution: time.Minute, Retention: 5 * time.Hour},
		{Resolution: 5 * time.Minute, Retention: 9 * time.Hour},
		{Resolution: time.Hour, Retention: 100 * time.Hour},
	}
}

// ShortLength is the length of a history that needs all Tiers.
const ShortLength = 14 * time.Hour

// Noon is the end of a history: the edge of an hour is some minutes before it.
var Noon = time.Date(2026, 3, 2, 12, 3, 7, 0, time.UTC)

// question is when an expression is asked: at start if step is zero.
type question struct {
	start, end time.Time
	step       time.Duration
}

func instant(at time.Time) question { return question{start: at, end: at} }

// questions are all moments and ranges of a history.
func (h *History) questions() []question {
	end := h.End()
	minute, five, hour := end.Truncate(time.Minute), end.Truncate(5*time.Minute), end.Truncate(time.Hour)
	var list []question
	for _, at := range []time.Time{
		end, end.Add(-time.Second), end.Add(1300 * time.Millisecond), end.Add(10 * time.Second),
		minute, minute.Add(-time.Second), minute.Add(time.Second), minute.Add(2500 * time.Millisecond), minute.Add(-30 * time.Second),
		five, five.Add(-time.Millisecond), five.Add(2 * time.Second), five.Add(-5 * time.Minute),
		hour, hour.Add(-time.Second), hour.Add(time.Millisecond), hour.Add(time.Second), hour.Add(3 * time.Second),
	} {
		list = append(list, question{start: at})
	}
	r := rand.New(rand.NewPCG(h.Seed, 1))
	for i := range list {
		list[i].end = list[i].start
	}
	// Only coarser tiers have these.
	for _, back := range []time.Duration{3 * time.Hour, 7 * time.Hour, 10 * time.Hour} {
		for _, later := range []time.Duration{0, 5*time.Minute + time.Second, time.Duration(r.IntN(3600_000)) * time.Millisecond} {
			list = append(list, instant(hour.Add(later-back)))
		}
	}
	for _, one := range []struct {
		step  time.Duration
		count int
		back  []time.Duration
	}{
		{time.Second, 12, []time.Duration{5 * time.Second, 2 * time.Hour, 8 * time.Hour}},
		{7300 * time.Millisecond, 12, []time.Duration{10 * time.Second, 5 * time.Hour}},
		{15 * time.Second, 12, []time.Duration{time.Minute, 4 * time.Hour}},
		{time.Minute, 15, []time.Duration{0, 3*time.Hour + 7*time.Second}},
		{5 * time.Minute, 15, []time.Duration{3 * time.Minute, 6 * time.Hour}},
		{time.Hour, 9, []time.Duration{0, 7 * time.Minute}},
	} {
		for _, back := range one.back {
			last := end.Add(-back)
			list = append(list, question{last.Add(-time.Duration(one.count) * one.step), last, one.step})
		}
	}
	return list
}

// answers are the values at each step.
type answers struct {
	at       []time.Time
	values   []map[string]float64 // by labels
	order    []string             // of an instant vector
	warnings map[string]bool
}

func newAnswers(q question, v parser.Value, warnings annotations.Annotations) answers {
	a := answers{warnings: map[string]bool{}}
	for _, w := range warnings {
		a.warnings[w.Error()] = true
	}
	steps := 1
	if q.step > 0 {
		steps = int(q.end.Sub(q.start)/q.step) + 1
	}
	for i := range steps {
		a.at, a.values = append(a.at, q.start.Add(time.Duration(i)*q.step)), append(a.values, map[string]float64{})
	}
	switch v := v.(type) {
	case promql.Scalar:
		a.values[0][""] = v.V
	case promql.Vector:
		for _, s := range v {
			key := s.Metric.String()
			a.values[0][key], a.order = s.F, append(a.order, key)
		}
	case promql.Matrix:
		for _, s := range v {
			a.add(q, s.Metric, s.Floats)
		}
	}
	return a
}

// add adds the points of a series: each to its step, or all to the only one.
func (a answers) add(q question, metric labels.Labels, points []promql.FPoint) {
	key := metric.String()
	for _, p := range points {
		if q.step == 0 {
			a.values[0][key+" @ "+timestamp.Time(p.T).UTC().Format(clockTime)] = p.F
			continue
		}
		a.values[timestamp.Time(p.T).Sub(q.start)/q.step][key] = p.F
	}
}
