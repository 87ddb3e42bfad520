// Package otelcollector tests the configurations of the bundled programs with the
// programs themselves, at their pinned versions: the Collector, VictoriaMetrics,
// Prometheus and Telegraf. Package otel-collector/programs starts and stops them;
// agent/app tests the whole stack under load.
package otelcollector
