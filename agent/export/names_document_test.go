package export

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"sysotel/instruments"
)

// namesDocument is the end of METRICS.md: the names that queries may use beside
// those of the collectors.
func namesDocument(t *testing.T) string {
	t.Helper()
	return `
## Names of the API

` + "`/api/v1/metrics`" + ` answers by these names, in these units. The last column
says how an end-to-end test checks the value.

` + quantityTable(t) + `
## Legacy names

The Prometheus page also carries these names, for queries and alert rules that were written for them:

` + legacyTable()
}

// quantityTable lists the metrics of the API with their names elsewhere.
func quantityTable(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../app/testdata/checked.txt")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, how, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		checked[name] = how
	}
	var b strings.Builder
	b.WriteString("| name | unit | OpenTelemetry | Prometheus | checked against |\n|---|---|---|---|---|\n")
	for _, q := range instruments.Quantities() {
		otel, prometheus := "field `"+q.Field+"` of `/processes`", ""
		if q.Metric != nil {
			labels := selector(q)
			names, err := PrometheusNames(q.Metric, instruments.Hostmetrics)
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

// legacyTable lists the legacy names.
func legacyTable() string {
	var b strings.Builder
	b.WriteString("| name | meaning |\n|---|---|\n")
	for _, n := range LegacyNames() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", n[0], n[1])
	}
	return b.String()
}
