// Package otelcollector holds the configurations of the bundled programs against
// the programs themselves: the Collector, VictoriaMetrics and Prometheus as they
// are pinned. It holds tests only; the programs' start and stop in package
// otel-collector/programs, the whole stack under load in agent/app.
package otelcollector
