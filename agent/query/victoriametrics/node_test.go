package victoriametrics_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query"
	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
	"sysotel/otel-collector/programs"
)

// TestNodesConform runs the conformance suite on real nodes.
func TestNodesConform(t *testing.T) {
	storetest.Run(t, func(tb testing.TB, tier store.TierConfig, series []storetest.Series) (query.Source, func()) {
		process, url := programs.StartVictoriaMetrics(tb, "-retentionPeriod=30d")
		write(tb, url, series)
		node, err := victoriametrics.New(victoriametrics.Options{URL: url, Tier: tier})
		if err != nil {
			tb.Fatal(err)
		}
		return node, process.Kill
	})
}

// TestManySeries: a node with more series than it lists is asked for its oldest sample and
// for one series as if it had few, and stays available when it is asked for all of them.
func TestManySeries(t *testing.T) {
	_, url := programs.StartVictoriaMetrics(t, "-retentionPeriod=1d", "-search.maxSeries=1000")
	var lines bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&lines, "g{host_name=\"h%d\"} %d\n", i, i)
	}
	post(t, url+"/api/v1/import/prometheus", lines.Bytes())
	post(t, url+"/internal/force_flush", nil)
	node, err := victoriametrics.New(victoriametrics.Options{URL: url, Tier: store.TierConfig{Resolution: time.Second, Retention: 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	if oldest := node.Oldest(); oldest.IsZero() || node.Down() != nil {
		t.Errorf("it reaches back to %s, and is away for %v", oldest, node.Down())
	}
	if n, err := selectG(t.Context(), node); n != 2000 || err != nil {
		t.Errorf("%d series, %v; want 2000", n, err)
	}
	now := time.Now().UnixMilli()
	q, err := node.Queryable().Querier(now-3_600_000, now)
	if err != nil {
		t.Fatal(err)
	}
	set := q.Select(t.Context(), true, &storage.SelectHints{Start: now - 3_600_000, End: now, Func: "series"}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "g"))
	if err := set.Err(); !errors.Is(err, query.ErrCostly) || node.Down() != nil {
		t.Errorf("asked for all series it answers %v, and is away for %v", err, node.Down())
	}
	if oldest := node.Oldest(); oldest.IsZero() {
		t.Error("it is empty afterwards")
	}
}

// write sends series to a node and waits until they can be queried.
func write(tb testing.TB, url string, series []storetest.Series) {
	tb.Helper()
	for _, one := range series {
		written := prompb.TimeSeries{}
		one.Labels.Range(func(l labels.Label) {
			written.Labels = append(written.Labels, prompb.Label{Name: l.Name, Value: l.Value})
		})
		for _, s := range one.Samples {
			written.Samples = append(written.Samples, prompb.Sample{Timestamp: s.T, Value: s.V})
		}
		request := prompb.WriteRequest{Timeseries: []prompb.TimeSeries{written}}
		body, err := request.Marshal()
		if err != nil {
			tb.Fatal(err)
		}
		post(tb, url+"/api/v1/write", snappy.Encode(nil, body))
	}
	post(tb, url+"/internal/force_flush", nil)
}

func post(tb testing.TB, url string, body []byte) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode/100 != 2 {
		tb.Fatalf("%s: %s %s %v", url, response.Status, text, err)
	}
}
