// Package export takes readings to their destinations. What leaves the machine goes
// through the OpenTelemetry SDK: one callback per collector passes the newest reading
// to it, and two SDK readers take it from there, a pull reader for the scrape page and
// a periodic reader, driven by the tick, for the push. The store of this machine takes
// the same reading without the SDK.
//
// It is the only package that knows the OpenTelemetry SDK. Read export.go first,
// then to_store.go, then push.go and timestamper.go with to_otlp.go (sender.go and
// to_tiers.go) and to_prometheus.go.
package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"

	"sysotel/agent/health"
	"sysotel/agent/queue"
	"sysotel/instruments"
)

// Options are what New needs.
type Options struct {
	Config Config
	// Machine has the readings of Collectors, whose names follow Conventions.
	Machine     Machine
	Collectors  []instruments.Collector
	Conventions instruments.Conventions
	Host        *instruments.Host
	// Started is when the agent started by the host's clock; its own counters count since
	// then.
	Started time.Time
	// Clock is the clock that readings are by; nil for one that is never set.
	Clock Clock
	// HostName is host.name, on every series.
	HostName string
	Version  string
	// Store keeps every reading; nil for none.
	Store Store
	// Queue has the unsent requests of the push, in the Partitions of its configuration;
	// it must be set if otlp.endpoint is.
	Queue *queue.Queue
	// Tiers have the buckets to send if otlp.tiered is set.
	Tiers Tiers
	Log   *slog.Logger
}

// Clock says what time it is; *clock.Judge is one.
type Clock interface {
	// Now is the present time, Boot the time since boot by a clock that cannot be set.
	Now() time.Time
	Boot() time.Duration
}

// Machine has the newest readings of a machine; *sampler.Sampler is one.
type Machine interface {
	// Interval is the time between two ticks.
	Interval() time.Duration
	// Newest returns the newest reading of a collector and the time of its tick; nil if
	// there is none.
	Newest(collector string) (instruments.Reading, time.Time)
	// Tick returns the number and the time of the newest complete tick, and a channel
	// that is closed when the next one is complete.
	Tick() (seq uint64, at time.Time, next <-chan struct{})
	// Taken returns when the machine was really read for a collector's reading at a tick;
	// the zero time if that is not its newest.
	Taken(collector string, at time.Time) time.Time
}

// Exporter takes readings to every destination.
type Exporter struct {
	// Page is the scrape page.
	Page http.Handler

	options     Options
	machine     Machine
	hostID      string
	instruments map[string]*instruments.Instruments
	provider    *sdkmetric.MeterProvider
	page        *page
	// store is nil without a store; push, otlp and tiers without a push.
	store *toStore
	push  *push
	otlp  *otlp
	tiers *toTiers
}

// schemaURLs are the versions of the conventions that the names come from. The
// host metrics receiver declares 1.9.0 for the names it sends by default.
var schemaURLs = map[instruments.Conventions]string{
	instruments.Hostmetrics: "https://opentelemetry.io/schemas/1.9.0",
	instruments.Semconv:     "https://opentelemetry.io/schemas/1.44.0",
}

// New wires the exporter. Nothing is sent before Run.
func New(o Options) (*Exporter, error) {
	p := &Exporter{
		options: o, machine: o.Machine, hostID: o.Host.ID(),
		instruments: map[string]*instruments.Instruments{},
	}
	page, err := newPage(p)
	if err != nil {
		return nil, err
	}
	p.page, p.Page = page, page.handler
	options := []sdkmetric.Option{
		// Without a schema, because the SDK merges OTEL_RESOURCE_ATTRIBUTES into
		// it and two schemas make it report an error and send none.
		sdkmetric.WithResource(resource.NewSchemaless(p.resource().Attributes()...)),
		sdkmetric.WithReader(page.reader),
		// The SDK's own limit of 2,000 drops series silently; each collector has a limit
		// of its own that is counted and exported.
		sdkmetric.WithCardinalityLimit(0),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // There are no traces here.
	}
	if err := p.openPush(); err != nil {
		return nil, err
	}
	if p.push != nil {
		options = append(options, sdkmetric.WithReader(p.push.reader))
	}
	if o.Store != nil {
		p.store = newToStore(p)
	}
	p.provider = sdkmetric.NewMeterProvider(options...)
	for _, f := range o.Collectors {
		if err := p.register(f); err != nil {
			return nil, errors.Join(fmt.Errorf("collector %s: %w", f.Name(), err), p.provider.Shutdown(context.Background()))
		}
	}
	return p, nil
}

// openPush makes the push to the OTLP destination, if there is one.
func (p *Exporter) openPush() error {
	o := p.options
	if o.Config.OTLP.Endpoint == "" {
		return nil
	}
	if err := p.openOTLP(); err != nil {
		return err
	}
	p.push = &push{
		timestamper: p.newTimestamper(o.Config.OTLP.Temporality == "delta"),
		to:          p.otlp, offer: p.page.text.offer,
	}
	p.push.open(p.machine)
	return nil
}

// openOTLP makes the OTLP destination.
func (p *Exporter) openOTLP() error {
	o := p.options
	tick := p.machine.Interval()
	batch := max(o.Config.OTLP.Interval, tick)
	var err error
	p.otlp, err = newOTLP(o.Config.OTLP, o.Queue, p.resource(), int(batch/tick), o.Log.With("destination", "otlp"))
	if err != nil || !o.Config.OTLP.Tiered {
		return err
	}
	p.tiers, err = newToTiers(p)
	return err
}

// newTimestamper makes a timestamper of our metrics.
func (p *Exporter) newTimestamper(delta bool) *timestamper {
	var metrics []*instruments.Metric
	for _, f := range p.options.Collectors {
		metrics = append(metrics, f.Metrics()...)
	}
	return newTimestamper(newStarts(&p.options), metrics, p.options.Conventions, delta)
}

// register creates a collector's instruments and its callback. The callback does no I/O
// and returns no error: an error in one callback makes the SDK drop the whole export,
// all other collectors included.
func (p *Exporter) register(f instruments.Collector) error {
	c := p.options.Conventions
	meter := p.provider.Meter(scopePrefix+f.Name(), metric.WithInstrumentationVersion(p.options.Version), metric.WithSchemaURL(schemaURLs[c]))
	in, err := instruments.NewInstruments(f, meter, c)
	if err != nil {
		return err
	}
	p.instruments[f.Name()] = in
	name := f.Name()
	var mu sync.Mutex // A scrape and a push may collect at once.
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		mu.Lock()
		defer mu.Unlock()
		if reading, at := p.machine.Newest(name); reading != nil {
			in.Report(o, reading, at)
		}
		return nil
	}, in.Observables()...)
	return err
}

// resource describes the machine and the agent to OTLP receivers.
func (p *Exporter) resource() *resource.Resource {
	o := p.options
	var kvs []attribute.KeyValue
	for k, v := range o.Config.Resource.Attributes {
		kvs = append(kvs, attribute.String(k, v))
	}
	for k, v := range map[string]string{
		"host.name":           o.HostName,
		"host.id":             p.hostID,
		"os.type":             o.Host.OSType(),
		"os.description":      o.Host.OSDescription(),
		"service.name":        o.Config.Resource.ServiceName,
		"service.version":     o.Version,
		"service.instance.id": p.instanceID(),
	} {
		if v != "" {
			kvs = append(kvs, attribute.String(k, v))
		}
	}
	return resource.NewWithAttributes(schemaURLs[o.Conventions], kvs...)
}

// instanceID identifies the agent: by the machine's ID, because each runs one agent.
func (p *Exporter) instanceID() string {
	if p.hostID != "" {
		return p.hostID
	}
	return p.options.HostName
}

// Run sends queued requests until the context ends.
func (p *Exporter) Run(ctx context.Context) {
	if p.otlp == nil {
		return
	}
	var running sync.WaitGroup
	running.Go(func() { p.otlp.send(ctx) })
	if p.tiers != nil {
		running.Go(func() { p.tiers.run(ctx) })
	}
	running.Wait()
}

// collectLimit bounds the collection of one tick. It is far more than a collection
// takes: on an overloaded machine a late next tick, which the sampler records as a gap,
// is better than a lost reading.
const collectLimit = 30 * time.Second

// Collect exports the readings of a tick to the store and into the queue. The sampler
// waits for it: a late tick and the next one follow each other at once, and the second
// would replace the readings of the first before they are collected.
func (p *Exporter) Collect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, collectLimit)
	defer cancel()
	return p.collect(ctx)
}

func (p *Exporter) collect(ctx context.Context) error {
	var err error
	if p.store != nil {
		err = p.store.collect(ctx)
	}
	if p.push != nil {
		err = errors.Join(err, p.push.reader.ForceFlush(ctx))
	}
	return err
}

// Flush exports the last readings and sends what is queued, until the context ends. It
// must be called after Run has returned.
func (p *Exporter) Flush(ctx context.Context) error {
	err := p.collect(ctx)
	if p.otlp != nil {
		err = errors.Join(err, p.otlp.flush(ctx))
	}
	return err
}

// Shutdown closes every destination.
func (p *Exporter) Shutdown(ctx context.Context) error { return p.provider.Shutdown(ctx) }

// Overflow returns how many points of a collector were dropped by its limit.
func (p *Exporter) Overflow(collector string) uint64 {
	if p.store != nil {
		return p.store.overflow(collector)
	}
	if in := p.instruments[collector]; in != nil {
		return in.Overflow()
	}
	return 0
}

// Queues returns the counters of the queue of each push destination.
func (p *Exporter) Queues() []instruments.QueueStats {
	var stats []instruments.QueueStats
	if p.otlp != nil {
		for _, to := range p.otlp.senders {
			stats = append(stats, to.stats())
		}
	}
	return stats
}

// Health returns the status of each push destination.
func (p *Exporter) Health() []health.Component {
	var components []health.Component
	if p.otlp != nil {
		for _, to := range p.otlp.senders {
			components = append(components, to.health())
		}
	}
	return components
}
