package store

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Kind is how a series is rolled up.
type Kind uint8

const (
	// Gauge is a gauge or a sum that may fall: its roll-up is the average, with
	// minimum and maximum.
	Gauge Kind = iota
	// Counter is a monotonic cumulative sum: its roll-up is the value at the end of
	// the bucket, with minimum and maximum of the rate.
	Counter
)

// Series is one series of the caller. It is made once and identified by its
// pointer, so that an append looks nothing up.
type Series struct {
	// Labels include the Prometheus name (__name__).
	Labels labels.Labels
	Kind   Kind
	// MinName and MaxName are the Prometheus names of the roll-ups: of a gauge
	// "system_memory_usage_min_bytes", of a counter's rate
	// "system_network_io_rate_min_bytes_per_second".
	MinName, MaxName string
	// Brief series (programs) are kept in the two finest tiers only.
	Brief bool
	// Origin is the metric before it was renamed for Prometheus, nil if it is not
	// exported. Start is when a counter started; the caller may change it between
	// readings.
	Origin *Origin
	Start  time.Time

	state *seriesState
}

// Origin is a metric before it was renamed for Prometheus. The store keeps it for
// the export of its tiers.
type Origin struct {
	Name string     `json:"name"`
	Unit string     `json:"unit,omitempty"`
	Kind OriginKind `json:"kind"`
	// Attributes are those whose name differs from the label, or whose type is not
	// string, by label.
	Attributes map[string]Attribute `json:"attributes,omitempty"`
}

// OriginKind is the kind of an Origin.
type OriginKind string

// The kinds. A part of a histogram is an OriginGauge, because without the other
// parts it is no histogram.
const (
	OriginGauge   OriginKind = "gauge"
	OriginSum     OriginKind = "sum" // It may fall.
	OriginCounter OriginKind = "counter"
)

// Attribute is an attribute before it became a label.
type Attribute struct {
	Key string `json:"key"`
	// Type is int, double or bool, empty for text.
	Type string `json:"type,omitempty"`
}

// Sample is one value of a series.
type Sample struct {
	Series *Series
	Value  float64
}

// Rules is the collector of the series that rules make: those of recording rules, and
// those of alerts.
const Rules = "rules"

// Reading has the samples of all collectors at one tick.
type Reading struct {
	// Time is the tick, a whole multiple of the finest tier's resolution.
	Time       time.Time
	Collectors []CollectorReading
}

// CollectorReading has the samples of one collector.
type CollectorReading struct {
	Collector string
	// Taken is when the collector was read, by the monotonic clock; rates are over
	// the time between reads.
	Taken   time.Time
	Samples []Sample
	// Ended are series that disappeared since the previous reading.
	Ended []*Series
}

// samples returns the number of samples.
func (r *Reading) samples() (n uint64) {
	for i := range r.Collectors {
		n += uint64(len(r.Collectors[i].Samples))
	}
	return n
}
