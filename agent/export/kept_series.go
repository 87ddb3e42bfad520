package export

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"sysotel/agent/store"
	"sysotel/instruments/sanitize"
)

// seriesNamer creates the store's series with the names and labels of the page.
type seriesNamer struct {
	metrics  otlptranslator.MetricNamer
	labels   otlptranslator.LabelNamer
	hostName string
}

func newSeriesNamer(hostName string) *seriesNamer {
	return &seriesNamer{metrics: newNamer(), hostName: hostName}
}

// metricSeries is one series of the SDK.
type metricSeries struct {
	name, unit string
	counter    bool
	// verbatim names are Prometheus names already.
	verbatim bool
	// kind is the series' kind in OpenTelemetry; empty if it is never sent on.
	kind       store.OriginKind
	collector  string
	attributes attribute.Set
	// more are labels beside the attributes.
	more []labels.Label
}

// hostLabel is the host's label on every series.
const hostLabel = "host_name"

// series creates the store's series.
func (n *seriesNamer) series(m metricSeries) (*store.Series, error) {
	name, err := m.name, error(nil)
	if !m.verbatim {
		var kind otlptranslator.MetricType = otlptranslator.MetricTypeGauge
		if m.counter {
			kind = otlptranslator.MetricTypeMonotonicCounter
		}
		if name, err = n.metrics.Build(otlptranslator.Metric{Name: m.name, Unit: m.unit, Type: kind}); err != nil {
			return nil, err
		}
	}
	s := &store.Series{Brief: m.collector == "process"}
	if m.counter {
		s.Kind = store.Counter
	}
	if s.MinName, s.MaxName, err = rollupNames(n.metrics, strings.TrimSuffix(m.name, "_total"), m.unit, m.counter); err != nil {
		return nil, err
	}
	if m.kind != "" {
		s.Origin = &store.Origin{Name: m.name, Unit: m.unit, Kind: m.kind}
		if m.verbatim && m.kind == store.OriginCounter {
			s.Origin.Name = strings.TrimSuffix(m.name, "_total") // As withoutTotal has it.
		}
	}
	if s.Labels, err = n.labelsOf(name, s.Origin, m.attributes, m.more); err != nil {
		return nil, err
	}
	return s, nil
}

// labelsOf translates attributes as on the page: the values of two that become the same
// label are joined. Name and host cannot be overwritten. If origin is set, it gets what
// the labels do not show.
func (n *seriesNamer) labelsOf(name string, origin *store.Origin, attributes attribute.Set, more []labels.Label) (labels.Labels, error) {
	values := map[string][]string{}
	for it := attributes.Iter(); it.Next(); {
		kv := it.Attribute()
		key, err := n.labels.Build(string(kv.Key))
		if err != nil {
			return labels.EmptyLabels(), err
		}
		values[key] = append(values[key], sanitize.ValidUTF8(kv.Value.String()))
		if a := attributeOf(kv); origin != nil && a != (store.Attribute{Key: key}) {
			if origin.Attributes == nil {
				origin.Attributes = map[string]store.Attribute{}
			}
			origin.Attributes[key] = a
		}
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for key, list := range values {
		slices.Sort(list)
		if origin != nil && len(list) > 1 {
			delete(origin.Attributes, key) // Joined values cannot be separated again.
		}
		b.Set(key, strings.Join(list, ";"))
	}
	for _, l := range more {
		b.Set(l.Name, l.Value)
	}
	return b.Set(hostLabel, n.hostName).Set(model.MetricNameLabel, name).Labels(), nil
}

// attributeOf returns the name and the type of an attribute.
func attributeOf(kv attribute.KeyValue) store.Attribute {
	a := store.Attribute{Key: string(kv.Key)}
	switch kv.Value.Type() {
	case attribute.INT64:
		a.Type = "int"
	case attribute.FLOAT64:
		a.Type = "double"
	case attribute.BOOL:
		a.Type = "bool"
	default:
	}
	return a
}

// keptHistogram are the series that Prometheus has for a histogram.
type keptHistogram struct {
	bounds []float64
	// buckets are one more than bounds: the last is unbounded.
	buckets []*store.Series
	// sum is nil for a histogram without one, count for one without names.
	sum, count *store.Series
}

func (n *seriesNamer) histogram(name, collector string, p *metricdata.HistogramDataPoint[float64]) (*keptHistogram, error) {
	h := &keptHistogram{bounds: slices.Clone(p.Bounds)}
	var err error
	one := func(suffix string, more ...labels.Label) *store.Series {
		s, failed := n.series(metricSeries{
			name: name + suffix, counter: true, verbatim: true, kind: store.OriginGauge, collector: collector, attributes: p.Attributes, more: more,
		})
		if failed != nil {
			err = failed
		}
		return s
	}
	for _, bound := range append(slices.Clone(p.Bounds), math.Inf(1)) {
		h.buckets = append(h.buckets, one("_bucket", labels.Label{Name: "le", Value: strconv.FormatFloat(bound, 'g', -1, 64)}))
	}
	if h.count = one("_count"); !math.IsNaN(p.Sum) {
		h.sum = one("_sum")
	}
	if err != nil {
		return &keptHistogram{bounds: h.bounds}, err
	}
	return h, nil
}

// fits reports whether a point has the same series.
func (h *keptHistogram) fits(p *metricdata.HistogramDataPoint[float64]) bool {
	return slices.Equal(h.bounds, p.Bounds) && (h.count == nil || (h.sum == nil) == math.IsNaN(p.Sum))
}

// all lists the series.
func (h *keptHistogram) all() []*store.Series {
	if h.count == nil {
		return nil
	}
	all := append(slices.Clone(h.buckets), h.count)
	if h.sum != nil {
		all = append(all, h.sum)
	}
	return all
}

// add appends a point; in Prometheus a bucket includes the smaller ones.
func (h *keptHistogram) add(to *keptReading, p *metricdata.HistogramDataPoint[float64]) {
	if h.count == nil {
		return
	}
	below := uint64(0)
	for i, s := range h.buckets {
		if i < len(p.BucketCounts) {
			below += p.BucketCounts[i]
		}
		to.add(s, float64(below))
	}
	if h.sum != nil {
		to.add(h.sum, p.Sum)
	}
	to.add(h.count, float64(p.Count))
}

// collectorOf returns the collector of a scope.
func collectorOf(scope string) string {
	if scope == customScope {
		return "custom"
	}
	return strings.TrimPrefix(scope, scopePrefix)
}

// scopePrefix stands before a collector's name in the name of its scope.
const scopePrefix = "sysotel/"

// legacySeries are the series that the store keeps under one of the legacy names, so
// that queries and rules made for them have a history too.
type legacySeries struct {
	legacyName
	series map[string]*keptLegacy // By the values of the labels.
	round  uint64
}

// keptLegacy is one of them.
type keptLegacy struct {
	*store.Series
	round uint64
}

// addLegacy appends the series of a legacy name, made from a collector's reading.
func (d *toStore) addLegacy(s *legacySeries, to *keptReading) {
	reading, at := d.machine.Newest(s.collector)
	if reading == nil || !at.Equal(to.at) {
		return
	}
	s.round++
	var key []byte
	s.collect(reading, func(v float64, values ...string) {
		key = key[:0]
		for _, value := range values {
			key = append(append(key, value...), 0xff)
		}
		kept := s.series[string(key)]
		if kept == nil {
			kept = &keptLegacy{Series: d.namer.legacy(s.legacyName, values)}
			s.series[string(key)] = kept
		}
		kept.round = s.round
		if kept.Series != nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
			to.add(kept.Series, v)
		}
	})
	for k, kept := range s.series {
		if kept.round != s.round {
			delete(s.series, k)
			to.Ended = append(to.Ended, kept.Series)
		}
	}
}

// legacy creates the store's series of one of the legacy names.
func (n *seriesNamer) legacy(s legacyName, values []string) *store.Series {
	var more []labels.Label
	for i, v := range validLabels(slices.Clone(values)) {
		more = append(more, labels.Label{Name: s.labels[i], Value: v})
	}
	series, err := n.series(metricSeries{
		name: s.name, counter: s.isCounter(), verbatim: true, collector: s.collector, more: more,
	})
	if err != nil {
		panic("export: " + s.name + " has no name for its roll-ups: " + err.Error())
	}
	return series
}
