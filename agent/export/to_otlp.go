package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"sysotel/agent/clienttls"
	"sysotel/agent/queue"
)

// otlp is the destination that sends over OTLP/gRPC. The SDK's exporter turns a
// collection into a request; an interceptor puts the request into the queue, and the
// exporter's connection is never opened. The senders send from the queue. So a slow or
// unavailable receiver delays only the queue.
type otlp struct {
	exporter *otlpmetricgrpc.Exporter
	// encoder is the exporter's connection, receiver that of the senders.
	encoder  *grpc.ClientConn
	receiver *connection
	resource *resource.Resource
	// before is the last tick that an earlier process sent. An agent that is restarted
	// within a second reads it again.
	before time.Time
	// readings are those of the request being built, scopes their scopes; both are
	// reused.
	readings []scopeReading
	scopes   []metricdata.ScopeMetrics
	// senders are one per partition of the queue, that of the readings first.
	senders []*sender
	// most is the size up to which consecutive requests are sent as one.
	most int
	// ordered is set if the requests of a partition are sent strictly in order.
	ordered bool
	headers []header
	timeout time.Duration
	// security are the files of TLS, nil without TLS.
	security *clienttls.Files
	// options of each call: its encoding and compression.
	options []grpc.CallOption
	// tiered is set if the number of readings of each collector is sent.
	tiered bool

	mu sync.Mutex
	// newest is the time of the newest reading of the request being built.
	newest time.Time
	// holding is set while requests are held back, see heldRequest.
	holding bool
	held    []heldRequest
	// first is the time of each collector's first reading.
	first map[string]time.Time
	// caughtUp is a tick that was sent from the store, so that it is not sent again.
	caughtUp time.Time
}

// newOTLP creates the destination. It connects with the first request that is sent.
func newOTLP(c OTLPConfig, q *queue.Queue, of *resource.Resource, every int, log *slog.Logger) (*otlp, error) {
	o := &otlp{resource: of, most: maxRequest, ordered: c.Ordered, timeout: c.Timeout, first: map[string]time.Time{}}
	o.add("otlp", q.Partition(""), every, log)
	o.before = o.finest().partition.Mark()
	compressor := encoding.Identity
	if c.Compression == "gzip" {
		compressor = gzipName
	}
	o.options = []grpc.CallOption{grpc.ForceCodecV2(rawRequest{}), grpc.UseCompressor(compressor)}
	var err error
	if o.headers, err = openHeaders(c.Headers, log); err != nil {
		return nil, err
	}
	security := insecure.NewCredentials()
	if isTLS(c.Endpoint) {
		if o.security, err = clienttls.Open(c.TLS.CA, c.TLS.Cert, c.TLS.Key, noteFiles(log, "otlp.tls")); err != nil {
			return nil, fmt.Errorf("%s: %w", c.TLS.option(err), err)
		}
		security = newReplaceable(c.TLS, o.security)
	}
	if o.receiver, err = dial(c.Endpoint, "sysotel", security, log); err != nil {
		return nil, fmt.Errorf("otlp.endpoint: %w", err)
	}
	if o.encoder, err = grpc.NewClient("passthrough:queue", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUnaryInterceptor(o.intercept)); err != nil {
		return nil, err
	}
	o.exporter, err = otlpmetricgrpc.New(context.Background(),
		otlpmetricgrpc.WithGRPCConn(o.encoder),
		otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}),
		// Headers are added when a request is sent, so that the queue never contains a
		// secret.
		otlpmetricgrpc.WithHeaders(map[string]string{}),
	)
	return o, err
}

// shutdown closes both connections.
func (o *otlp) shutdown(ctx context.Context) error {
	return errors.Join(o.exporter.Shutdown(ctx), o.encoder.Close(), o.receiver.Close())
}

// add adds the sender of a partition.
func (o *otlp) add(name string, partition *queue.Partition, every int, log *slog.Logger) *sender {
	s := &sender{to: o, name: name, partition: partition, every: uint64(every), log: log}
	o.senders = append(o.senders, s)
	return s
}

// finest is the sender of the readings themselves.
func (o *otlp) finest() *sender { return o.senders[0] }

// take turns a collection into a request, which reaches intercept. The resource is the
// configured one; the SDK adds the environment to its own.
func (o *otlp) take(ctx context.Context, c collection) error {
	var newest time.Time
	o.readings, o.scopes = o.readings[:0], o.scopes[:0]
	for _, r := range c {
		o.noteFirst(r.collector, r.at)
		if r.at.Equal(o.before) {
			continue
		}
		if r.at.After(newest) {
			newest = r.at
		}
		if r.scope.Scope.Name == customScope {
			r.scope.Metrics = withoutTotal(r.scope.Metrics)
		}
		o.readings, o.scopes = append(o.readings, r), append(o.scopes, r.scope)
	}
	defer func() {
		clear(o.readings) // The SDK fills the points again.
		clear(o.scopes)
	}()
	if len(o.scopes) == 0 {
		return nil
	}
	if o.tiered {
		o.countReadings()
	}
	o.mu.Lock()
	o.newest = newest
	o.mu.Unlock()
	return o.exporter.Export(ctx, &metricdata.ResourceMetrics{Resource: o.resource, ScopeMetrics: o.scopes})
}

// noteFirst notes when a collector was first read.
func (o *otlp) noteFirst(collector string, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first[collector].IsZero() {
		o.first[collector] = at
	}
}

// firstReading returns the time of a collector's first reading, zero before it.
func (o *otlp) firstReading(collector string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first[collector]
}

// intercept puts the exporter's requests into the queue.
func (o *otlp) intercept(_ context.Context, _ string, request, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	r, ok := request.(*collectorpb.ExportMetricsServiceRequest)
	if !ok {
		return fmt.Errorf("unexpected request %T", request)
	}
	withoutSums(r)
	appendEnded(r, o.readings)
	encoded, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode otlp request: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.holding {
		o.held = append(o.held, heldRequest{o.newest, encoded})
		return nil
	}
	o.push(heldRequest{o.newest, encoded})
	return nil
}

// send sends queued requests until the context ends.
func (o *otlp) send(ctx context.Context) {
	var sending sync.WaitGroup
	for _, s := range o.senders {
		sending.Go(func() { s.run(ctx) })
	}
	sending.Wait()
}

// flush sends the remaining requests, each once, until the context ends. What is left
// then stays on disk for the next start.
func (o *otlp) flush(ctx context.Context) error {
	o.release(time.Time{})
	var sending sync.WaitGroup
	errs := make([]error, len(o.senders))
	for i, s := range o.senders {
		sending.Go(func() { errs[i] = s.flush(ctx) })
	}
	sending.Wait()
	return errors.Join(errs...)
}

// rawRequest is the codec of requests that are already encoded.
type rawRequest struct{}

// Name is the content subtype: the bytes are protobuf.
func (rawRequest) Name() string { return "proto" }

// Marshal returns the bytes.
func (rawRequest) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("unexpected request %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal decodes the response.
func (rawRequest) Unmarshal(data mem.BufferSlice, v any) error {
	return proto.Unmarshal(data.Materialize(), v.(proto.Message))
}
