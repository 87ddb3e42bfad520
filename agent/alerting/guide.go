package alerting

import _ "embed" // The guide's text.

// Guide is the page /docs/alerts, in Markdown.
//
//go:embed ALERTS.md
var Guide string
