package export

import (
	"fmt"

	"github.com/prometheus/otlptranslator"

	"sysotel/instruments"
)

// newNamer returns the translator to the names on the page.
func newNamer() otlptranslator.MetricNamer {
	return otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
}

// PrometheusNames returns the names of a metric on the scrape page, in the order of its
// OpenTelemetry names. Every exporter that follows the OpenTelemetry specification has
// the same ones.
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

// Suffixes of the names of roll-ups. No other name of ours has them.
const (
	minSuffix, maxSuffix = ".min", ".max"
	rateSuffix           = ".rate"
)

// rollupUnit is the unit of a minimum or maximum.
func rollupUnit(unit string, rate bool) string {
	if rate {
		return unit + "/s"
	}
	return unit
}

// rollupNames are the Prometheus names of the minimum and the maximum of a metric, for a
// counter those of its rate per second.
func rollupNames(namer otlptranslator.MetricNamer, name, unit string, counter bool) (minimum, maximum string, err error) {
	if counter {
		name += rateSuffix
	}
	unit = rollupUnit(unit, counter)
	build := func(suffix string) (string, error) {
		return namer.Build(otlptranslator.Metric{Name: name + suffix, Unit: unit, Type: otlptranslator.MetricTypeGauge})
	}
	if minimum, err = build(minSuffix); err != nil {
		return "", "", err
	}
	maximum, err = build(maxSuffix)
	return minimum, maximum, err
}
