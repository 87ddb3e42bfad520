package victoriametrics

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Sighting is one series and the time of its newest sample.
type Sighting struct {
	Labels map[string]string
	At     time.Time
}

// LastSeen returns the time of the newest sample of each series of a metric, within
// a time before now. It is the only query in VictoriaMetrics' language, because it
// needs no samples to be fetched.
func (n *Node) LastSeen(ctx context.Context, metric string, within time.Duration) ([]Sighting, error) {
	answer, err := get[struct {
		Result []struct {
			Metric map[string]string  `json:"metric"`
			Value  [2]json.RawMessage `json:"value"`
		} `json:"result"`
	}](ctx, n, "/api/v1/query", url.Values{
		"query": {fmt.Sprintf("tlast_over_time({__name__=%s}[%ds])", strconv.Quote(metric), int(within.Seconds()))},
	})
	if err != nil {
		return nil, err
	}
	seen := make([]Sighting, 0, len(answer.Result))
	for _, one := range answer.Result {
		var text string
		if err := json.Unmarshal(one.Value[1], &text); err != nil {
			return nil, n.unavailable(invalidResponse(err))
		}
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, n.unavailable(invalidResponse(err))
		}
		seen = append(seen, Sighting{one.Metric, time.UnixMilli(int64(seconds * 1000))})
	}
	return seen, nil
}
