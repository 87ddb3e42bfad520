package app

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"sysotel/agent/pipeline"
	"sysotel/instruments"
)

// update rewrites golden files; make golden sets it.
var update = flag.Bool("update", false, "rewrite golden files")

// TestReadme writes the README's tables of names from the code, and holds the
// README to them.
func TestReadme(t *testing.T) {
	const path = "../../README.md"
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	after := between(t, string(before), "<!-- names: written by make golden -->\n", "<!-- end of names -->", quantityTable(t))
	after = between(t, after, "<!-- seed names: written by make golden -->\n", "<!-- end of seed names -->", seedTable())
	if *update {
		if err := os.WriteFile(path, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if after != string(before) {
		t.Error("the README's tables are not what the code prints; run make golden and look at the difference")
	}
}

// between puts a text between two marks.
func between(t *testing.T, text, from, to, middle string) string {
	t.Helper()
	head, rest, ok := strings.Cut(text, from)
	if !ok {
		t.Fatalf("the README has no mark %q", from)
	}
	_, tail, ok := strings.Cut(rest, to)
	if !ok {
		t.Fatalf("the README has no mark %q", to)
	}
	return head + from + middle + to + tail
}

// quantityTable lists what the product promises, in every language it goes by.
func quantityTable(t *testing.T) string {
	t.Helper()
	checked := map[string]string{}
	for line := range strings.Lines(slurp(t, "testdata/checked.txt")) {
		name, how, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		checked[name] = how
	}
	var b strings.Builder
	b.WriteString("| name | unit | OpenTelemetry | Prometheus | checked against |\n|---|---|---|---|---|\n")
	for _, q := range instruments.Quantities() {
		otel, prometheus := "field `"+q.Field+"` of `/processes`", ""
		if q.Metric != nil {
			labels := selector(q)
			names, err := pipeline.PrometheusNames(q.Metric, instruments.Hostmetrics)
			if err != nil {
				t.Fatal(err)
			}
			otel = "`" + q.Metric.Names(instruments.Hostmetrics)[0] + "`"
			prometheus = "`" + scaled(names[0]+labels, q.Scale) + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", q.Name, q.Unit, otel, prometheus, checked[q.Name])
	}
	return b.String()
}

// selector is the part of a PromQL selector that picks the points.
func selector(q instruments.Quantity) string {
	var labels []string
	for i, v := range q.Values {
		if v != "*" {
			labels = append(labels, fmt.Sprintf("%s=%q", strings.ReplaceAll(q.Metric.Keys[i].Name, ".", "_"), v))
		}
	}
	if len(labels) == 0 {
		return ""
	}
	return "{" + strings.Join(labels, ",") + "}"
}

// scaled is the PromQL expression in the promised unit.
func scaled(expression string, scale float64) string {
	switch {
	case scale == 1:
		return expression
	case scale < 1:
		return fmt.Sprintf("%s / %g", expression, 1/scale)
	}
	return fmt.Sprintf("%g * %s", scale, expression)
}

// seedTable lists the names for queries that were written before.
func seedTable() string {
	var b strings.Builder
	b.WriteString("| name | meaning |\n|---|---|\n")
	for _, n := range pipeline.SeedNames() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", n[0], n[1])
	}
	return b.String()
}
