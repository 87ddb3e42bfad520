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

` + legacyTable() + `
## Names of node_exporter

PromQL also answers by the names and labels of node_exporter v1.12.1's default collectors and its tcpstat (but for the
bytes in queues), over the whole history, with ` + "`host_name`" + ` beside them. With ` + "`prometheus.node_exporter: full`" + `
the Prometheus page carries them as node_exporter has them, without ` + "`host_name`" + `: a
Prometheus that scraped it under the same job and instance goes on with the same
series. Where node_exporter and the names above share a name, the page has it once, without ` + "`host_name`" + ` too.
` + "`sysotel check`" + ` finds a node_exporter that runs and prints the options that stand in for it.
Parameters ` + "`name[]`" + ` ask for some of the page's metrics: ` + "`/metrics?name[]=node_load1&name[]=node_load5`" + `.
A metric whose source ` + "`semconv`" + ` lacks is not there under those conventions.

` + nodeTable(t) + `
What is not there, or differs:

` + nodeExceptions()
}

// nodeTable lists node_exporter's metrics and what they are made of.
func nodeTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| name | type | labels | made of |\n|---|---|---|---|\n")
	for _, n := range instruments.NodeNames() {
		names, err := PrometheusNames(n.Metric, instruments.Hostmetrics)
		if err != nil {
			t.Fatal(err)
		}
		var labels, where []string
		for _, l := range n.Labels {
			labels = append(labels, "`"+l.Name+"`")
		}
		for _, k := range n.Metric.Keys {
			if value, ok := n.Where[k.Name]; ok {
				where = append(where, fmt.Sprintf("%s=%q", strings.ReplaceAll(k.Name, ".", "_"), value))
			}
		}
		of := names[0]
		if len(where) > 0 {
			of += "{" + strings.Join(where, ",") + "}"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", n.Name, n.Type, strings.Join(labels, ", "), scaled(of, n.Scale))
	}
	return b.String()
}

// nodeExceptions lists what is not there.
func nodeExceptions() string {
	var b strings.Builder
	b.WriteString("| series | why |\n|---|---|\n")
	for _, e := range instruments.NodeExceptions() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.Join(strings.Fields(e.Names), "` `"), e.Reason)
	}
	return b.String()
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
