package app

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sysotel/instruments"
	"sysotel/otel-collector/programs"
)

// nodeSeries is a series of a scrape page.
type nodeSeries struct {
	family *dto.MetricFamily
	name   string
	labels map[string]string
	value  float64
}

// nodePage reads the series of a page whose names begin with node_, by name and labels.
func nodePage(t *testing.T, client *http.Client, url string) map[string]nodeSeries {
	t.Helper()
	text, err := fetch(t.Context(), client, url)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]nodeSeries{}
	for name, f := range families {
		if !strings.HasPrefix(name, "node_") {
			continue
		}
		for _, m := range f.Metric {
			s := nodeSeries{family: f, name: name, labels: map[string]string{}}
			for _, l := range m.Label {
				s.labels[l.GetName()] = l.GetValue()
			}
			s.value = m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			all[s.String()] = s
		}
	}
	return all
}

// String is the name with the labels.
func (s nodeSeries) String() string {
	var labels []string
	for _, name := range slices.Sorted(maps.Keys(s.labels)) {
		labels = append(labels, fmt.Sprintf("%s=%q", name, s.labels[name]))
	}
	return s.name + "{" + strings.Join(labels, ",") + "}"
}

// TestNodeExporter: a node_exporter on the same machine in the same second has no series
// that the page lacks, but for the listed exceptions, with the same type, text and value.
func TestNodeExporter(t *testing.T) {
	t.Parallel()
	agreesWithNodeExporter(t, 200, nil)
}

// TestNodeExporterSensors: the same of the sensors of a recorded machine; this one may have
// none.
func TestNodeExporterSensors(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	recorded, err := filepath.Abs("../../instruments/testdata/hosts/sensors/step0/sys")
	if err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"sys": recorded, "proc": "/proc"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	agreesWithNodeExporter(t, 75, []string{"--host.root=" + root}, "--path.sysfs="+recorded,
		"--collector.disable-defaults", "--collector.hwmon", "--collector.thermal_zone", "--collector.powersupplyclass")
}

// agreesWithNodeExporter compares the page of an agent with that of a node_exporter, of
// whose series so many must be there.
func agreesWithNodeExporter(t *testing.T, least int, options []string, flags ...string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	if _, err := programs.Build(t.Context(), dir, "node_exporter", &output); err != nil {
		t.Skipf("node_exporter cannot be built: %v\n%s", err, output.Bytes())
	}
	a := run(t, configure(t, append(options, "--prometheus.node-exporter=full")...))
	address := fmt.Sprintf("127.0.0.1:%d", programs.FreePort(t))
	programs.Start(t, programs.Command(t, "node_exporter", append(flags, "--web.listen-address="+address, "--web.disable-exporter-metrics")...)).WaitHTTP("http://"+address+"/metrics", patience)
	ours := "http://" + a.ScrapeAddr().String() + "/metrics"
	a.ticks(3)

	// What moves is between two of our ticks, or near them; each series once within the rounds.
	const rounds = 12
	var wrong map[string]string
	agreed := map[string]bool{}
	for range rounds {
		a.tick()
		before := nodePage(t, http.DefaultClient, ours)
		theirs := nodePage(t, http.DefaultClient, "http://"+address+"/metrics")
		a.tick()
		after := nodePage(t, http.DefaultClient, ours)
		wrong = map[string]string{}
		for key, s := range theirs {
			if difference := differs(s, before[key], after[key]); difference == "" {
				agreed[key] = true
			} else if !agreed[key] && !isException(s, after) {
				wrong[key] = difference
			}
		}
		if len(wrong) == 0 {
			break
		}
	}
	for _, key := range slices.Sorted(maps.Keys(wrong)) {
		t.Errorf("%s: %s", key, wrong[key])
	}
	answersAlike(t, a, ours)
	t.Logf("%d series agree", len(agreed))
	if len(agreed) < least {
		t.Errorf("only %d series agree", len(agreed))
	}
}

// answersAlike: by each name of node_exporter that is on the page PromQL has the same series,
// also to a board that asks for a job and an instance.
func answersAlike(t *testing.T, a *agent, url string) {
	t.Helper()
	p := &prometheusServer{tb: t, client: a.socket, url: "http://localhost/prometheus"}
	poll(t, func() error {
		want := map[string][]string{}
		for _, s := range nodePage(t, http.DefaultClient, url) {
			maps.DeleteFunc(s.labels, func(name, value string) bool { return name == "host_name" || value == "" })
			want[s.name] = append(want[s.name], s.String())
		}
		for name, series := range want {
			samples, _, err := p.query(name + `{job="node",instance=~".+"}`)
			if err != nil {
				return err
			}
			var got []string
			for _, one := range samples {
				s := nodeSeries{name: one.Metric["__name__"], labels: one.Metric}
				for _, more := range []string{"__name__", "host_name", "job", "instance"} {
					if s.labels[more] == "" {
						return fmt.Errorf("%s has no %s: %v", name, more, one.Metric)
					}
					delete(s.labels, more)
				}
				got = append(got, s.String())
			}
			slices.Sort(got)
			slices.Sort(series)
			if !slices.Equal(got, series) {
				return fmt.Errorf("PromQL has %v, the page %v", got, series)
			}
		}
		return nil
	})
}

// differs says in what a series of node_exporter is not ours, which was before and after.
func differs(theirs, before, after nodeSeries) string {
	switch {
	case after.family == nil:
		return "is not on the page"
	case theirs.family.GetType() != after.family.GetType():
		return fmt.Sprintf("is a %s, ours a %s", theirs.family.GetType(), after.family.GetType())
	case theirs.family.GetHelp() != after.family.GetHelp():
		return fmt.Sprintf("has the text %q, ours %q", theirs.family.GetHelp(), after.family.GetHelp())
	case before.family == nil:
		return "is new"
	}
	low, high := min(before.value, after.value), max(before.value, after.value)
	slack := 1e-9 * math.Abs(high)
	if theirs.family.GetType() == dto.MetricType_GAUGE {
		slack = 0.02*math.Abs(high) + (high - low)
	}
	if theirs.value < low-slack || theirs.value > high+slack {
		return fmt.Sprintf("is %v, ours was %v and then %v", theirs.value, before.value, after.value)
	}
	return ""
}

// isException reports whether a series is one of the listed exceptions.
func isException(s nodeSeries, ours map[string]nodeSeries) bool {
	if kind, _, ok := strings.Cut(strings.TrimPrefix(s.name, "node_hwmon_"), "_"); ok {
		fault := nodeSeries{name: "node_hwmon_" + kind + "_fault", labels: s.labels}
		if ours[fault.String()].value == 1 {
			return true // The sensor is broken.
		}
	}
	return slices.ContainsFunc(instruments.NodeExceptions(), func(e instruments.NodeException) bool {
		named := slices.ContainsFunc(strings.Fields(e.Names), func(pattern string) bool {
			ok, err := path.Match(pattern, s.name)
			return ok && err == nil
		})
		if named && e.Repeated { // Another mount of it is there.
			return s.labels["fstype"] == "tmpfs" || slices.ContainsFunc(slices.Collect(maps.Values(ours)), func(o nodeSeries) bool {
				return o.name == s.name && o.labels["device"] == s.labels["device"]
			})
		}
		return named && (e.Label == "" || s.labels[e.Label] == e.Value)
	})
}
