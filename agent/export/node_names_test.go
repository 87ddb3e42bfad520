package export

import (
	"strings"
	"testing"
	"time"

	"sysotel/instruments"
)

// full returns an exporter whose page has all names of node_exporter.
func full(t *testing.T, conventions instruments.Conventions, readings map[string]instruments.Reading) *Exporter {
	t.Helper()
	c := Defaults()
	c.Prometheus.NodeExporter = AllNodeNames
	o := testOptions(t, c, &logbook{})
	o.Conventions = conventions
	measured := instruments.Defaults()
	measured.Conventions = conventions
	o.Collectors = instruments.NewCollectors(measured, nil)
	a, err := newAgent(o, &logbook{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Collectors {
		a.machine.set(f.Name(), readings[f.Name()], at("12:00:00"))
	}
	return a.Exporter
}

// TestPageWithAllNodeNames: with full the page has node_exporter's names, labels, types and
// texts, under all conventions, beside the legacy ones, each once.
func TestPageWithAllNodeNames(t *testing.T) {
	for _, conventions := range []instruments.Conventions{instruments.Hostmetrics, instruments.Semconv, instruments.Both} {
		page := scrape(t, full(t, conventions, typedReadings(t))).Body.String()
		wantLines(t, page,
			"# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.", "# TYPE node_cpu_seconds_total counter",
			`node_cpu_seconds_total{cpu="0",mode="user"} 100.25`,
			`node_network_receive_bytes_total{device="eth0"} 1.23456789e+08`,
			`node_disk_read_bytes_total{device="sda"} 1.073741824e+09`,
			"# HELP node_load1 1m load average.",
			`node_disk_io_read_bytes_total{device="sda",host_name="host-1"} 1.073741824e+09`,
		)
		for _, lacks := range []string{`node_load1{host_name`, `,mode="wait"`, `,mode="interrupt"`, `node_filesystem_size_bytes{device=""`} {
			if strings.Contains(page, lacks) {
				t.Errorf("%s: the page has %s", conventions, lacks)
			}
		}
		for _, has := range []string{`mode="iowait"`, `mode="irq"`, `node_tcp_connection_states{state="established"} 7`, `node_tcp_connection_states{state="listen"} 5`, `device_error="",fstype="ext4",mountpoint="/"}`} {
			if !strings.Contains(page, has) {
				t.Errorf("%s: the page lacks %s", conventions, has)
			}
		}
		if _, err := parse(page); err != nil {
			t.Error(err)
		}
	}
}

// TestPageWithAllNodeNamesIsTheRegistrys: as TestPageTextIsTheRegistrys, while a device comes
// and goes.
func TestPageWithAllNodeNamesIsTheRegistrys(t *testing.T) {
	p := full(t, instruments.Hostmetrics, typedReadings(t))
	whole, moment := p.machine.Newest("disk")
	for i, step := range []instruments.Reading{whole, &instruments.Disk{}, whole} {
		p.machine.(*machine).set("disk", step, moment.Add(time.Duration(i)*time.Second))
		for _, accept := range []string{"", "application/openmetrics-text; version=1.0.0"} {
			ours := scrape(t, p, "Accept", accept).Body.String()
			theirs := scrape(t, &Exporter{Page: p.page.registry}, "Accept", accept).Body.String()
			equal(t, "the page", sorted(ours), sorted(theirs))
			equal(t, "a disk", strings.Contains(ours, `node_disk_reads_completed_total{device="sda"}`), i != 1)
		}
	}
}

// TestNodeNames: each metric is made of one that a collector has, by keys that it has.
func TestNodeNames(t *testing.T) {
	measured := map[*instruments.Metric]bool{}
	for _, f := range instruments.NewCollectors(instruments.Defaults(), nil) {
		for _, m := range f.Metrics() {
			measured[m] = true
		}
	}
	seen := map[string]bool{}
	for _, n := range instruments.NodeNames() {
		keys := map[string]bool{}
		for _, k := range n.Metric.Keys {
			keys[k.Name] = true
		}
		if !measured[n.Metric] || seen[n.Name] || n.Help == "" || n.Scale <= 0 || nodeKinds[n.Type] == 0 && n.Type != instruments.NodeCounter {
			t.Errorf("%s: %+v", n.Name, n)
		}
		seen[n.Name] = true
		for key := range n.Where {
			if !keys[key] {
				t.Errorf("%s: its metric has no key %s", n.Name, key)
			}
		}
		for _, l := range n.Labels {
			if l.Key != "" && !keys[l.Key] {
				t.Errorf("%s: its metric has no key %s", n.Name, l.Key)
			}
		}
		// No other series of the metric becomes the same one: each key has a place.
		for key := range keys {
			_, fixed := n.Where[key]
			for _, l := range n.Labels {
				// What has an id has one name and one parent.
				fixed = fixed || l.Key == key || l.Key == "hw.id" && (key == "hw.name" || key == "hw.parent")
			}
			if !fixed {
				t.Errorf("%s: key %s of its metric has neither a value nor a label", n.Name, key)
			}
		}
	}
	if most := 10; len(instruments.NodeExceptions()) > most {
		t.Errorf("there are %d exceptions, more than %d", len(instruments.NodeExceptions()), most)
	}
}
