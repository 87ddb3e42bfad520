package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// push is a periodic reader of the SDK and the destinations that take what it
// collects: to collect and to stamp a tick costs more than most of them do with
// it, so all whose points are alike share one.
type push struct {
	reader      *sdkmetric.PeriodicReader
	timestamper *timestamper
	to          []destination
	// offer, where set, is shown each collection before it is stamped.
	offer func(*metricdata.ResourceMetrics)
}

var _ sdkmetric.Exporter = (*push)(nil)

// destination takes collections.
type destination struct {
	name     string
	take     func(context.Context, collection) error
	shutdown func(context.Context) error // Nil where there is nothing to end.
}

// open makes the reader. The tick drives it; its own interval, twice the tick, is a
// safety net, given explicitly, as its time limit is, because
// OTEL_METRIC_EXPORT_INTERVAL and OTEL_METRIC_EXPORT_TIMEOUT would change them.
func (p *push) open(machine Machine) {
	p.reader = sdkmetric.NewPeriodicReader(p,
		sdkmetric.WithInterval(2*machine.Interval()),
		sdkmetric.WithTimeout(machine.Interval()+10*time.Second),
		sdkmetric.WithProducer(customProducer{machine}),
	)
}

// Export implements sdkmetric.Exporter. A collection in which nothing is new goes
// nowhere, and a destination that fails keeps it from no other one.
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

// Temporality implements sdkmetric.Exporter. The SDK's differences would not be
// those between two readings; the timestamper makes those that are asked for.
func (*push) Temporality(sdkmetric.InstrumentKind) metricdata.Temporality {
	return metricdata.CumulativeTemporality
}

// Aggregation implements sdkmetric.Exporter.
func (*push) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}

// ForceFlush implements sdkmetric.Exporter. Nothing waits here; what waits in the
// queue is flushed by who sends it.
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
