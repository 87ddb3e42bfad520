package store

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Kind tells how a series is rolled up.
type Kind uint8

const (
	// Gauge is a gauge or a sum that may fall: its roll-up is the average, with
	// the least and the greatest value beside it.
	Gauge Kind = iota
	// Counter is a cumulative sum that only grows: its roll-up is the value at the
	// end of the bucket, with the least and the greatest rate beside it.
	Counter
)

// Series is one series as whoever appends knows it. It is made once and its
// pointer is its identity, so that an append looks nothing up.
type Series struct {
	// Labels hold the Prometheus name (__name__) and the labels.
	Labels labels.Labels
	Kind   Kind
	// MinName and MaxName are the Prometheus names of the roll-ups' least and
	// greatest: of a gauge "system_memory_usage_min_bytes", of a counter's rate
	// "system_network_io_rate_min_bytes_per_second".
	MinName, MaxName string
	// Brief series (programs) are kept in the two finest tiers only.
	Brief bool
	// Origin is what the series is called where it comes from, nil where nobody
	// sends it on. Start is since when a counter counts; whoever appends may change
	// it between two readings.
	Origin *Origin
	Start  time.Time

	state *seriesState
}

// Origin is what the series of a name are called before they become Prometheus'.
// The store keeps it for those who send its tiers on.
type Origin struct {
	Name string     `json:"name"`
	Unit string     `json:"unit,omitempty"`
	Kind OriginKind `json:"kind"`
	// Attributes are those whose label is called otherwise, or which are no text,
	// by label.
	Attributes map[string]Attribute `json:"attributes,omitempty"`
}

// OriginKind is what a series is where it comes from.
type OriginKind string

// The kinds. A part of a histogram is an OriginGauge though it counts, since only
// with the others it would be a histogram.
const (
	OriginGauge   OriginKind = "gauge"
	OriginSum     OriginKind = "sum" // It may fall.
	OriginCounter OriginKind = "counter"
)

// Attribute is what a label is called before it becomes Prometheus'.
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

// Reading is what all families told at one tick.
type Reading struct {
	// Time is the tick, a whole multiple of the finest tier's resolution.
	Time       time.Time
	Collectors []CollectorReading
}

// CollectorReading is what one family told at one tick.
type CollectorReading struct {
	Collector string
	// Taken is when the family was really read, by the monotonic clock:
	// differences of counters are divided by the time that really passed.
	Taken   time.Time
	Samples []Sample
	// Ended are series that are gone since the reading before.
	Ended []*Series
}

// samples returns the number of samples.
func (r *Reading) samples() (n uint64) {
	for i := range r.Collectors {
		n += uint64(len(r.Collectors[i].Samples))
	}
	return n
}
