package instruments

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hostmetricsRow is a metric of the Collector's host metrics receiver v0.165.1,
// from the metadata of its scrapers. testdata/reference/hostmetrics.json holds
// all but those of NFS.
type hostmetricsRow struct {
	Name, Scraper, Type, Unit string
	ValueType                 string `json:"value_type"`
	Monotonic                 bool
	EnabledByDefault          bool `json:"enabled_by_default"`
	Attributes                []referenceKey
}

// semconvRow is a metric of the OpenTelemetry semantic conventions 1.44.0, those
// under system. and process. that are not deprecated.
type semconvRow struct {
	Name, Instrument, Unit string
	ValueType              string `json:"value_type"`
	Attributes             []referenceKey
}

type referenceKey struct {
	Name, Type string
	Enum       []string
}

// deviations are where we differ from the references on purpose, by what differs.
// A line that nothing needs any more fails the test.
var deviations = map[string]string{
	// The host metrics receiver.
	"hostmetrics process.cpu.time attributes":                    "processes are distinguished by program on the point; the receiver has one resource for each process, which neither the Prometheus page nor one SDK can have",
	"hostmetrics process.cpu.utilization attributes":             "as process.cpu.time",
	"hostmetrics process.disk.io attributes":                     "as process.cpu.time",
	"hostmetrics process.memory.usage attributes":                "as process.cpu.time",
	"hostmetrics process.memory.utilization attributes":          "as process.cpu.time",
	"hostmetrics process.memory.virtual attributes":              "as process.cpu.time",
	"hostmetrics process.threads attributes":                     "as process.cpu.time",
	"hostmetrics process.cpu.time never state=wait":              "the kernel counts it only with delay accounting, which is off; 0 would be a lie",
	"hostmetrics process.cpu.utilization never state=wait":       "as process.cpu.time",
	"hostmetrics system.paging.operations never type=minor":      "the receiver fills it with all block I/O, which is no paging",
	"hostmetrics system.paging.usage never state=cached":         "Linux does not report it per device",
	"hostmetrics system.paging.utilization never state=cached":   "as system.paging.usage",
	"hostmetrics system.memory.usage never state=inactive":       "the receiver sends it on other systems only: on Linux inactive memory is part of used and cached",
	"hostmetrics system.memory.utilization never state=inactive": "as system.memory.usage",

	"hostmetrics system.filesystem.inodes.usage never state=reserved": "the receiver lists it because the key is that of system.filesystem.usage, and never sends it: no inodes are reserved",

	// The semantic conventions.
	"semconv system.cpu.load_average.1m unknown":               "the conventions lack load averages; the name is the receiver's",
	"semconv system.cpu.load_average.5m unknown":               "as system.cpu.load_average.1m",
	"semconv system.cpu.load_average.15m unknown":              "as system.cpu.load_average.1m",
	"semconv hw.temperature attributes":                        "Linux does not say where a sensor is",
	"semconv hw.temperature.limit attributes":                  "as hw.temperature",
	"semconv hw.fan.speed attributes":                          "as hw.temperature",
	"semconv hw.fan.speed.limit attributes":                    "as hw.temperature",
	"semconv hw.fan.speed_ratio attributes":                    "as hw.temperature",
	"semconv hw.voltage attributes":                            "as hw.temperature",
	"semconv hw.voltage.limit attributes":                      "as hw.temperature",
	"semconv hw.power attributes":                              "Linux does not say what a sensor is for",
	"semconv hw.energy attributes":                             "as hw.power",
	"semconv hw.battery.charge attributes":                     "what does not change is in sysotel.power_supply.info",
	"semconv system.cpu.frequency value type":                  "a real number as the receiver's: one instrument serves both",
	"semconv system.cpu.time value cpu.mode=softirq":           "the enumeration is open and lacks it; without it the modes would not add up to the time that passed",
	"semconv system.cpu.utilization value cpu.mode=softirq":    "as system.cpu.time",
	"semconv system.filesystem.utilization attributes":         "the state is left out, as the receiver does: public dashboards read one share of each file system",
	"semconv system.network.connection.count attributes":       "the kernel reports no interface of a socket",
	"semconv system.process.count value process.state=blocked": "the enumeration is open and lacks it; the states must add up to all processes",
	"semconv system.process.count value process.state=idle":    "as blocked",
	"semconv process.cpu.time attributes":                      "processes are distinguished by program on the point",
	"semconv process.cpu.utilization attributes":               "as process.cpu.time",
	"semconv process.disk.io attributes":                       "as process.cpu.time",
	"semconv process.memory.usage attributes":                  "as process.cpu.time",
	"semconv process.memory.utilization attributes":            "as process.cpu.time",
	"semconv process.memory.virtual attributes":                "as process.cpu.time",
	"semconv process.thread.count attributes":                  "as process.cpu.time",
}

// deviating reports whether a difference is on purpose, and remembers that it is there.
type deviating struct {
	t    *testing.T
	seen map[string]bool
}

func (d deviating) check(same bool, name, what string, got, want any) {
	d.t.Helper()
	if same {
		return
	}
	if _, ok := deviations[name+" "+what]; ok {
		d.seen[name+" "+what] = true
		return
	}
	d.t.Errorf("%s: %s: %v, the reference has %v", name, what, got, want)
}

func reference[Row any](t *testing.T, name string) []Row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "reference", name))
	if err != nil {
		t.Fatal(err)
	}
	var rows []Row
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func everyCollector() []Collector {
	return NewCollectors(Defaults(), func() AgentStats { return AgentStats{} })
}

func TestCollectorsAreConfigurable(t *testing.T) {
	var names []string
	for _, f := range everyCollector() {
		names = append(names, f.Name())
	}
	configured := Collectors{}.Names()
	slices.Sort(configured)
	sorted := slices.Sorted(slices.Values(names))
	if !slices.Equal(sorted, configured) {
		t.Errorf("the collectors are %v, those that can be configured %v", sorted, configured)
	}
	// The file system can hang, and what a person adds can be slow: they come
	// after the rest of the machine.
	if i := slices.Index(names, "filesystem"); i < slices.Index(names, "processes") || i > slices.Index(names, "custom") {
		t.Errorf("collectors are read in the order %v; filesystem belongs between the machine and custom", names)
	}
}

func TestMetricsAreDescribed(t *testing.T) {
	for _, f := range everyCollector() {
		for _, m := range f.Metrics() {
			name := m.Name + m.Semconv
			if len(m.Names(Both)) == 0 {
				t.Errorf("%s: a metric has no name at all", f.Name())
			}
			if m.Help == "" || m.Help[len(m.Help)-1] != '.' {
				t.Errorf("%s: Help %q is not a sentence", name, m.Help)
			}
			if m.Source == "" {
				t.Errorf("%s has no Source", name)
			}
			for _, k := range m.Keys {
				if k.Name == "" || k.Help == "" {
					t.Errorf("%s: key %q lacks a name or a meaning", name, k.Name)
				}
			}
		}
	}
}

func TestMetricNames(t *testing.T) {
	// The receiver's own name, which is no roll-up's: there is no system.network.conntrack.
	const receivers = "system.network.conntrack.max"
	for _, c := range []Conventions{Hostmetrics, Semconv, Both} {
		owner := map[string]string{}
		for _, f := range everyCollector() {
			for _, m := range f.Metrics() {
				for _, name := range m.Names(c) {
					if name != receivers && (strings.HasSuffix(name, ".min") || strings.HasSuffix(name, ".max")) {
						t.Errorf("%s ends like the roll-ups of another metric", name)
					}
					if other, ok := owner[name]; ok {
						t.Errorf("conventions %s: %s is in the collectors %s and %s", c, name, other, f.Name())
					}
					owner[name] = f.Name()
				}
			}
		}
	}
}

// metricsBy lists all metrics by their name under conventions.
func metricsBy(c Conventions) map[string]*Metric {
	found := map[string]*Metric{}
	for _, f := range everyCollector() {
		for _, m := range f.Metrics() {
			for _, name := range m.Names(c) {
				found[name] = m
			}
		}
	}
	return found
}

func valueType(m *Metric) string {
	if m.Integer {
		return "int"
	}
	return "double"
}

// TestNamesOfReceiver compares what we send under "conventions: hostmetrics"
// with the Collector's host metrics receiver.
func TestNamesOfReceiver(t *testing.T) {
	d := deviating{t, map[string]bool{}}
	ours, sent := metricsBy(Hostmetrics), sentValues(t)
	known := map[string]bool{}
	for _, row := range reference[hostmetricsRow](t, "hostmetrics.json") {
		known[row.Name] = true
		m := ours[row.Name]
		if m == nil {
			if row.EnabledByDefault {
				t.Errorf("%s, which the receiver sends by default, is missing", row.Name)
			}
			continue
		}
		name := "hostmetrics " + row.Name
		kind := Gauge
		if row.Type == "sum" {
			kind = UpDownCounter
			if row.Monotonic {
				kind = Counter
			}
		}
		d.check(m.Unit == row.Unit, name, "unit", m.Unit, row.Unit)
		d.check(m.Kind == kind, name, "kind", m.Kind, kind)
		d.check(valueType(m) == row.ValueType, name, "value type", valueType(m), row.ValueType)
		var keys, want []string
		for _, k := range m.Keys {
			keys = append(keys, k.Name)
		}
		for _, k := range row.Attributes {
			want = append(want, k.Name)
		}
		d.check(sameSet(keys, want), name, "attributes", keys, want)
		for _, k := range row.Attributes {
			if k.Enum == nil {
				continue
			}
			values := sent[m][k.Name]
			for v := range values {
				d.check(slices.Contains(k.Enum, v), name, "value "+k.Name+"="+v, v, k.Enum)
			}
			if k.Name == "status" {
				continue // A fixture need not have a process in every rare state.
			}
			for _, v := range k.Enum {
				d.check(values[v], name, "never "+k.Name+"="+v, "nothing", v)
			}
		}
	}
	for _, row := range reference[semconvRow](t, "semconv.json") {
		known[row.Name] = known[row.Name] || strings.HasPrefix(row.Name, "hw.") // The receiver has none of these.
	}
	for name := range ours {
		if groupStandard(name) {
			continue
		}
		d.check(known[name] || strings.HasPrefix(name, "sysotel."), "hostmetrics "+name, "unknown", "sent", "nothing")
	}
	d.done("hostmetrics ")
}

// TestNamesOfSemanticConventions compares what we send under "conventions:
// semconv" with the pinned semantic conventions.
func TestNamesOfSemanticConventions(t *testing.T) {
	d := deviating{t, map[string]bool{}}
	sent := sentValues(t)
	rows := map[string]semconvRow{}
	for _, row := range reference[semconvRow](t, "semconv.json") {
		rows[row.Name] = row
	}
	for name, m := range metricsBy(Semconv) {
		if strings.HasPrefix(name, "sysotel.") || groupStandard(name) {
			continue
		}
		row, ok := rows[name]
		name = "semconv " + name
		d.check(ok, name, "unknown", "sent", "nothing")
		if !ok {
			continue
		}
		unit := m.SemconvUnit
		if unit == "" {
			unit = m.Unit
		}
		d.check(unit == row.Unit, name, "unit", unit, row.Unit)
		d.check(m.Kind.String() == row.Instrument, name, "kind", m.Kind, row.Instrument)
		d.check(valueType(m) == row.ValueType, name, "value type", valueType(m), row.ValueType)
		var keys, want []string
		for _, k := range m.Keys {
			keys = append(keys, semconvKey(k))
		}
		for _, k := range row.Attributes {
			want = append(want, k.Name)
		}
		d.check(sameSet(keys, want), name, "attributes", keys, want)
		for _, reference := range row.Attributes {
			i := slices.IndexFunc(m.Keys, func(k Key) bool { return semconvKey(k) == reference.Name })
			if i < 0 {
				continue
			}
			k := m.Keys[i]
			d.check((k.Number != "") == (reference.Type == "int"), name, "type of "+reference.Name, k.Number, reference.Type)
			if reference.Enum == nil || reference.Name == "system.filesystem.type" {
				continue // There are more types of file systems than the conventions list.
			}
			for v := range sent[m][k.Name] {
				if translated, ok := k.Values[v]; ok {
					v = translated
				}
				if v != absent {
					d.check(slices.Contains(reference.Enum, v), name, "value "+reference.Name+"="+v, v, reference.Enum)
				}
			}
		}
	}
	d.done("semconv ")
}

// done fails the test for deviations that are none.
func (d deviating) done(of string) {
	for _, what := range slices.Sorted(maps.Keys(deviations)) {
		if strings.HasPrefix(what, of) && !d.seen[what] {
			d.t.Errorf("the deviation %q is not there any more", what)
		}
	}
}

// groupStandard reports whether a metric is one of control groups under a standard name:
// those are in other parts of the semantic conventions than the references hold.
func groupStandard(name string) bool {
	for _, prefix := range []string{"container.", "k8s.pod.", "systemd.service."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func semconvKey(k Key) string {
	if k.Semconv != "" {
		return k.Semconv
	}
	return k.Name
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// sentValues collects, for each metric and key, the values with which it is
// sent, from the golden files of the fixture hosts.
func sentValues(t *testing.T) map[*Metric]map[string]map[string]bool {
	t.Helper()
	metrics := map[string]*Metric{}
	for _, f := range everyCollector() {
		for _, m := range f.Metrics() {
			name := m.Name
			if name == "" {
				name = m.Semconv
			}
			metrics[name] = m
		}
	}
	files, err := filepath.Glob("testdata/hosts/*/expected.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files of fixture hosts: %v", err)
	}
	sent := map[*Metric]map[string]map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var step int
			var point string
			if _, err := fmt.Sscanf(line, "step %d %s", &step, &point); err != nil || point == "error" {
				continue
			}
			name, labels, _ := strings.Cut(strings.TrimSuffix(point, "}"), "{")
			m := metrics[name]
			if m == nil {
				t.Fatalf("%s: no collector has the metric of line %q", file, line)
			}
			if sent[m] == nil {
				sent[m] = map[string]map[string]bool{}
			}
			for label := range strings.SplitSeq(labels, ",") {
				key, value, ok := strings.Cut(label, "=")
				if !ok {
					continue
				}
				if sent[m][key] == nil {
					sent[m][key] = map[string]bool{}
				}
				sent[m][key][value] = true
			}
		}
	}
	return sent
}
