package export

import (
	"testing"

	"sysotel/instruments"
)

// TestEndedCustomSeriesArrive: each kind of series ends with a point of its own kind
// without a value, by the name and the attributes that its points had.
func TestEndedCustomSeriesArrive(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
	a.tick(t, 0, map[string]instruments.Reading{"custom": custom(t, customText)})
	a.tick(t, 1, map[string]instruments.Reading{"custom": &instruments.Custom{}})
	r.wait(t, 2)
	got := map[string]string{}
	scope := r.taken()[1].ResourceMetrics[0].ScopeMetrics[0]
	equal(t, "scope", scope.Scope.Name, customScope)
	for _, m := range scope.Metrics {
		kind, flags, attributes := "gauge", uint32(0), ""
		switch {
		case m.GetHistogram() != nil:
			p := m.GetHistogram().DataPoints[0]
			kind, flags = "histogram", p.Flags
			equal(t, m.Name+" has a sum", p.Sum != nil, false)
			equal(t, m.Name+" at", int64(p.TimeUnixNano/1e9), a.zero.Unix()+1)
		case m.GetSum() != nil:
			p := m.GetSum().DataPoints[0]
			kind, flags = m.GetSum().AggregationTemporality.String(), p.Flags
			equal(t, m.Name+" is monotonic", m.GetSum().IsMonotonic, true)
			equal(t, m.Name+" at", int64(p.TimeUnixNano/1e9), a.zero.Unix()+1)
			for _, kv := range p.Attributes {
				attributes += " " + kv.Key + "=" + kv.Value.GetStringValue()
			}
		default:
			p := m.GetGauge().DataPoints[0]
			flags = p.Flags
			for _, kv := range p.Attributes {
				attributes += " " + kv.String()
			}
		}
		equal(t, m.Name+" has no value", flags, noValue)
		got[m.Name+attributes] = kind
	}
	equal(t, "backups", got["backups kind=full"], "AGGREGATION_TEMPORALITY_CUMULATIVE")
	equal(t, "backup_seconds", got["backup_seconds"], "histogram")
	equal(t, "no_type", got["no_type"], "gauge")
	equal(t, "series", len(got), 8)
}
