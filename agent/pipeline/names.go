package pipeline

import (
	"fmt"

	"github.com/prometheus/otlptranslator"

	"sysotel/instruments"
)

// PrometheusNames lists the names that a metric has on the Prometheus page, in
// the order of its OpenTelemetry names. Every exporter that follows the
// OpenTelemetry specification makes the same ones.
func PrometheusNames(m *instruments.Metric, c instruments.Conventions) ([]string, error) {
	namer := otlptranslator.NewMetricNamer("", otlptranslator.UnderscoreEscapingWithSuffixes)
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
