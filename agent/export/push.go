package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// push is a periodic reader of the SDK and the destinations of its collections: to
// collect and timestamp a tick costs more than most destinations, so those with the
// same points share one.
type push struct {
	reader      *sdkmetric.PeriodicReader
	timestamper *timestamper
	to          []destination
	// offer, if set, is called with each collection before it is timestamped.
	offer func(*metricdata.ResourceMetrics)
}

var _ sdkmetric.Exporter = (*push)(nil)

// destination takes collections.
type destination struct {
	name     string
	take     func(context.Context, collection) error
	shutdown func(context.Context) error // Nil if there is nothing to shut down.
}

// open creates the reader. The tick drives it; its own interval, twice the tick, is a
// safety net. Interval and timeout are set so that OTEL_METRIC_EXPORT_INTERVAL and
// OTEL_METRIC_EXPORT_TIMEOUT cannot change them.
func (p *push) open(machine Machine) {
	p.reader = sdkmetric.NewPeriodicReader(p,
		sdkmetric.WithInterval(2*machine.Interval()),
		sdkmetric.WithTimeout(machine.Interval()+10*time.Second),
		sdkmetric.WithProducer(customProducer{machine}),
	)
}

// Export implements sdkmetric.Exporter. A collection without new readings is dropped; a
// destination that fails does not affect the others.
func (p *push) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	if p.offer != nil {
		p.offer(rm)
	}
	c := p.timestamper.apply(rm)
	if len(c) == 0 {
		return nil
	}
	var err error
	for _, d := range p.to {
		if failed := d.take(ctx, c); failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", d.name, failed))
		}
	}
	return err
}

// Temporality implements sdkmetric.Exporter. The SDK's deltas would not be those
// between two readings; the timestamper computes them.
func (*push) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

// Aggregation implements sdkmetric.Exporter.
func (*push) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}

// ForceFlush implements sdkmetric.Exporter. Nothing waits here; the senders flush the
// queue.
func (*push) ForceFlush(context.Context) error { return nil }

// Shutdown implements sdkmetric.Exporter.
func (p *push) Shutdown(ctx context.Context) error {
	var err error
	for _, d := range p.to {
		if d.shutdown != nil {
			err = errors.Join(err, d.shutdown(ctx))
		}
	}
	return err
}
