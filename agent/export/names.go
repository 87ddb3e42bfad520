package export

import (
	"fmt"
	"strings"

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

// Aliases returns OpenTelemetry's names of a metric and of its minimum and maximum, with
// their Prometheus names.
func Aliases(m *instruments.Metric, c instruments.Conventions) (map[string]string, error) {
	translated, err := PrometheusNames(m, c)
	if err != nil {
		return nil, err
	}
	aliases := map[string]string{}
	for i, name := range m.Names(c) {
		aliases[name] = translated[i]
		minimum, maximum, err := rollupNames(newNamer(), name, m.Unit, m.Kind == instruments.Counter)
		if err != nil {
			return nil, err
		}
		if m.Kind == instruments.Counter {
			name += rateSuffix
		}
		aliases[name+minSuffix], aliases[name+maxSuffix] = minimum, maximum
	}
	return aliases, nil
}

// LabelName is the label of an attribute on the scrape page.
func LabelName(attribute string) (string, error) {
	namer := otlptranslator.LabelNamer{}
	return namer.Build(attribute)
}

// OwnNames are the names that metrics of collectors have or can have on the scrape page
// and in the history.
func OwnNames(collectors []instruments.Collector, c instruments.Conventions, config Config) (map[string]bool, error) {
	own := map[string]bool{}
	for _, collector := range collectors {
		for _, m := range collector.Metrics() {
			aliases, err := Aliases(m, c)
			if err != nil {
				return nil, err
			}
			for _, name := range aliases {
				own[name] = true
			}
		}
	}
	if config.Prometheus.NodeExporter == AllNodeNames {
		for _, node := range instruments.NodeNames() {
			own[node.Name] = true
		}
	}
	if config.Prometheus.NodeExporter.legacy() {
		for _, legacy := range legacyNameTable() {
			minimum, maximum, err := rollupNames(newNamer(), strings.TrimSuffix(legacy.name, "_total"), "", legacy.isCounter())
			if err != nil {
				return nil, err
			}
			own[legacy.name], own[minimum], own[maximum] = true, true, true
		}
	}
	return own, nil
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
