package export

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"sysotel/instruments"
)

// receiver is an OTLP receiver: a real gRPC server on loopback.
type receiver struct {
	collectorpb.UnimplementedMetricsServiceServer
	// answer, if set, returns the response to the n-th call (from 0).
	answer func(ctx context.Context, n int) (*collectorpb.ExportMetricsServiceResponse, error)
	// refuse, where set, decides which requests are not taken.
	refuse func(*collectorpb.ExportMetricsServiceRequest) error
	// arrived is signalled after each call.
	arrived chan struct{}

	mu          sync.Mutex
	calls       []time.Time
	requests    []*collectorpb.ExportMetricsServiceRequest // Those that were taken.
	headers     []metadata.MD
	compression []string
}

// serve starts the receiver at an address ("127.0.0.1:0" for any) and returns
// the address; it ends with the test.
func (r *receiver) serve(t *testing.T, address string, config *tls.Config) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	var options []grpc.ServerOption
	if config != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(config)))
	}
	server := r.server(options...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

// server is the gRPC server of the receiver.
func (r *receiver) server(options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(options, grpc.StatsHandler(r))...)
	r.arrived = make(chan struct{}, 10_000)
	collectorpb.RegisterMetricsServiceServer(server, r)
	return server
}

// handler is the receiver behind an HTTP/2 server.
func (r *receiver) handler() http.Handler { return r.server() }

// Export implements the OTLP service.
func (r *receiver) Export(ctx context.Context, request *collectorpb.ExportMetricsServiceRequest) (*collectorpb.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	n := len(r.calls)
	r.calls = append(r.calls, time.Now())
	headers, _ := metadata.FromIncomingContext(ctx)
	r.headers = append(r.headers, headers)
	r.mu.Unlock()
	defer func() { r.arrived <- struct{}{} }()
	answer := &collectorpb.ExportMetricsServiceResponse{}
	if r.answer != nil {
		var err error
		if answer, err = r.answer(ctx, n); err != nil {
			return nil, err
		}
	}
	if r.refuse != nil {
		if err := r.refuse(request); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
	return answer, nil
}

func (r *receiver) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (r *receiver) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (r *receiver) HandleConn(context.Context, stats.ConnStats)                       {}

// HandleRPC notes how requests are compressed.
func (r *receiver) HandleRPC(_ context.Context, s stats.RPCStats) {
	if in, ok := s.(*stats.InHeader); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.compression = append(r.compression, in.Compression)
	}
}

// wait returns when n more calls have been answered.
func (r *receiver) wait(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for i := range n {
		select {
		case <-r.arrived:
		case <-deadline:
			t.Fatalf("call %d of %d does not come", i+1, n)
		}
	}
}

// taken are the requests that were taken so far.
func (r *receiver) taken() []*collectorpb.ExportMetricsServiceRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// arrival is one point that arrived.
type arrival struct {
	metric     string
	attributes string
	value      float64
	time       int64 // In seconds of Unix time.
	start      int64
	gone       bool
	sum        *metricspb.Sum
}

// call is what is known of the i-th call: when it came, with which headers and
// compression.
func (r *receiver) call(i int) (at time.Time, headers metadata.MD, compression string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[i], r.headers[i], r.compression[i]
}

// points are those of one metric in the order in which they arrived.
func (r *receiver) points(metric string) (list []arrival) {
	for _, request := range r.taken() {
		list = append(list, pointsOf(request, metric)...)
	}
	return list
}

// pointsOf are the points of one metric in a request.
func pointsOf(request *collectorpb.ExportMetricsServiceRequest, metric string) (list []arrival) {
	for _, rm := range request.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				if m.Name != metric {
					continue
				}
				for _, p := range append(slices.Clone(m.GetGauge().GetDataPoints()), m.GetSum().GetDataPoints()...) {
					list = append(list, arrivedPoint(m, p))
				}
			}
		}
	}
	return list
}

func arrivedPoint(m *metricspb.Metric, p *metricspb.NumberDataPoint) arrival {
	value := p.GetAsDouble()
	if _, whole := p.Value.(*metricspb.NumberDataPoint_AsInt); whole {
		value = float64(p.GetAsInt())
	}
	var attributes []string
	for _, kv := range p.Attributes {
		attributes = append(attributes, kv.Key+"="+kv.Value.GetStringValue())
	}
	slices.Sort(attributes)
	return arrival{
		metric: m.Name, attributes: strings.Join(attributes, ","), value: value, sum: m.GetSum(),
		time: int64(p.TimeUnixNano / 1e9), start: int64(p.StartTimeUnixNano / 1e9),
		gone: p.Flags&uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK) != 0 && p.Value == nil,
	}
}

// agent is an exporter that pushes, whose ticks are the test's.
type agent struct {
	*Exporter
	machine *machine
	log     *logbook
	stop    func() // Ends the sender, as the end of Run does.
	zero    time.Time
}

// newAgent is one whose machine is the test's.
func newAgent(o Options, log *logbook) (*agent, error) {
	m := newMachine()
	o.Machine = m
	p, err := New(o)
	return &agent{Exporter: p, machine: m, log: log, zero: at("12:00:00")}, err
}

// pushTo makes an exporter that pushes to an endpoint, and its sender.
func pushTo(t *testing.T, endpoint string, change func(*Config)) *agent {
	t.Helper()
	c := Defaults()
	c.OTLP.Endpoint, c.OTLP.Ordered = endpoint, true
	if change != nil {
		change(&c)
	}
	log := &logbook{}
	return pushWith(t, testOptions(t, c, log), log)
}

// pushWith makes an exporter that pushes, and its sender.
func pushWith(t *testing.T, o Options, log *logbook) *agent {
	t.Helper()
	a, err := newAgent(o, log)
	if err != nil {
		t.Fatal(err)
	}
	if o.Config.OTLP.Interval == 0 {
		a.otlp.most = 0 // Each reading comes by itself, so that the test can count them.
	}
	ctx, cancel := context.WithCancel(t.Context())
	var sending sync.WaitGroup
	sending.Go(func() { a.Run(ctx) })
	a.stop = func() {
		cancel()
		sending.Wait()
	}
	t.Cleanup(func() {
		a.stop()
		ended, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 100*time.Millisecond)
		defer cancel()
		_ = a.Shutdown(ended) // Where the test has done so before, it says so.
	})
	return a
}

// tick gives the machine readings of a second and has them collected.
func (a *agent) tick(t *testing.T, second int, readings map[string]instruments.Reading) {
	t.Helper()
	now := a.zero.Add(time.Duration(second) * time.Second)
	a.machine.tick(now, readings)
	if err := a.collect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// load is a tick at which the load is the second's number.
func (a *agent) load(t *testing.T, seconds ...int) {
	t.Helper()
	for _, s := range seconds {
		a.tick(t, s, map[string]instruments.Reading{"load": &instruments.Load{One: float64(s)}})
	}
}

// loadMetric is what the load is called.
const loadMetric = "system.cpu.load_average.1m"

// shutdown ends the exporter as the agent's stop does.
func (a *agent) shutdown(ctx context.Context) error {
	return errors.Join(a.Flush(ctx), a.Shutdown(ctx))
}

// wantLoads fails the test unless the loads of these seconds arrived, each
// once, in this order, at their times.
func (a *agent) wantLoads(t *testing.T, r *receiver, seconds ...int) {
	t.Helper()
	var values, times []int
	for _, p := range r.points(loadMetric) {
		values = append(values, int(p.value))
		times = append(times, int(p.time-a.zero.Unix()))
	}
	equalInts(t, "loads", values, seconds...)
	equalInts(t, "their times", times, seconds...)
}
