package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"sysotel/agent/atomicfile"
)

// Extreme is a minimum or a maximum.
type Extreme uint8

const (
	// Min is the minimum of a bucket.
	Min Extreme = iota
	// Max is the maximum of a bucket.
	Max
)

// Rollup is what the name of a minimum or maximum stands for.
type Rollup struct {
	// Raw is the Prometheus name of the series that is rolled up.
	Raw string
	// Extreme is Min or Max.
	Extreme Extreme
	// Rate is set if it is of a counter's rate per second and not of the value.
	Rate bool
}

// metric describes all series of one Prometheus name.
type metric struct {
	Kind      Kind   `json:"kind"`
	Min       string `json:"min"`
	Max       string `json:"max"`
	Brief     bool   `json:"brief,omitempty"`
	Collector string `json:"family"`
	// Origin is never changed, so that it may be read without a lock.
	Origin *Origin `json:"origin,omitempty"`
}

// join merges the descriptions of two series of one name, which may differ in their
// attributes.
func (m metric) join(old metric) metric {
	if m.Origin == nil || old.Origin == nil {
		return m
	}
	joined := *m.Origin
	joined.Attributes = maps.Clone(old.Origin.Attributes)
	for label, a := range m.Origin.Attributes {
		if joined.Attributes == nil {
			joined.Attributes = map[string]Attribute{}
		}
		joined.Attributes[label] = a
	}
	if old.Origin.equal(&joined) {
		m.Origin = old.Origin // So that the two are the same metric.
		return m
	}
	m.Origin = &joined
	return m
}

func (o *Origin) equal(other *Origin) bool {
	return o.Name == other.Name && o.Unit == other.Unit && o.Kind == other.Kind && maps.Equal(o.Attributes, other.Attributes)
}

// Rollups is the table of registered metrics, by which a roll-up's name is resolved
// to the raw series. It is kept on disk, because after a start buckets are rebuilt
// before the first reading.
type Rollups struct {
	mu      sync.RWMutex
	file    string
	metrics map[string]metric
	names   map[string]Rollup
	changed bool
}

// rollupsFile is the name of the table below the store's directory.
const rollupsFile = "metrics.json"

// loadRollups reads the table. If that fails the table is empty and fills with the
// first readings.
func loadRollups(dir string) (*Rollups, error) {
	r := &Rollups{file: filepath.Join(dir, rollupsFile), metrics: map[string]metric{}, names: map[string]Rollup{}}
	text, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("read the table of roll-ups: %w", errors.Join(err, clearWay(r.file)))
	}
	if err := json.Unmarshal(text, &r.metrics); err != nil {
		r.metrics = map[string]metric{}
		return r, fmt.Errorf("read the table of roll-ups: %w", err)
	}
	for name, m := range r.metrics {
		r.index(name, m)
	}
	return r, nil
}

// index adds the names of a metric's roll-ups. A metric without names has no
// minimum and maximum.
func (r *Rollups) index(name string, m metric) {
	if m.Min != "" {
		r.names[m.Min] = Rollup{Raw: name, Extreme: Min, Rate: m.Kind == Counter}
	}
	if m.Max != "" {
		r.names[m.Max] = Rollup{Raw: name, Extreme: Max, Rate: m.Kind == Counter}
	}
}

// register adds the metric of a new series.
func (r *Rollups) register(name string, m metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, ok := r.metrics[name]; ok {
		if m = m.join(old); old == m {
			return
		}
		delete(r.names, old.Min)
		delete(r.names, old.Max)
	}
	r.metrics[name] = m
	r.index(name, m)
	r.changed = true
}

// Lookup returns what a roll-up's name stands for; false if it is no roll-up.
func (r *Rollups) Lookup(name string) (Rollup, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	found, ok := r.names[name]
	return found, ok
}

// Names returns the names of a metric's minimum and maximum, and its kind; false if
// it was never registered.
func (r *Rollups) Names(raw string) (minName, maxName string, kind Kind, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.metrics[raw]
	return m.Min, m.Max, m.Kind, ok
}

// Brief reports whether a metric is kept in the two finest tiers only.
func (r *Rollups) Brief(raw string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.metrics[raw].Brief
}

// All returns a copy of the table of roll-up names.
func (r *Rollups) All() map[string]Rollup {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return maps.Clone(r.names)
}

// metric returns the description of a raw name.
func (r *Rollups) metric(raw string) (metric, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	m, ok := r.metrics[raw]
	return m, ok
}

// maxMetrics is the size from which on the table forgets metrics of text files and of
// rules without a series: their names come from outside, and may be new ones every
// minute.
const maxMetrics = 4096

// tooLarge reports whether the table needs forget.
func (r *Rollups) tooLarge() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.metrics) > maxMetrics
}

// forget removes the metrics of text files and of rules that are not in use.
// Their history stays, but the names of their roll-ups mean nothing in the finest tier.
func (r *Rollups) forget(used map[string]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.metrics {
		if (m.Collector == "custom" || m.Collector == Rules) && !used[name] {
			delete(r.names, m.Min)
			delete(r.names, m.Max)
			delete(r.metrics, name)
			r.changed = true
		}
	}
}

// save writes the table if it changed.
func (r *Rollups) save() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.changed {
		return nil
	}
	text, err := json.MarshalIndent(r.metrics, "", "\t")
	if err != nil {
		return fmt.Errorf("write the table of roll-ups: %w", err)
	}
	if err := atomicfile.Write(r.file, text, 0o600); err != nil {
		return fmt.Errorf("write the table of roll-ups: %w", err)
	}
	r.changed = false
	return nil
}

// copyTo writes the table into another directory.
func (r *Rollups) copyTo(dir string) error {
	r.mu.RLock()
	text, err := json.MarshalIndent(r.metrics, "", "\t")
	r.mu.RUnlock()
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, rollupsFile), text, 0o600)
}

// Collector returns the collector of a metric, empty if unknown.
func (r *Rollups) Collector(raw string) string {
	m, _ := r.metric(raw)
	return m.Collector
}

// OfCollector returns the names of the metrics of a collector, without their roll-ups, and
// their kinds.
func (r *Rollups) OfCollector(collector string) map[string]Kind {
	r.mu.RLock()
	defer r.mu.RUnlock()
	found := map[string]Kind{}
	for name, m := range r.metrics {
		if m.Collector == collector {
			found[name] = m.Kind
		}
	}
	return found
}
