package export

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/clock"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
	"sysotel/instruments"
)

// keeper remembers what it was given.
type keeper struct {
	readings []store.Reading
	err      error
}

// Append implements Store. The slices are the destination's.
func (k *keeper) Append(r store.Reading) error {
	r.Collectors = slices.Clone(r.Collectors)
	for i := range r.Collectors {
		f := &r.Collectors[i]
		f.Samples, f.Ended = slices.Clone(f.Samples), slices.Clone(f.Ended)
	}
	k.readings = append(k.readings, r)
	return k.err
}

// collector returns a collector's part of the newest reading.
func (k *keeper) collector(t *testing.T, name string) store.CollectorReading {
	t.Helper()
	newest := k.readings[len(k.readings)-1]
	for _, f := range newest.Collectors {
		if f.Collector == name {
			return f
		}
	}
	t.Fatalf("collector %s is not in the reading of %s", name, newest.Time)
	return store.CollectorReading{}
}

// keeping is an exporter that keeps its readings.
func keeping(t *testing.T) (*agent, *keeper) {
	t.Helper()
	k, log := &keeper{}, &logbook{}
	o := testOptions(t, Defaults(), log)
	o.Store, o.HostName = k, "host-1"
	a, err := newAgent(o, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Shutdown(t.Context()) }) // The test's context is over: it has nothing to hand over.
	return a, k
}

// pageSeries are the series on the Prometheus page with their values.
func pageSeries(t *testing.T, p *Exporter) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scrape(t, p).Body.String()))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		samples, err := expfmt.ExtractSamples(&expfmt.DecodeOptions{}, f)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range samples {
			b := labels.NewBuilder(labels.EmptyLabels())
			for name, v := range s.Metric {
				b.Set(string(name), string(v))
			}
			found[b.Labels().String()] = float64(s.Value)
		}
	}
	// What the page says of the resource and of its readings' times is no metric.
	maps.DeleteFunc(found, func(series string, _ float64) bool {
		return strings.Contains(series, `"target_info"`) || strings.Contains(series, `"sysotel_family_reading_time_seconds"`)
	})
	return found
}

// TestStoreHasTheNamesOfThePage: every series of the page, and no other, is kept
// with the page's name, labels and value.
func TestStoreHasTheNamesOfThePage(t *testing.T) {
	a, k := keeping(t)
	readings := map[string]instruments.Reading{}
	for _, c := range a.options.Collectors {
		readings[c.Name()] = everything(c)
	}
	maps.Copy(readings, typedReadings(t))
	a.tick(t, 0, readings)
	if len(k.readings) != 1 || !k.readings[0].Time.Equal(a.zero) {
		t.Fatalf("%d readings", len(k.readings))
	}
	kept := map[string]float64{}
	for _, f := range k.readings[0].Collectors {
		for _, s := range f.Samples {
			series := s.Series.Labels.String()
			if _, twice := kept[series]; twice {
				t.Errorf("%s is there twice", series)
			}
			kept[series] = s.Value
			if s.Series.Brief != (f.Collector == "process") {
				t.Errorf("%s of collector %s: brief is %t", series, f.Collector, s.Series.Brief)
			}
			if name := s.Series.Labels.Get(model.MetricNameLabel); strings.HasSuffix(name, "_total") != (s.Series.Kind == store.Counter) &&
				!strings.HasPrefix(name, "backup_") && !strings.HasPrefix(name, "query_") {
				t.Errorf("%s has kind %d", series, s.Series.Kind)
			}
		}
	}
	page := pageSeries(t, a.Exporter)
	for series, v := range page {
		if got, ok := kept[series]; !ok {
			t.Errorf("%s is on the page and not kept", series)
		} else if got != v && !strings.Contains(series, "sysotel_agent_") && !strings.Contains(series, "sysotel_family_") {
			t.Errorf("%s is %v on the page and %v in the store", series, v, got)
		}
	}
	for series := range kept {
		if _, ok := page[series]; !ok {
			t.Errorf("%s is kept and not on the page", series)
		}
	}
	if len(page) < 200 {
		t.Errorf("the page has %d series only", len(page))
	}
}

// TestRollupNames: those of a gauge are its own with min and max, those of a
// counter are those of its rate.
func TestRollupNames(t *testing.T) {
	a, k := keeping(t)
	a.tick(t, 0, typedReadings(t))
	want := map[string][2]string{
		"system_memory_usage_bytes":        {"system_memory_usage_min_bytes", "system_memory_usage_max_bytes"},
		"system_network_io_bytes_total":    {"system_network_io_rate_min_bytes_per_second", "system_network_io_rate_max_bytes_per_second"},
		"node_cpu_usage_percent":           {"node_cpu_usage_percent_min", "node_cpu_usage_percent_max"},
		"backups_total":                    {"backups_rate_min_per_second", "backups_rate_max_per_second"},
		"backup_seconds_bucket":            {"backup_seconds_bucket_rate_min_per_second", "backup_seconds_bucket_rate_max_per_second"},
		"node_network_receive_bytes_total": {"node_network_receive_bytes_rate_min_per_second", "node_network_receive_bytes_rate_max_per_second"},
	}
	found := map[string]bool{}
	for _, f := range k.readings[0].Collectors {
		for _, s := range f.Samples {
			name := s.Series.Labels.Get(model.MetricNameLabel)
			found[name] = true
			if w, ok := want[name]; ok && w != [2]string{s.Series.MinName, s.Series.MaxName} {
				t.Errorf("%s has %s and %s", name, s.Series.MinName, s.Series.MaxName)
			}
			if s.Series.MinName == s.Series.MaxName || s.Series.MinName == name {
				t.Errorf("%s has %s and %s", name, s.Series.MinName, s.Series.MaxName)
			}
		}
	}
	for name := range want {
		equal(t, name+" is kept", found[name], true)
	}
}

// TestSeriesAreMadeOnce: a later reading has the same series, an ended one is
// reported once, and one that comes back is a series again.
func TestSeriesAreMadeOnce(t *testing.T) {
	a, k := keeping(t)
	two := func(v uint64) instruments.Reading {
		return &instruments.Disk{Devices: []instruments.DiskDevice{{Name: "sda", ReadBytes: v}, {Name: "sdb", ReadBytes: v}}}
	}
	one := &instruments.Disk{Devices: []instruments.DiskDevice{{Name: "sda", ReadBytes: 3}}}
	a.tick(t, 0, map[string]instruments.Reading{"disk": two(1)})
	first := k.collector(t, "disk")
	a.tick(t, 1, map[string]instruments.Reading{"disk": two(2)})
	second := k.collector(t, "disk")
	known := map[*store.Series]bool{}
	for _, s := range first.Samples {
		known[s.Series] = true
	}
	for _, s := range second.Samples {
		if !known[s.Series] {
			t.Errorf("%s is another series at the second tick", s.Series.Labels)
		}
	}
	equal(t, "ended", len(first.Ended)+len(second.Ended), 0)
	a.tick(t, 2, map[string]instruments.Reading{"disk": one})
	gone := k.collector(t, "disk").Ended
	ofIt := 0
	for _, s := range second.Samples {
		if s.Series.Labels.Get("device") == "sdb" {
			ofIt++
		}
	}
	equal(t, "ended with the device", len(gone), ofIt)
	names := map[string]bool{}
	for _, s := range gone {
		if s.Labels.Get("device") != "sdb" || !known[s] {
			t.Errorf("%s ended", s.Labels)
		}
		names[s.Labels.Get(model.MetricNameLabel)] = true
	}
	equal(t, "the legacy name ended too", names["node_disk_io_read_bytes_total"], true)
	a.tick(t, 3, map[string]instruments.Reading{"disk": one})
	equal(t, "ended again", len(k.collector(t, "disk").Ended), 0)
	a.tick(t, 4, map[string]instruments.Reading{"disk": two(4)})
	equal(t, "series after it came back", len(k.collector(t, "disk").Samples), len(second.Samples))
}

// TestStoreTakesEachReadingOnce: a slow collector is kept at its own time only, a
// failed one not at all, and nothing of either ends.
func TestStoreTakesEachReadingOnce(t *testing.T) {
	a, k := keeping(t)
	load := func(v float64) map[string]instruments.Reading {
		return map[string]instruments.Reading{"load": &instruments.Load{One: v}}
	}
	memory := &instruments.Memory{Total: 8, Used: 2}
	both := load(0)
	both["memory"] = memory
	a.tick(t, 0, both)
	a.tick(t, 1, load(1)) // memory keeps its reading of second 0.
	parts := k.readings[1].Collectors
	if len(parts) != 1 || parts[0].Collector != "load" {
		t.Errorf("%d collectors at second 1", len(parts))
	}
	a.tick(t, 2, map[string]instruments.Reading{"load": nil})
	equal(t, "readings", len(k.readings), 2)
}

// TestTypeOfACustomMetricChanges: it is another series then, and no panic.
func TestTypeOfACustomMetricChanges(t *testing.T) {
	a, k := keeping(t)
	texts := []string{
		"# TYPE no_type gauge\nno_type 1\n",
		"# TYPE no_type histogram\nno_type_bucket{le=\"1\"} 1\nno_type_bucket{le=\"+Inf\"} 1\nno_type_sum 1\nno_type_count 1\n",
		"# TYPE no_type histogram\nno_type_bucket{le=\"2.5\"} 1\nno_type_bucket{le=\"+Inf\"} 1\nno_type_sum 1\nno_type_count 1\n",
		"# TYPE no_type counter\nno_type 5\n",
		"# TYPE no_type gauge\nno_type 2\n",
	}
	ended := []int{0, 1, 4, 4, 1}
	samples := []int{1, 4, 4, 1, 1}
	for i, text := range texts {
		a.tick(t, i, map[string]instruments.Reading{"custom": custom(t, text)})
		f := k.collector(t, "custom")
		equal(t, text, len(f.Samples), samples[i])
		equal(t, "ended at "+text, len(f.Ended), ended[i])
	}
	a.tick(t, len(texts), map[string]instruments.Reading{"custom": &instruments.Custom{}})
	equal(t, "ended with the file", len(k.collector(t, "custom").Ended), 1)
}

// TestTaken: the store gets the time when a collector was really read.
func TestTaken(t *testing.T) {
	a, k := keeping(t)
	read := a.zero.Add(17 * time.Millisecond)
	a.machine.readings["load"] = machineReading{reading: &instruments.Load{One: 1}, at: a.zero, taken: read}
	a.tick(t, 0, nil)
	if f := k.collector(t, "load"); !f.Taken.Equal(read) {
		t.Errorf("taken at %s, want %s", f.Taken, read)
	}
}

// TestHistoryAnswers: what is exported is found in a real store, by our
// names and by the legacy ones.
func TestHistoryAnswers(t *testing.T) {
	a, k := keeping(t)
	for second := range 3 {
		a.tick(t, second, typedReadings(t))
	}
	s, err := store.Open(store.Options{
		Dir: t.TempDir(), Tiers: store.Defaults().Tiers, Clock: clock.New(clock.Options{Wall: func() time.Time { return a.zero.Add(2 * time.Second) }}),
		Free: func(string) (int64, error) { return math.MaxInt64, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	<-s.Opened()
	for _, r := range k.readings {
		if err := s.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	storetest.Complete(t, s)
	for _, name := range []string{"node_cpu_usage_percent_max", "system_network_io_rate_max_bytes_per_second"} {
		if _, ok := s.Rollups().Lookup(name); !ok {
			t.Errorf("the store does not know %s", name)
		}
	}
}
