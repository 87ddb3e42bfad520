// Package otelcollector is the configuration of the bundled Collector and of the
// programs around it: VictoriaMetrics, Prometheus and recipes for other backends.
// Its tests run the pinned programs with these files; what builds and starts the
// programs is in otel-collector/programs. The agent takes only the guide from here.
package otelcollector

import _ "embed" // The guide's text.

// Guide is the page /docs/stack, in Markdown.
//
//go:embed STACK.md
var Guide string
