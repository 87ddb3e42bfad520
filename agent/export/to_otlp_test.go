package export

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"sysotel/agent/secret"
	"sysotel/instruments"
)

func TestHeadersAndCompression(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"gzip", "none"} {
		t.Run(compression, func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) {
				c.OTLP.Compression = compression
				c.OTLP.Headers = map[string]secret.Text{"X-Api-Key": "topsecret"}
			})
			a.stop() // So that the request stays in the queue to be looked at.
			a.load(t, 0)
			request, err := a.otlp.finest().partition.Oldest(0)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(request[0].Body, []byte("topsecret")) || !bytes.Contains(request[0].Body, []byte(loadMetric)) {
				t.Error("the queue holds the secret, or not the metric")
			}
			a.otlp.finest().partition.Return(request)
			if err := a.shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.wantLoads(t, r, 0)
			_, headers, got := r.call(0)
			equal(t, "header", strings.Join(headers.Get("x-api-key"), ","), "topsecret")
			equal(t, "compression", got, map[string]string{"gzip": "gzip", "none": "identity"}[compression])
			log := a.log.lines("")
			if strings.Contains(strings.Join(log, ""), "topsecret") {
				t.Errorf("the log has the secret: %s", log)
			}
		})
	}
}

// TestWhatArrives looks at one request as the receiver sees it.
func TestWhatArrives(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) {
		c.Resource.Attributes = map[string]string{"deployment.environment.name": "production"}
	})
	a.load(t, 0)
	r.wait(t, 1)
	rm := r.taken()[0].ResourceMetrics[0]
	equal(t, "schema of the resource", rm.SchemaUrl, schemaURLs[instruments.Hostmetrics])
	resource := map[string]string{}
	for _, kv := range rm.Resource.Attributes {
		resource[kv.Key] = kv.Value.GetStringValue()
	}
	for key, want := range map[string]string{
		"host.name": "host-1", "service.name": "sysotel", "service.version": "1.2.3", "deployment.environment.name": "production",
	} {
		equal(t, key, resource[key], want)
	}
	equal(t, "scopes", len(rm.ScopeMetrics), 1)
	equal(t, "scope", rm.ScopeMetrics[0].Scope.Name, "sysotel/load")
	equal(t, "version of the scope", rm.ScopeMetrics[0].Scope.Version, "1.2.3")
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if m.Name == instruments.ReadingTimeName {
			t.Error("the helper point is sent")
		}
	}
}

// TestReceiverThatIsAway: the data waits, nothing else is disturbed, and when
// the receiver is back everything arrives, oldest first, each reading once.
func TestReceiverThatIsAway(t *testing.T) {
	t.Parallel()
	reserved, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	if err := reserved.Close(); err != nil {
		t.Fatal(err)
	}
	a := pushTo(t, "http://"+address, nil)
	a.load(t, 0, 1, 2, 3, 4)
	within(t, 10*time.Second, "health says that the receiver is away", func() bool { return a.otlp.finest().health().Status == "degraded" })
	if h := a.otlp.finest().health(); !strings.Contains(h.Reason, "connection refused") || !strings.Contains(h.Reason, "5 requests wait") || h.Since.IsZero() {
		t.Errorf("health: %+v", h)
	}
	page := scrape(t, a.Exporter)
	if !strings.Contains(page.Body.String(), `system_cpu_load_average_1m{host_name="host-1"} 4`) {
		t.Errorf("the page has not the newest load:\n%s", page.Body)
	}
	r := &receiver{}
	r.serve(t, address, nil)
	a.load(t, 5)
	r.wait(t, 6)
	a.wantLoads(t, r, 0, 1, 2, 3, 4, 5)
	within(t, 10*time.Second, "all answers are counted", func() bool { return a.otlp.finest().stats().Sent == 6 })
	equal(t, "health", a.otlp.finest().health().Status, "ok")
	a.log.soon(t, 1, "level=WARN")
	a.log.soon(t, 1, "the receiver accepts requests again")
	if s := a.otlp.finest().stats(); s.Sent != 6 || s.Waiting != 0 || s.Dropped != 0 || s.Rejected != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// TestReceiverThatHangs: each request has its own time limit.
func TestReceiverThatHangs(t *testing.T) {
	t.Parallel()
	var well atomic.Bool
	r := &receiver{answer: func(ctx context.Context, _ int) (*collectorpb.ExportMetricsServiceResponse, error) {
		if well.Load() {
			return &collectorpb.ExportMetricsServiceResponse{}, nil
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Timeout = time.Second })
	a.load(t, 0, 1)
	within(t, 10*time.Second, "health says that it hangs", func() bool {
		h := a.otlp.finest().health()
		return h.Status == "degraded" && strings.Contains(h.Reason, "deadline exceeded")
	})
	equal(t, "requests that wait", a.otlp.finest().stats().Waiting, 2)
	well.Store(true)
	within(t, 30*time.Second, "both are sent", func() bool { return a.otlp.finest().stats().Sent == 2 })
	a.wantLoads(t, r, 0, 1)
}

// TestReceiverAsksToWait: RetryInfo is obeyed.
func TestReceiverAsksToWait(t *testing.T) {
	t.Parallel()
	const asked = 1500 * time.Millisecond // More than the first wait of the sender's own.
	for _, code := range []codes.Code{codes.Unavailable, codes.ResourceExhausted} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			r := &receiver{answer: func(_ context.Context, n int) (*collectorpb.ExportMetricsServiceResponse, error) {
				if n > 0 {
					return &collectorpb.ExportMetricsServiceResponse{}, nil
				}
				s, err := status.New(code, "too much").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(asked)})
				if err != nil {
					return nil, err
				}
				return nil, s.Err()
			}}
			a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
			a.load(t, 0)
			r.wait(t, 2)
			first, _, _ := r.call(0)
			second, _, _ := r.call(1)
			if waited := second.Sub(first); waited < asked {
				t.Errorf("tried again after %s, asked for were %s", waited, asked)
			}
			a.wantLoads(t, r, 0)
		})
	}
}

// TestReceiverRefuses: what it will never take is dropped and counted, and the
// next request goes out.
func TestReceiverRefuses(t *testing.T) {
	t.Parallel()
	r := &receiver{answer: func(_ context.Context, n int) (*collectorpb.ExportMetricsServiceResponse, error) {
		if n < 3 {
			return nil, status.Error(codes.InvalidArgument, "no such metric")
		}
		return &collectorpb.ExportMetricsServiceResponse{}, nil
	}}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
	for i := range 3 {
		a.load(t, i)
		r.wait(t, 1)
	}
	within(t, 10*time.Second, "three are dropped", func() bool { return a.otlp.finest().stats().Dropped == 3 })
	if h := a.otlp.finest().health(); h.Status != "degraded" || !strings.Contains(h.Reason, "no such metric") {
		t.Errorf("health: %+v", h)
	}
	a.log.soon(t, 1, "level=ERROR", "no such metric")
	a.load(t, 3)
	r.wait(t, 1)
	a.wantLoads(t, r, 3)
	within(t, 10*time.Second, "one is sent", func() bool { return a.otlp.finest().stats().Sent == 1 })
	equal(t, "dropped", a.otlp.finest().stats().Dropped, 3)
}

// core is a reading of one processor.
func core(id string, user float64) instruments.Core {
	return instruments.Core{ID: id, Time: instruments.CPUStates{User: user}}
}

// userTime are the points of the time in user mode.
func userTime(r *receiver) (list []arrival) {
	for _, p := range r.points("system.cpu.time") {
		if strings.Contains(p.attributes, "state=user") {
			list = append(list, p)
		}
	}
	return list
}

// TestEndedSeriesArrives: a processor that is unplugged ends its series with
// a point without a value.
func TestEndedSeriesArrives(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
	cpu := func(second int, cores ...instruments.Core) {
		a.tick(t, second, map[string]instruments.Reading{"cpu": &instruments.CPU{Cores: cores}})
	}
	cpu(0, core("cpu0", 1), core("cpu1", 2))
	cpu(1, core("cpu0", 1))
	cpu(2, core("cpu0", 1))
	r.wait(t, 3)
	gone := 0
	for _, p := range userTime(r) {
		if !p.gone {
			equal(t, "cpu1 after it went", p.attributes == "cpu=cpu1,state=user" && p.time > a.zero.Unix(), false)
			continue
		}
		gone++
		equal(t, "attributes", p.attributes, "cpu=cpu1,state=user")
		equal(t, "time", p.time, a.zero.Unix()+1)
		equal(t, "start", p.start, 0)
		equal(t, "monotonic", p.sum.GetIsMonotonic(), true)
	}
	equal(t, "points that end the series", gone, 1)
}

func TestDeltaArrives(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Temporality = "delta" })
	for i, user := range []float64{100, 101, 103.5, 2, 2.25} {
		a.tick(t, i, map[string]instruments.Reading{"cpu": &instruments.CPU{Cores: []instruments.Core{core("cpu0", user)}, Logical: 4}})
	}
	r.wait(t, 5)
	var got []float64
	for _, p := range userTime(r) {
		got = append(got, p.value)
		equal(t, "temporality", p.sum.AggregationTemporality, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA)
		equal(t, "length", p.time-p.start, 1)
	}
	if len(got) != 3 || got[0] != 1 || got[1] != 2.5 || got[2] != 0.25 {
		t.Errorf("differences %v, want 1, 2.5 and (after a reset) 0.25", got)
	}
	counts := r.points("system.cpu.logical.count")
	equal(t, "numbers of processors", len(counts), 5)
	for _, p := range counts {
		equal(t, "number of processors", p.value, 4)
		equal(t, "its temporality", p.sum.AggregationTemporality, metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE)
	}
}
