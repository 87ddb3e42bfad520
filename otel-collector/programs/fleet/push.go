package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// captured is one push of an agent with `otlp.tiered`: the readings of one second.
//
//go:embed push.binpb.gz
var captured []byte

// push makes requests of the captured one.
type push struct {
	mu      sync.Mutex
	request *collectorpb.ExportMetricsServiceRequest
	// identity are the values that tell hosts apart.
	identity []*commonpb.AnyValue
	points   []point
}

// point is one number of the request, with its captured value.
type point struct {
	of      *metricspb.NumberDataPoint
	value   float64
	integer bool
	// counts is whether it is a counter's.
	counts bool
}

// loadPush reads the captured push.
func loadPush() (*push, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(captured))
	if err != nil {
		return nil, fmt.Errorf("the captured push: %w", err)
	}
	body, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, fmt.Errorf("the captured push: %w", err)
	}
	p := &push{request: new(collectorpb.ExportMetricsServiceRequest)}
	if err := proto.Unmarshal(body, p.request); err != nil {
		return nil, fmt.Errorf("the captured push: %w", err)
	}
	p.identity = identities(p.request)
	for of, counts := range numbers(p.request) {
		one := point{of: of, counts: counts, value: of.GetAsDouble()}
		if _, one.integer = of.GetValue().(*metricspb.NumberDataPoint_AsInt); one.integer {
			one.value = float64(of.GetAsInt())
		}
		p.points = append(p.points, one)
	}
	if len(p.points) == 0 || len(p.identity) < 2 {
		return nil, fmt.Errorf("the captured push has %d points and %d places for the host", len(p.points), len(p.identity))
	}
	return p, nil
}

// identities are the values of a request that tell hosts apart: the host's name and its
// machine id.
func identities(r *collectorpb.ExportMetricsServiceRequest) (values []*commonpb.AnyValue) {
	for _, rm := range r.GetResourceMetrics() {
		for _, a := range rm.GetResource().GetAttributes() {
			if a.GetKey() == "host.name" {
				values = append(values, a.GetValue())
			}
		}
	}
	for p := range numbers(r) {
		for _, a := range p.GetAttributes() {
			if a.GetKey() == "host_id" {
				values = append(values, a.GetValue())
			}
		}
	}
	return values
}

// numbers are the points of a request, and whether each is a counter's.
func numbers(r *collectorpb.ExportMetricsServiceRequest) iter.Seq2[*metricspb.NumberDataPoint, bool] {
	return func(yield func(*metricspb.NumberDataPoint, bool) bool) {
		for _, rm := range r.GetResourceMetrics() {
			for _, sm := range rm.GetScopeMetrics() {
				for _, m := range sm.GetMetrics() {
					for _, p := range slices.Concat(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()) {
						if !yield(p, m.GetSum().GetIsMonotonic()) {
							return
						}
					}
				}
			}
		}
	}
}

// body is a host's n-th request, with the readings of a time. Counters grow with n;
// other values move between half of the captured one and all of it.
func (p *push) body(host string, n int, at time.Time) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.identity {
		h.Value = &commonpb.AnyValue_StringValue{StringValue: host}
	}
	random := uint64(len(host)) + uint64(n)*0x9E3779B97F4A7C15
	for _, c := range []byte(host) {
		random = random*31 + uint64(c)
	}
	for i, one := range p.points {
		one.of.TimeUnixNano = uint64(at.UnixNano())
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		value := one.value * (0.5 + float64(random>>11)/(1<<54))
		if one.counts {
			value = one.value + float64(n*(1+i%7))
		}
		switch {
		case one.of.GetValue() == nil: // The end of a series has no value.
		case one.integer:
			one.of.Value = &metricspb.NumberDataPoint_AsInt{AsInt: int64(math.Round(value))}
		default:
			one.of.Value = &metricspb.NumberDataPoint_AsDouble{AsDouble: value}
		}
	}
	return proto.Marshal(p.request)
}
