package exposition

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// IsCounter reports whether a metric family counts: by its type, or without one by its
// name, unless a value says otherwise. A counter is never below zero.
func IsCounter(f *dto.MetricFamily) bool {
	if f.GetType() != dto.MetricType_UNTYPED {
		return f.GetType() == dto.MetricType_COUNTER
	}
	if !IsCounterName(f.GetName()) {
		return false
	}
	for _, m := range f.Metric {
		if m.GetUntyped().GetValue() < 0 {
			return false
		}
	}
	return true
}

// IsCounterName reports whether Prometheus names a counter like that, or a part of a
// histogram or a summary that counts.
func IsCounterName(name string) bool {
	for _, end := range []string{"_total", "_sum", "_count", "_bucket"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
