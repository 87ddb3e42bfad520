// Package pipeline takes readings from the machine to those who want them: the
// sampler reads every family once a tick, one OpenTelemetry callback a family
// hands the newest reading to the SDK, and readers take it from there: a pull
// reader behind the Prometheus page, and a periodic reader, driven by the tick,
// behind the destinations that each reading is pushed to.
//
// It is the only package that knows the OpenTelemetry SDK. Read sampler.go
// first (with clock.go and lane.go), then push.go and stamp.go, then to_store.go,
// to_otlp.go (with sender.go and to_tiers.go) and to_prometheus.go.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"

	"sysotel/agent/queue"
	"sysotel/instruments"
)

// Options are what New needs.
type Options struct {
	Config   Config
	Measured instruments.Config
	Host     *instruments.Host
	// HostName is host.name, on every series.
	HostName string
	Version  string
	// URL is where people reach the agent's page, "" where nobody told it.
	URL string
	// Store keeps every reading; nil where none are kept.
	Store Store
	// Records keep process tables and events; nil where none are kept.
	Records Records
	// Queue is where requests of the push wait; it must be set where otlp.endpoint
	// is, and have the lanes that Lanes tells.
	Queue *queue.Queue
	// Tiers are whose buckets are sent where otlp.tiered is set.
	Tiers Tiers
	Log   *slog.Logger
}

// Pipeline is everything between the machine and those who ask.
type Pipeline struct {
	*Sampler
	// Page is the Prometheus page.
	Page http.Handler

	options     Options
	started     time.Time
	startedText string
	hostID      string
	instruments map[string]*instruments.Instruments
	provider    *sdkmetric.MeterProvider
	page        *page
	otlp        *otlp
	tiers       *toTiers
	pushes      []*push
	// began tells that the start was written down and the stop was not.
	began atomic.Bool
}

// schemaURLs are the versions of the conventions that the names come from. The
// host metrics receiver declares 1.9.0 for the names it sends by default.
var schemaURLs = map[instruments.Conventions]string{
	instruments.Hostmetrics: "https://opentelemetry.io/schemas/1.9.0",
	instruments.Semconv:     "https://opentelemetry.io/schemas/1.44.0",
}

// New wires the pipeline. Nothing runs before Run.
func New(o Options) (*Pipeline, error) {
	p := &Pipeline{
		options: o, started: o.Host.Now(), hostID: o.Host.ID(),
		instruments: map[string]*instruments.Instruments{},
	}
	p.startedText = p.started.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	families := instruments.NewCollectors(o.Measured, p.stats)
	p.Sampler = newSampler(o.Host, families, o.Measured, o.Config.Sampling.Interval, o.Log)
	if o.Records != nil {
		p.chronicle = newChronicle(o)
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
		// The SDK's own limit of 2,000 drops series silently; each family has a
		// bound of its own that is counted and shown.
		sdkmetric.WithCardinalityLimit(0),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter), // There are no traces here.
	}
	if err := p.openPushes(families); err != nil {
		return nil, err
	}
	for i, to := range p.pushes {
		if i == 0 {
			p.published, to.offer = p.push, page.text.offer
		}
		options = append(options, sdkmetric.WithReader(to.reader))
	}
	p.provider = sdkmetric.NewMeterProvider(options...)
	for _, f := range families {
		if err := p.register(f); err != nil {
			return nil, errors.Join(fmt.Errorf("family %s: %w", f.Name(), err), p.provider.Shutdown(context.Background()))
		}
	}
	return p, nil
}

// openPushes makes the destinations and the pushes that feed them.
func (p *Pipeline) openPushes(families []instruments.Collector) error {
	o := p.options
	totals := &push{stamp: p.newStamp(families, false)}
	if o.Store != nil {
		store := newToStore(o.Store, totals.stamp, p.Sampler, o.HostName, o.Log.With("destination", "store"))
		totals.to = append(totals.to, destination{name: "store", take: store.take})
	}
	sent := totals
	if o.Config.OTLP.Temporality == "delta" {
		sent = &push{stamp: p.newStamp(families, true)}
	}
	if o.Config.OTLP.Endpoint != "" {
		if err := p.openOTLP(sent.stamp); err != nil {
			return err
		}
		sent.to = append(sent.to, destination{"otlp", p.otlp.take, p.otlp.exporter.Shutdown})
	}
	for _, to := range slices.Compact([]*push{totals, sent}) {
		if len(to.to) > 0 {
			to.open(p.Sampler)
			p.pushes = append(p.pushes, to)
		}
	}
	return nil
}

// openOTLP makes the OTLP destination.
func (p *Pipeline) openOTLP(stamp *stamp) error {
	o := p.options
	batch := max(o.Config.OTLP.Interval, o.Config.Sampling.Interval)
	var err error
	p.otlp, err = newOTLP(o.Config.OTLP, o.Queue, stamp, p.resource(), int(batch/o.Config.Sampling.Interval), o.Log.With("destination", "otlp"))
	if err != nil || !o.Config.OTLP.Tiered {
		return err
	}
	p.tiers, err = newToTiers(p)
	return err
}

// newStamp makes the stamp of a push.
func (p *Pipeline) newStamp(families []instruments.Collector, delta bool) *stamp {
	var metrics []*instruments.Metric
	for _, f := range families {
		metrics = append(metrics, f.Metrics()...)
	}
	boot := p.options.Host.Boot()
	if boot.IsZero() {
		boot = p.started
	}
	return newStamp(boot, p.started, metrics, p.options.Measured.Conventions, delta)
}

// register creates a family's instruments and its callback. The callback does
// no I/O and returns no error, because the SDK drops the whole export, with the
// other families in it, for one callback's error.
func (p *Pipeline) register(f instruments.Collector) error {
	c := p.options.Measured.Conventions
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
		if reading, at := p.Newest(name); reading != nil {
			in.Report(o, reading, at)
		}
		return nil
	}, in.Observables()...)
	return err
}

// resource describes the machine and the agent to OTLP receivers.
func (p *Pipeline) resource() *resource.Resource {
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
	return resource.NewWithAttributes(schemaURLs[o.Measured.Conventions], kvs...)
}

// instanceID tells two agents apart; the machine's id does, one agent runs on each.
func (p *Pipeline) instanceID() string {
	if p.hostID != "" {
		return p.hostID
	}
	return p.options.HostName
}

// Run ticks, has each tick collected for the push destinations and sends what is
// queued, until the context ends.
func (p *Pipeline) Run(ctx context.Context) error {
	group, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	if p.otlp != nil {
		running.Go(func() { p.otlp.send(group) })
		if p.tiers != nil {
			running.Go(func() { p.tiers.run(group) })
		}
	}
	if p.chronicle != nil {
		p.chronicle.open()
		defer p.chronicle.oom.close()
		p.began.Store(true)
		// It asks the records for the run before, which the first reading need not
		// wait for.
		running.Go(func() { p.chronicle.begin(group, p.options.Host.Now()) })
	}
	err := p.Sampler.Run(ctx)
	stop()
	running.Wait()
	return err
}

// pushLimit bounds the collection of one tick. It is far more than a collection
// takes: a machine so busy that it takes seconds delays the next tick, which the
// sampler notes as a gap, and that is better than to lose a reading that is there.
const pushLimit = 30 * time.Second

// push collects and exports the readings of a tick, into the queue and no
// further. The sampler waits for it: a tick that is late and the one after it
// follow each other at once, and the second would replace the readings of the
// first before they are collected.
func (p *Pipeline) push(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, pushLimit)
	defer cancel()
	for _, to := range p.pushes {
		if err := to.reader.ForceFlush(limited); err != nil && ctx.Err() == nil {
			_, at, _ := p.Tick()
			p.gap(gap{cause: causeOverload, from: at, missed: 1})
			p.options.Log.Error("collect", "err", err)
		}
	}
}

// Shutdown hands over the last reading and what is queued, and closes every
// destination. It is called after Run has returned, with a context that bounds it.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	var err error
	for _, to := range p.pushes {
		err = errors.Join(err, to.reader.ForceFlush(ctx))
	}
	if p.otlp != nil {
		err = errors.Join(err, p.otlp.flush(ctx))
	}
	for _, f := range p.families {
		// A family that holds on to something (a command that runs) lets go of it.
		if closer, ok := f.Collector.(io.Closer); ok {
			err = errors.Join(err, closer.Close())
		}
	}
	if p.began.Swap(false) {
		p.chronicle.end(p.options.Host.Now())
	}
	return errors.Join(err, p.provider.Shutdown(ctx))
}

// Reconfigure gives the families new settings from the next tick on.
func (p *Pipeline) Reconfigure(c instruments.Config) { p.Configure(c) }
