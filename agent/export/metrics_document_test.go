package export

import (
	"fmt"
	"strings"
	"testing"

	"sysotel/instruments"
)

// TestGoldenMetricsDocument prints instruments/METRICS.md from the metrics themselves.
func TestGoldenMetricsDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Metrics

Everything sysotel measures, by collector. This file is printed from the
code (` + "`make golden`" + `); the collectors are the Go files of this folder.

**Names.** With ` + "`conventions: hostmetrics`" + ` (the default) metrics and attributes
have the names of the OpenTelemetry Collector's host metrics receiver, with
` + "`semconv`" + ` those of the OpenTelemetry semantic conventions 1.44, with ` + "`both`" + ` both.
Where the two differ, the second line of a cell is the semantic conventions'.
What neither has is under ` + "`sysotel.`" + `. On the Prometheus page, in VictoriaMetrics and
in PromQL the name is the one in the second column, and attributes are labels
with dots written as underscores, beside ` + "`host_name`" + `.

**Unknown is absent.** A number that could not be measured is not reported, and
never 0. The first tick has no rates and no shares, because they need two reads;
neither has the tick after a counter went back.

**Totals.** A point without the ` + "`device`" + ` attribute (` + "`device=\"\"`" + ` in PromQL) is the total,
measured at the tick: over physical disks, over physical interfaces, over file
systems, each counted once.
`)
	for _, f := range instruments.NewCollectors(instruments.Defaults(), func() instruments.AgentStats { return instruments.AgentStats{} }) {
		fmt.Fprintf(&b, "\n## %s\n\n| OpenTelemetry | Prometheus | kind, unit | attributes | meaning | source |\n|---|---|---|---|---|---|\n", f.Name())
		for _, m := range f.Metrics() {
			fmt.Fprintf(&b, "| %s | %s | %s, %s | %s | %s | %s |\n",
				names(m), prometheusNames(t, m), m.Kind, unit(m.Unit), attributes(m), cell(m.Help), cell(m.Source))
		}
	}
	b.WriteString(namesDocument(t))
	golden(t, "../../instruments/METRICS.md", []byte(b.String()))
}

// names is the cell of OpenTelemetry names.
func names(m *instruments.Metric) string {
	host, sem := m.Names(instruments.Hostmetrics), m.Names(instruments.Semconv)
	switch {
	case len(host) == 0:
		return "`" + sem[0] + "` (semconv only)"
	case len(sem) == 0:
		return "`" + host[0] + "`" + " (not in semconv)"
	case host[0] != sem[0]:
		return "`" + host[0] + "`<br>`" + sem[0] + "`"
	}
	return "`" + host[0] + "`"
}

func prometheusNames(t *testing.T, m *instruments.Metric) string {
	t.Helper()
	all, err := PrometheusNames(m, instruments.Both)
	if err != nil {
		t.Fatal(err)
	}
	return "`" + strings.Join(all, "`<br>`") + "`"
}

func attributes(m *instruments.Metric) string {
	var cells []string
	for _, k := range m.Keys {
		c := "`" + k.Name + "`"
		if k.Semconv != "" {
			c += " / `" + k.Semconv + "`"
		}
		cells = append(cells, c+": "+cell(k.Help))
	}
	return strings.Join(cells, "<br>")
}

func unit(u string) string {
	if u == "" {
		return "none"
	}
	return "`" + u + "`"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
