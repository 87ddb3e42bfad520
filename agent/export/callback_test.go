package export

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// countingExporter notes what a periodic reader exports.
type countingExporter struct {
	sdkmetric.Exporter
	exports atomic.Int64
	scopes  atomic.Int64
}

func (e *countingExporter) Export(_ context.Context, rm *metricdata.ResourceMetrics) error {
	e.exports.Add(1)
	e.scopes.Store(int64(len(rm.ScopeMetrics)))
	return nil
}

func (*countingExporter) Temporality(k sdkmetric.InstrumentKind) metricdata.Temporality {
	return sdkmetric.DefaultTemporalitySelector(k)
}

func (*countingExporter) Aggregation(k sdkmetric.InstrumentKind) sdkmetric.Aggregation {
	return sdkmetric.DefaultAggregationSelector(k)
}
func (*countingExporter) ForceFlush(context.Context) error { return nil }
func (*countingExporter) Shutdown(context.Context) error   { return nil }

// observe registers a callback that observes a gauge and returns what fails gives.
func observe(t *testing.T, p *sdkmetric.MeterProvider, name string, fails func() error) {
	t.Helper()
	meter := p.Meter(name)
	g, err := meter.Float64ObservableGauge(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveFloat64(g, 1)
		return fails()
	}, g)
	if err != nil {
		t.Fatal(err)
	}
}

// TestOneCallbackErrorDropsTheExport documents why a reading cannot fail when
// it reports: the SDK's periodic reader exports nothing at all, of no collector,
// when one callback returns an error. Should this test fail one day, the SDK
// has changed, and Exporter.register may be thought over.
func TestOneCallbackErrorDropsTheExport(t *testing.T) {
	exporter := &countingExporter{}
	reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(time.Hour))
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	defer func() { _ = provider.Shutdown(t.Context()) }()
	var failing atomic.Bool
	broken := errors.New("no such file")
	observe(t, provider, "cpu", func() error { return nil })
	observe(t, provider, "disk", func() error {
		if failing.Load() {
			return broken
		}
		return nil
	})
	if err := reader.ForceFlush(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "exports", exporter.exports.Load(), 1)
	equal(t, "scopes", exporter.scopes.Load(), 2)

	failing.Store(true)
	if err := reader.ForceFlush(t.Context()); !errors.Is(err, broken) {
		t.Errorf("ForceFlush: %v", err)
	}
	equal(t, "exports after a callback's error", exporter.exports.Load(), 1)
	failing.Store(false)
}

// TestForceFlushResetsTheSafetyNet: while ticks drive the reader, its own
// ticker, at twice the tick, never collects; when they cease, it does.
func TestForceFlushResetsTheSafetyNet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exporter := &countingExporter{}
		reader := sdkmetric.NewPeriodicReader(exporter, sdkmetric.WithInterval(2*time.Second))
		provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
		observe(t, provider, "cpu", func() error { return nil })
		for range 60 {
			pass(time.Second)
			if err := reader.ForceFlush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, "exports in 60 ticks", exporter.exports.Load(), 60)
		pass(10*time.Second + time.Millisecond)
		equal(t, "exports in 10 s without ticks", exporter.exports.Load(), 65)
		if err := provider.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
