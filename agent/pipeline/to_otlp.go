package pipeline

import (
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"sysotel/agent/queue"
	"sysotel/instruments"
)

// otlp pushes readings over OTLP/gRPC. The SDK's exporter turns a stamped
// collection into a request; an interceptor on its connection takes the request
// into the queue instead of sending it; the sender sends from the queue over
// the same connection. So a receiver that is slow or away delays nothing but
// the queue, and TLS, compression and keep-alive stay the exporter's own.
type otlp struct {
	*otlpmetricgrpc.Exporter
	stamp    *stamp
	resource *resource.Resource
	queue    *queue.Queue
	// ordered has requests sent strictly one after the other.
	ordered bool
	every   int // How many readings go into one request.
	headers metadata.MD
	timeout time.Duration
	// options of each call: how it is encoded and compressed.
	options []grpc.CallOption
	log     *slog.Logger

	mu       sync.Mutex
	batch    []byte // Requests put one behind the other are one request in protobuf.
	readings int
	conn     *grpc.ClientConn
	method   string
	sent     uint64
	refused  uint64
	rejected uint64
	failing  error
	since    time.Time
	// lastTaken is when the receiver last took a request.
	lastTaken time.Time
}

var _ sdkmetric.Exporter = (*otlp)(nil)

// newOTLP makes the destination. Nothing is connected before the first request.
func newOTLP(c OTLPConfig, q *queue.Queue, stamp *stamp, of *resource.Resource, every int, log *slog.Logger) (*otlp, error) {
	o := &otlp{
		stamp: stamp, resource: of, queue: q, ordered: c.Ordered, every: every,
		timeout: c.Timeout, log: log, headers: metadata.MD{},
	}
	compressor := encoding.Identity
	if c.Compression == "gzip" {
		compressor = gzip.Name
		quickGzip()
	}
	o.options = []grpc.CallOption{grpc.ForceCodecV2(rawRequest{}), grpc.UseCompressor(compressor)}
	for k, v := range c.Headers {
		o.headers.Set(k, string(v))
	}
	options := []otlpmetricgrpc.Option{
		otlpmetricgrpc.WithEndpointURL(c.Endpoint),
		otlpmetricgrpc.WithDialOption(grpc.WithUnaryInterceptor(o.intercept)),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}),
		// Headers are attached when a request is sent, so that a queue never
		// holds a secret; the environment's must not slip in here.
		otlpmetricgrpc.WithHeaders(map[string]string{}),
		otlpmetricgrpc.WithTemporalitySelector(func(sdkmetric.InstrumentKind) metricdata.Temporality {
			return metricdata.CumulativeTemporality // Differences are made from stamped points.
		}),
	}
	if isTLS(c.Endpoint) {
		config, err := c.TLS.client()
		if err != nil {
			return nil, err
		}
		options = append(options, otlpmetricgrpc.WithTLSCredentials(credentials.NewTLS(config)))
	} else {
		// Credentials and not WithInsecure, which OTEL_EXPORTER_OTLP_CERTIFICATE beats.
		options = append(options, otlpmetricgrpc.WithTLSCredentials(insecure.NewCredentials()))
	}
	exporter, err := otlpmetricgrpc.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("otlp.endpoint: %w", err)
	}
	o.Exporter = exporter
	return o, nil
}

// quickGzip sets gRPC's gzip to its quick level, once in the process and before
// the first request: requests are as repetitive as the page, see to_prometheus.go.
var quickGzip = sync.OnceFunc(func() {
	if err := gzip.SetLevel(flate.BestSpeed); err != nil {
		panic("pipeline: gRPC knows no such level: " + err.Error())
	}
})

// client builds the TLS configuration of the push.
func (c TLSConfig) client() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // It is an option, false unless the operator says otherwise.
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("otlp.tls.ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("otlp.tls.ca: %s holds no certificate in PEM form", c.CA)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("otlp.tls.cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// Export stamps a collection and passes it on; it reaches intercept. An empty
// collection (each reading was taken before) goes no further. The resource is
// the configuration's; the SDK's has the environment mixed in.
func (o *otlp) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	o.stamp.apply(rm)
	if len(rm.ScopeMetrics) == 0 {
		return nil
	}
	rm.Resource = o.resource
	return o.Exporter.Export(ctx, rm)
}

// direct marks the context of a request that the sender sends.
type direct struct{}

// intercept takes the exporter's requests into the queue and lets the sender's pass.
func (o *otlp) intercept(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if ctx.Value(direct{}) != nil {
		return invoke(ctx, method, request, reply, conn, options...)
	}
	r, ok := request.(*collectorpb.ExportMetricsServiceRequest)
	if !ok {
		return fmt.Errorf("unexpected request %T", request)
	}
	markEnded(r)
	encoded, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode otlp request: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn, o.method = conn, method
	if len(o.batch) > 0 && len(o.batch)+len(encoded) > maxRequest {
		o.enqueue()
	}
	o.batch = append(o.batch, encoded...)
	if o.readings++; o.readings >= o.every {
		o.enqueue()
	}
	return nil
}

// maxRequest is the size up to which readings are put into one request: half
// of what a gRPC server takes unless it is told otherwise.
const maxRequest = 2 << 20

// enqueue puts the batch into the queue; o.mu is held.
func (o *otlp) enqueue() {
	if len(o.batch) == 0 {
		return
	}
	o.queue.Push(time.Now(), o.batch)
	o.batch, o.readings = o.batch[:0], 0
}

// markEnded turns the points that say that a series has ended into what OTLP
// has for it: a point without a recorded value.
func markEnded(r *collectorpb.ExportMetricsServiceRequest) {
	mark := func(points []*metricspb.NumberDataPoint) {
		for _, p := range points {
			if p.StartTimeUnixNano == uint64(vanished.UnixNano()) {
				p.StartTimeUnixNano, p.Value = 0, nil
				p.Flags = uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)
			}
		}
	}
	for _, rm := range r.ResourceMetrics {
		for _, sm := range rm.ScopeMetrics {
			for _, m := range sm.Metrics {
				mark(m.GetGauge().GetDataPoints())
				mark(m.GetSum().GetDataPoints())
				for _, p := range m.GetHistogram().GetDataPoints() {
					if p.StartTimeUnixNano == uint64(vanished.UnixNano()) {
						p.StartTimeUnixNano, p.Sum = 0, nil
						p.Flags = uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)
					}
				}
			}
		}
	}
}

// Bounds of the wait before a request is tried again.
const (
	firstWait = time.Second
	lastWait  = 30 * time.Second
	// longestAsked bounds what a receiver may ask for.
	longestAsked = 5 * time.Minute
)

// lastAnswer is how long a request that is on its way when the agent stops may
// still be answered: sent again by flush, its readings would arrive twice.
const lastAnswer = time.Second

// liveFor is how old a request may be that is sent beside the backlog.
const liveFor = 2 * time.Second

// send sends from the queue until the context ends. After an outage the backlog
// goes oldest first, and what is new is sent beside it: whoever watches the
// receiver sees now again at once. Where receivers refuse what is older than
// what they have, everything goes strictly in order.
func (o *otlp) send(ctx context.Context) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastAnswer, cancel) })()
	if o.ordered {
		o.sendBacklog(ctx, call, o.queue.Pushed())
		return
	}
	left := make(chan struct{}, 1)
	var lanes sync.WaitGroup
	lanes.Go(func() { o.sendBacklog(ctx, call, left) })
	o.sendLive(ctx, call, left)
	lanes.Wait()
}

// sendLive sends each request as it is pushed. What it does not send is left to
// the backlog.
func (o *otlp) sendLive(ctx, call context.Context, left chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.queue.Pushed():
		}
		if !o.isFailing() {
			_, _ = o.sendOne(call, func() (queue.Request, error) { return o.queue.Newest(time.Now().Add(-liveFor)) })
		}
		if o.queue.Stats().Waiting > 0 {
			select {
			case left <- struct{}{}:
			default:
			}
		}
	}
}

// sendBacklog sends what waits, oldest first, each time that it is told that
// there is something.
func (o *otlp) sendBacklog(ctx, call context.Context, left <-chan struct{}) {
	wait := firstWait
	for ctx.Err() == nil {
		delay, err := o.sendOne(call, o.queue.Oldest)
		switch {
		case errors.Is(err, queue.ErrEmpty):
			select {
			case <-ctx.Done():
				return
			case <-left:
			}
		case ctx.Err() != nil:
			return
		case err != nil:
			// The jitter keeps many agents from coming back all at once.
			pause := max(min(delay, longestAsked), wait/2+rand.N(wait/2)) //nolint:gosec // A pause is no secret.
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			wait = min(2*wait, lastWait)
		default:
			wait = firstWait
		}
	}
}

// sendOne takes one request and sends it. An error means that it should be tried
// again, after the delay where the receiver asked for one.
func (o *otlp) sendOne(ctx context.Context, take func() (queue.Request, error)) (time.Duration, error) {
	o.mu.Lock()
	conn, method := o.conn, o.method
	o.mu.Unlock()
	if conn == nil {
		// What an earlier process left waits until the first request of this one
		// has shown how to send.
		return 0, queue.ErrEmpty
	}
	request, err := take()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	call, cancel := context.WithTimeout(context.WithValue(ctx, direct{}, true), o.timeout)
	defer cancel()
	var answer collectorpb.ExportMetricsServiceResponse
	err = conn.Invoke(metadata.NewOutgoingContext(call, o.headers), method, request.Body, &answer, o.options...)
	if err == nil {
		o.queue.Done(request)
		o.answered(&answer)
		return 0, nil
	}
	if ctx.Err() != nil {
		o.queue.Return(request)
		return 0, err // The agent stops; that says nothing about the receiver.
	}
	again, delay := retryable(err)
	if again {
		o.queue.Return(request)
	} else {
		o.queue.Done(request)
	}
	o.failed(err, !again, begun)
	if !again {
		return 0, nil
	}
	return delay, err
}

// isFailing tells whether the receiver did not take the last request.
func (o *otlp) isFailing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failing != nil
}

// answered notes that the receiver took a request, maybe not all of it.
func (o *otlp) answered(a *collectorpb.ExportMetricsServiceResponse) {
	partial := a.GetPartialSuccess()
	o.mu.Lock()
	o.sent++
	firstRefusal := o.rejected == 0 && partial.GetRejectedDataPoints() > 0
	o.rejected += uint64(max(partial.GetRejectedDataPoints(), 0))
	back := o.failing != nil
	o.failing, o.lastTaken = nil, time.Now()
	o.mu.Unlock()
	if back {
		o.log.Info("the receiver is back")
	}
	if firstRefusal {
		o.log.Warn("the receiver refused points", "points", partial.GetRejectedDataPoints(), "reason", partial.GetErrorMessage())
	}
}

// failed notes that a request was not taken; lost says that it will not be tried
// again. Where the receiver has taken another one since this was begun, it is not
// away, and what is new need not wait.
func (o *otlp) failed(err error, lost bool, begun time.Time) {
	o.mu.Lock()
	away := !o.lastTaken.After(begun)
	first := away && o.failing == nil || lost && o.refused == 0
	if away {
		if o.failing == nil {
			o.since = time.Now()
		}
		o.failing = err
	}
	if lost {
		o.refused++
	}
	o.mu.Unlock()
	switch {
	case first && lost:
		o.log.Error("the receiver refuses requests; they are dropped and counted", "err", err)
	case first:
		o.log.Warn("the receiver does not take requests; they wait in the queue", "err", err)
	}
}

// retryable tells whether the OTLP specification has a failed request tried
// again, and how long the receiver asks to wait.
func retryable(err error) (bool, time.Duration) {
	s := status.Convert(err)
	var delay time.Duration
	asked := false
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			delay, asked = info.GetRetryDelay().AsDuration(), true
		}
	}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true, delay
	case codes.ResourceExhausted:
		return asked, delay
	}
	return false, 0
}

// flush sends what is left, once each, until the context ends. What is left then
// waits on disk for the next start.
func (o *otlp) flush(ctx context.Context) error {
	o.mu.Lock()
	o.enqueue()
	o.mu.Unlock()
	var err error
	for err == nil && ctx.Err() == nil {
		_, err = o.sendOne(ctx, o.queue.Oldest)
	}
	waiting := o.queue.Stats().Waiting
	if waiting == 0 {
		return nil
	}
	return fmt.Errorf("otlp: %d requests could not be sent before the end and wait for the next start: %w", waiting, errors.Join(err, ctx.Err()))
}

// stats tells how the queue fares.
func (o *otlp) stats() instruments.QueueStats {
	q := o.queue.Stats()
	o.mu.Lock()
	defer o.mu.Unlock()
	return instruments.QueueStats{Destination: "otlp", Waiting: q.Waiting, Sent: o.sent, Dropped: q.Dropped + o.refused, Rejected: o.rejected}
}

// health tells whether requests are taken, and kept until then.
func (o *otlp) health() Part {
	q := o.queue.Stats()
	o.mu.Lock()
	defer o.mu.Unlock()
	part := Part{Name: "otlp", Status: "ok"}
	if o.failing != nil {
		part = Part{
			Name: "otlp", Status: "degraded", Since: o.since,
			Reason: fmt.Sprintf("%s; %d requests wait, %d were dropped", status.Convert(o.failing).Message(), q.Waiting, q.Dropped+o.refused),
		}
	}
	if q.Failing != nil {
		reason := fmt.Sprintf("the queue's disk takes nothing, %d requests wait in memory: %v", q.Waiting, q.Failing)
		if part.Reason != "" {
			reason = part.Reason + "; " + reason
		}
		part = Part{Name: "otlp", Status: "degraded", Since: q.Since, Reason: reason}
	}
	return part
}

// rawRequest is the codec of requests that are encoded already.
type rawRequest struct{}

// Name is the content subtype: the bytes are protobuf.
func (rawRequest) Name() string { return "proto" }

// Marshal passes the bytes on.
func (rawRequest) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("unexpected request %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal decodes the answer.
func (rawRequest) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}
