package app

import (
	_ "embed" // The guide's text.

	"sysotel/agent/alerting"
	"sysotel/agent/store"
	"sysotel/api"
	"sysotel/instruments"
	otelcollector "sysotel/otel-collector"
)

// troubleshooting is the page /docs/troubleshooting, in Markdown.
//
//go:embed TROUBLESHOOTING.md
var troubleshooting string

// Guides are the pages under /docs, in the order in which they are listed. Each
// is kept beside the code that it describes.
func Guides() []api.Guide {
	return []api.Guide{
		{File: "agent/store/HISTORY.md", Text: store.Guide},
		{File: "agent/alerting/ALERTS.md", Text: alerting.Guide},
		{File: "api/NETWORK.md", Text: api.NetworkGuide},
		{File: "instruments/CONTAINERS.md", Text: instruments.ContainersGuide},
		{File: "otel-collector/STACK.md", Text: otelcollector.Guide},
		{File: "instruments/METRICS.md", Text: instruments.MetricsGuide},
		{File: "agent/app/TROUBLESHOOTING.md", Text: troubleshooting},
	}
}
