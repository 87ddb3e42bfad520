package instruments

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"sysotel/instruments/sanitize"
)

// Kind is the kind of an asynchronous OpenTelemetry instrument.
type Kind uint8

// The kinds of instruments, as in the OpenTelemetry metrics API.
const (
	// Counter only grows: bytes since boot.
	Counter Kind = iota
	// UpDownCounter is a sum that may fall: bytes in use.
	UpDownCounter
	// Gauge is a value that makes no sense as a sum: a utilization.
	Gauge
)

// String returns the word that METRICS.md uses.
func (k Kind) String() string {
	return [...]string{"counter", "updowncounter", "gauge"}[k]
}

// Start is since when a counter counts.
type Start uint8

// The moments from which counters count.
const (
	// SinceBoot is the start of the kernel's own counters.
	SinceBoot Start = iota
	// SinceAgent is the start of counters that the agent accumulates itself.
	SinceAgent
)

// Metric describes one metric: its name in both conventions, its meaning, and
// where the number comes from. METRICS.md is printed from these.
type Metric struct {
	// Name is the name in the Collector's host metrics receiver, or ours under
	// "sysotel."; empty where the receiver lacks the metric.
	Name string
	// Semconv is the name in the OpenTelemetry semantic conventions where it
	// differs from Name; "-" where they lack the metric and it must not be sent.
	Semconv string
	// Unit is the UCUM unit; SemconvUnit differs only in its spelling.
	Unit, SemconvUnit string
	Kind              Kind
	// Integer metrics are observed with Observer.Int, the others with Observer.Float.
	Integer bool
	Start   Start
	// Keys name the values that an observation passes, in that order.
	Keys []Key
	// Help is the meaning, one sentence; Source is where the number is read and how.
	Help, Source string
}

// Key is one attribute of a metric in both conventions. An observation passes
// the value as the host metrics receiver writes it; an empty value leaves the
// attribute out.
type Key struct {
	// Name is the receiver's key, Semconv that of the semantic conventions
	// where it differs.
	Name, Semconv string
	// Values translates values for the semantic conventions; others stay, and
	// those translated to absent are not sent there.
	Values map[string]string
	// Number strips this prefix in the semantic conventions and sends the rest
	// as an integer ("cpu0" becomes 0).
	Number string
	// Help is the meaning.
	Help string
}

// absent stands in Key.Values for a value that the semantic conventions lack:
// the point is not sent under them, as a metric with the Semconv name "-" is not.
const absent = "-"

// Conventions choose the names that metrics and attributes go by.
type Conventions string

// The conventions that can be configured.
const (
	// Hostmetrics are the names of the Collector's host metrics receiver.
	Hostmetrics Conventions = "hostmetrics"
	// Semconv are the OpenTelemetry semantic conventions.
	Semconv Conventions = "semconv"
	// Both puts the keys of both on one point, and sends a metric whose name
	// differs under both names.
	Both Conventions = "both"
)

// semconvName is the name in the semantic conventions, "" where there is none.
func (m *Metric) semconvName() string {
	switch m.Semconv {
	case "":
		return m.Name
	case "-":
		return ""
	}
	return m.Semconv
}

// form is a metric under one name with the attribute keys that go with it.
type form struct {
	name, unit           string
	hostmetrics, semconv bool
}

// forms lists the names under which conventions send the metric.
func (m *Metric) forms(c Conventions) []form {
	unit := m.SemconvUnit
	if unit == "" {
		unit = m.Unit
	}
	host := form{name: m.Name, unit: m.Unit, hostmetrics: true}
	sem := form{name: m.semconvName(), unit: unit, semconv: true}
	switch {
	case c == Hostmetrics, c == Both && sem.name == "":
		return named(host)
	case c == Semconv, c == Both && host.name == "":
		return named(sem)
	case host.name == sem.name:
		host.semconv = true
		return named(host)
	}
	return named(host, sem)
}

// named leaves out forms without a name.
func named(forms ...form) []form {
	kept := forms[:0]
	for _, f := range forms {
		if f.name != "" {
			kept = append(kept, f)
		}
	}
	return kept
}

// Names lists the OpenTelemetry names under which conventions send the metric.
func (m *Metric) Names(c Conventions) []string {
	var names []string
	for _, f := range m.forms(c) {
		names = append(names, f.name)
	}
	return names
}

// attributes builds the attribute set of one observation. It returns false
// where the conventions of the form lack one of the values.
func (f form) attributes(keys []Key, values []string) (attribute.Set, bool) {
	var kvs []attribute.KeyValue
	for i, k := range keys {
		v := sanitize.ValidUTF8(values[i]) //nolint:gosec // Both callers give a value for each key.
		if v == "" {
			continue
		}
		if f.hostmetrics {
			kvs = append(kvs, attribute.String(k.Name, v))
		}
		if f.semconv && k.Values[v] == absent {
			if !f.hostmetrics {
				return attribute.Set{}, false
			}
			continue
		}
		if f.semconv && (k.Semconv != "" || !f.hostmetrics) {
			kvs = append(kvs, k.semconvAttribute(v))
		}
	}
	return attribute.NewSet(kvs...), true
}

func (k Key) semconvAttribute(v string) attribute.KeyValue {
	name := k.Semconv
	if name == "" {
		name = k.Name
	}
	if translated, ok := k.Values[v]; ok {
		v = translated
	}
	if k.Number != "" {
		if n, err := strconv.ParseInt(strings.TrimPrefix(v, k.Number), 10, 64); err == nil {
			return attribute.Int64(name, n)
		}
	}
	return attribute.String(name, v)
}

// instrument creates the OpenTelemetry instrument of one form.
func (m *Metric) instrument(meter metric.Meter, f form) (metric.Observable, error) {
	unit, help := metric.WithUnit(f.unit), metric.WithDescription(m.Help)
	switch {
	case m.Kind == Counter && m.Integer:
		return meter.Int64ObservableCounter(f.name, unit, help)
	case m.Kind == Counter:
		return meter.Float64ObservableCounter(f.name, unit, help)
	case m.Kind == UpDownCounter && m.Integer:
		return meter.Int64ObservableUpDownCounter(f.name, unit, help)
	case m.Kind == UpDownCounter:
		return meter.Float64ObservableUpDownCounter(f.name, unit, help)
	case m.Integer:
		return meter.Int64ObservableGauge(f.name, unit, help)
	}
	return meter.Float64ObservableGauge(f.name, unit, help)
}
