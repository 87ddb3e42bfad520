package alerting

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/rules"
)

// replay answers a rule's question with elements that are known. Queries of
// templates get nothing.
func replay(elements []element) rules.QueryFunc {
	asked := false
	return func(_ context.Context, _ string, at time.Time) (promql.Vector, error) {
		if asked {
			return nil, nil
		}
		asked = true
		vector := make(promql.Vector, 0, len(elements))
		for _, e := range elements {
			vector = append(vector, promql.Sample{Metric: e.labels, T: at.UnixMilli(), F: e.value})
		}
		return vector, nil
	}
}
