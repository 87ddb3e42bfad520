package victoriametrics_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"

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
