package export

import (
	"fmt"

	"github.com/prometheus/otlptranslator"

	"sysotel/instruments"
)

// newNamer makes the translator of names that the page has.
func newNamer() otlptranslator.MetricNamer {
	return otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
}

// PrometheusNames lists the names that a metric has on the Prometheus page, in
// the order of its OpenTelemetry names. Every exporter that follows the
// OpenTelemetry specification makes the same ones.
func PrometheusNames(m *instruments.Metric, c instruments.Conventions) ([]string, error) {
	namer := newNamer()
	kind := map[instruments.Kind]otlptranslator.MetricType{
		instruments.Counter:       otlptranslator.MetricTypeMonotonicCounter,
		instruments.UpDownCounter: otlptranslator.MetricTypeNonMonotonicCounter,
		instruments.Gauge:         otlptranslator.MetricTypeGauge,
	}[m.Kind]
	var names []string
	for _, name := range m.Names(c) {
		translated, err := namer.Build(otlptranslator.Metric{Name: name, Unit: m.Unit, Type: kind})
		if err != nil {
			return nil, fmt.Errorf("metric %s has no Prometheus name: %w", name, err)
		}
		names = append(names, translated)
	}
	return names, nil
}

// What the names of roll-ups end in. No name of ours does.
const (
	minSuffix, maxSuffix = ".min", ".max"
	rateSuffix           = ".rate"
)

// rollupUnit is the unit of a roll-up's extreme.
func rollupUnit(unit string, rate bool) string {
	if rate {
		return unit + "/s"
	}
	return unit
}

// rollupNames are the Prometheus names of the least and the greatest value of a
// metric, for a counter those of its rate per second.
func rollupNames(namer otlptranslator.MetricNamer, name, unit string, counter bool) (least, greatest string, err error) {
	if counter {
		name += rateSuffix
	}
	unit = rollupUnit(unit, counter)
	build := func(suffix string) (string, error) {
		return namer.Build(otlptranslator.Metric{Name: name + suffix, Unit: unit, Type: otlptranslator.MetricTypeGauge})
	}
	if least, err = build(minSuffix); err != nil {
		return "", "", err
	}
	greatest, err = build(maxSuffix)
	return least, greatest, err
}
