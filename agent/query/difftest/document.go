package difftest

import (
	"fmt"
	"slices"
	"strings"
)

// Document is what is asked, as Markdown.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Answers beside Prometheus

Written by ` + "`make golden`" + ` from agent/query/difftest, which asks each of these expressions of the tiers and of a real Prometheus that kept every second of the same history: at moments on the edges of minutes and hours and beside them, and over ranges with steps from a second to an hour. The histories are made at random, with resets, gaps, restarts, clocks that are set, and series that come and go.

Where the seconds are, every answer is that of Prometheus. What follows is how far an answer may be off where only a coarser tier reaches. Prometheus' look-back is five minutes, and it marks a series as stale when a scrape fails; the agent does so when two readings are missing.
`)
	for _, bound := range []Bound{Exact, Bucket, Warned} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", bound.title(), bound.meaning())
		b.WriteString("| Expression | Prometheus is asked |\n| --- | --- |\n")
		for _, e := range Expressions() {
			if e.Bound != bound {
				continue
			}
			asked := "the same"
			if e.Truth != "" {
				asked = code(e.Truth)
			}
			fmt.Fprintf(&b, "| %s | %s |\n", code(e.Text), asked)
		}
	}
	writeKnown(&b)
	return b.String()
}

// writeKnown lists the expressions that are answered wrongly.
func writeKnown(b *strings.Builder) {
	if len(known()) == 0 {
		return
	}
	b.WriteString("\n## Known to be wrong\n\nEach of these is answered beyond its bound at some of the moments:\n\n")
	for _, k := range known() {
		for _, text := range slices.Sorted(slices.Values(k.texts)) {
			fmt.Fprintf(b, "- %s: %s\n", code(text), k.why)
		}
	}
}

// code quotes an expression in a table.
func code(text string) string { return "`" + strings.ReplaceAll(text, "|", `\|`) + "`" }
