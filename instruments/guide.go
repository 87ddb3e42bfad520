package instruments

import _ "embed" // The guides' texts.

// ContainersGuide is the page /docs/containers and MetricsGuide the page
// /docs/metrics, in Markdown.
var (
	//go:embed CONTAINERS.md
	ContainersGuide string
	//go:embed METRICS.md
	MetricsGuide string
)
