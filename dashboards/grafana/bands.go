package grafana

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	averaged = regexp.MustCompile(`^avg_over_time\((\w+)(\{[^{}]*\})\[\$window\]\)$`)
	rated    = regexp.MustCompile(`^rate\((\w+)_total(\{[^{}]*\})\[\$rate_window\]\)$`)
	// suffix is the unit at the end of a Prometheus metric name, if it has one.
	suffix = regexp.MustCompile(`(?:_(?:ratio|seconds|hertz|bytes_per_second|per_second|bytes))?$`)
)

// band derives the edges of the band around a line from its expression, which is
// the mean of a gauge or the rate of a counter. The coarse tiers store a minimum
// and a maximum for each bucket under names of their own. The finest tier and
// Prometheus lack them, so each edge falls back on the samples themselves.
func band(expr string) (low, high string, err error) {
	edge := func(string) string { return expr }
	m := averaged.FindStringSubmatch(expr)
	if m != nil {
		edge = func(f string) string { return strings.Replace(expr, "avg_over_time", f, 1) }
	} else if m = rated.FindStringSubmatch(expr); m != nil {
		m[1] = rateName(m[1])
	} else {
		return "", "", fmt.Errorf("no band can be derived from %s: it is neither avg_over_time(metric{…}[$window]) nor rate(metric_total{…}[$rate_window])", expr)
	}
	derive := func(extreme string) string {
		unit := suffix.FindString(m[1])
		name := strings.TrimSuffix(m[1], unit) + "_" + extreme + unit
		f := extreme + "_over_time"
		return fmt.Sprintf("%s(%s%s[$window]) or %s", f, name, m[2], edge(f))
	}
	return derive("min"), derive("max"), nil
}

// rateName is the name of a counter's rate, without _total: the unit of x_bytes
// moves to the end of x_rate_bytes_per_second.
func rateName(counter string) string {
	unit := suffix.FindString(counter)
	return strings.TrimSuffix(counter, unit) + "_rate" + unit + "_per_second"
}
