package export

import (
	"context"
	"fmt"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// push is a periodic reader of the SDK that hands what it collects to the OTLP
// destination.
type push struct {
	reader      *sdkmetric.PeriodicReader
	timestamper *timestamper
	to          *otlp
	// offer is called with each collection before it is timestamped.
	offer func(*metricdata.ResourceMetrics)
}

var _ sdkmetric.Exporter = (*push)(nil)

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

// Export implements sdkmetric.Exporter. A collection without new readings is dropped.
func (p *push) Export(ctx context.Context, rm *metricdata.ResourceMetrics) error {
	p.offer(rm)
	c := p.timestamper.apply(rm)
	if len(c) == 0 {
		return nil
	}
	if err := p.to.take(ctx, c); err != nil {
		return fmt.Errorf("otlp: %w", err)
	}
	return nil
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
func (p *push) Shutdown(ctx context.Context) error { return p.to.shutdown(ctx) }
