package storetest

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

const (
	// steps is the number of points per series: enough for a database to have made
	// blocks of the oldest.
	steps = 1200
	// many is the number of similar series.
	many = 40

	gapFrom, gapTo = 400, 500 // Series b has no samples in the gap.
	endAt, backAt  = 600, 800 // Series c ends and comes back.
	resetAt        = 700      // The counter is reset.
)

// hostile is a label value that breaks code without escaping.
const hostile = "a\"b\\c\nd{e=\"f\"} $1 ü\U0001F980 '; --"

// make makes the series: gauges with a gap, an end and odd values, a counter with a
// reset, and their minima and maxima.
func (s *subject) make() []Series {
	named := func(name string, pairs ...string) *Series {
		return &Series{Labels: labels.FromStrings(append([]string{model.MetricNameLabel, name, Mark, "yes", "host_name", "h"}, pairs...)...)}
	}
	a, b, c := named("g", "i", "a"), named("g", "i", "b", "kind", "gap"), named("g", "i", "c", "kind", "end")
	// A series' values are of one order of magnitude, as measurements are: a
	// storage may share an exponent among them.
	odd := []*Series{named("g_odd", "i", hostile), named("g_odd", "i", "great"), named("g_odd", "i", "tiny"), named("g_odd", "i", "whole")}
	odds := [][]float64{
		{0, math.Copysign(0, -1), math.Pi, -1.0 / 3, 0.1, 1e3 + 1e-9, math.Inf(1), math.Inf(-1)},
		{-1e300, 1e300, 1.0 / 3 * 1e300},
		{1e-250, -1e-250, 1.0 / 3 * 1e-250},
		{1 << 53, 1e15 + 0.5, -1},
	}
	minimum, maximum := named("g_min", "i", "a"), named("g_max", "i", "a")
	io, slowest, fastest := named("io_total", "i", "a"), named("io_rate_min", "i", "a"), named("io_rate_max", "i", "a")
	alike := make([]*Series, many)
	for k := range alike {
		alike[k] = named("alike", "n", fmt.Sprintf("%03d", k))
	}
	total := 1e9
	for k := 1; k <= steps; k++ {
		at := s.at(k)
		add := func(one *Series, v float64) { one.Samples = append(one.Samples, Sample{at, v}) }
		v := float64(k*k%997) / 4
		add(a, v)
		add(minimum, v-1)
		add(maximum, v+1)
		for n, one := range odd {
			add(one, odds[n][k%len(odds[n])])
		}
		if k < gapFrom || k >= gapTo {
			add(b, v+1000)
		}
		switch {
		case k == endAt:
			add(c, math.Float64frombits(value.StaleNaN))
		case k < endAt || k >= backAt:
			add(c, -v)
		}
		if total += float64(k%17) * 100; k == resetAt {
			total = 5
		}
		add(io, total)
		add(slowest, float64(k%17))
		add(fastest, float64(k%17)*200)
		for n, one := range alike {
			add(one, float64(k+n))
		}
	}
	all := make([]Series, 0, 12+many)
	for _, one := range slices.Concat([]*Series{a, b, c, io}, odd, alike) {
		all = append(all, *one)
	}
	if s.tier.Resolution > finest { // Each second is its own minimum and maximum.
		for _, one := range []*Series{minimum, maximum, slowest, fastest} {
			all = append(all, *one)
		}
	}
	return all
}
