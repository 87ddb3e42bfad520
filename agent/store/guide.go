package store

import _ "embed" // The guide's text.

// Guide is the page /docs/history, in Markdown.
//
//go:embed HISTORY.md
var Guide string
