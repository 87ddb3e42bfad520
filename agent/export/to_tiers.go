package export

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"sysotel/agent/store"
	"sysotel/instruments/sanitize"
)

// Tiers are the tiers of a store, whose closed buckets are sent.
type Tiers interface {
	Tiers() []*store.Tier
	Opened() <-chan struct{}
	Found() time.Time
	Written() <-chan struct{}
	ClosedUntil(tier int) (time.Time, bool)
	Points(ctx context.Context, tier int, after, until time.Time, f func(*store.Point)) error
}

var _ Tiers = (*store.Store)(nil)

// Partitions returns the partitions that the queue needs: that of the readings, and one
// for each coarser tier if those are sent too.
func Partitions(c OTLPConfig, tiers []store.TierConfig) []string {
	names := []string{""}
	if c.Tiered {
		for _, t := range tiers[1:] {
			names = append(names, t.Name())
		}
	}
	return names
}

// toTiers sends the closed buckets of the coarser tiers. It reads them from the store
// and stores its progress in the queue together with each request: a bucket is sent
// exactly once, even if the agent is killed, and one that closed in the meantime is sent
// after the next start.
type toTiers struct {
	exporter *Exporter
	tiers    Tiers
	to       *otlp
	maxAge   time.Duration
	log      *slog.Logger
	// mark is the last tick that an earlier process sent.
	mark time.Time
	// hold is the maximum time for which readings are held back.
	hold time.Duration
}

// newToTiers makes the exporter's OTLP destination send tiers.
func newToTiers(p *Exporter) (*toTiers, error) {
	o := p.options
	if o.Tiers == nil {
		return nil, errors.New("otlp.tiered: needs a store that makes the tiers")
	}
	t := &toTiers{
		exporter: p, tiers: o.Tiers, to: p.otlp, maxAge: o.Config.OTLP.Queue.MaxAge,
		log: o.Log.With("destination", "otlp"), mark: p.otlp.finest().partition.Mark(), hold: holdLimit,
	}
	for i, tier := range o.Tiers.Tiers() {
		if i == 0 {
			t.to.resource = resource.NewWithAttributes(schemaURLs[o.Conventions],
				attribute.String("host.name", o.HostName), attribute.String("tier", tier.Name()))
			continue
		}
		partition := o.Queue.Partition(tier.Name())
		if partition.Mark().IsZero() {
			// The first bucket sent is that of the first tick; older ones are history.
			first := partition.Now().Truncate(p.machine.Interval())
			partition.Push(partition.Now(), first.Add(-1).Truncate(tier.Resolution()))
		}
		name := "otlp " + tier.Name()
		t.to.add(name, partition, 1, o.Log.With("destination", name))
	}
	t.to.tiered, t.to.holding = true, true
	return t, nil
}

// holdLimit is how long readings are held back for the store to open, which normally
// takes less than a second.
const holdLimit = 10 * time.Second

// run sends buckets until the context ends.
func (t *toTiers) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return // Flush releases what is held.
	case <-t.tiers.Opened():
		t.to.release(t.catchUp(ctx))
	case <-time.After(t.hold):
		t.to.release(time.Time{})
	}
	found := t.tiers.Found()
	for ended := false; ; {
		for i := range t.to.senders[1:] {
			t.export(ctx, i+1)
		}
		// Once a bucket that ends after the found readings is closed, all collectors have
		// been read again.
		if until, known := t.tiers.ClosedUntil(1); known && until.After(found) && !ended {
			t.end(ctx, until)
			ended = true
		}
		select {
		case <-ctx.Done():
			return
		case <-t.tiers.Written():
		}
	}
}

// heldRequest is a request that is held back until the store is open.
//
// A process that was killed may have stored a tick and not pushed it. The next one sends
// that tick from the store, so that a bucket of a coarser tier consists of exactly the
// readings that were sent. New requests wait for that, because the new process may read
// the same tick again.
type heldRequest struct {
	at      time.Time
	encoded []byte
}

// release queues the requests that were held back, except those of a tick that was sent
// from the store.
func (o *otlp) release(sent time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.caughtUp = sent
	for _, held := range o.held {
		o.push(held)
	}
	o.held, o.holding = nil, false
}

// push puts a request into the queue; o.mu is held.
func (o *otlp) push(r heldRequest) {
	if !r.at.Equal(o.caughtUp) {
		o.finest().partition.Push(o.finest().partition.Now(), r.at, r.encoded)
	}
}

// catchUpLimit bounds what a killed process may have stored and not pushed.
const catchUpLimit = time.Minute

// follows reports whether this process continues the push of an earlier one, and returns
// the newest reading of that one in the store. After a long time without push it does
// not.
func (t *toTiers) follows() (found time.Time, follows bool) {
	found = t.tiers.Found()
	return found, !t.mark.IsZero() && !found.IsZero() && found.Sub(t.mark) <= catchUpLimit
}

// catchUp pushes the ticks that an earlier process stored and did not push. It returns
// the last of them.
func (t *toTiers) catchUp(ctx context.Context) time.Time {
	found, follows := t.follows()
	if !follows || !found.After(t.mark) {
		return time.Time{}
	}
	bodies, err := t.read(ctx, 0, t.mark, found)
	if err != nil {
		t.log.Warn("cannot read unsent readings of the previous run", "err", err)
		return time.Time{}
	}
	t.to.finest().partition.Push(t.to.finest().partition.Now(), found, bodies...)
	return found
}

// end pushes the ends of series that an earlier process sent and this one did not find.
// The store marks them at the first reading of their collector. A bucket that ends at
// closed is closed, so the time is at least that, whatever the clock says.
func (t *toTiers) end(ctx context.Context, closed time.Time) {
	found, follows := t.follows()
	if !follows {
		return
	}
	now := t.to.finest().partition.Now()
	if closed.After(now) {
		now = closed
	}
	first := map[string]time.Time{}
	var ended []store.Point
	err := t.tiers.Points(ctx, 0, found, now, func(p *store.Point) {
		if at, seen := first[p.Collector]; p.Origin.Name == store.ReadingsOrigin().Name && (!seen || p.Time.Before(at)) {
			first[p.Collector] = p.Time
		}
		if p.Ended {
			ended = append(ended, *p)
		}
	})
	if err != nil {
		t.log.Warn("cannot read which series have ended since the previous run", "err", err)
		return
	}
	r := t.newRequest(0)
	for _, p := range ended {
		// If this process read the found tick again, its timestamper knew the series and
		// has reported their end.
		if p.Time.Equal(first[p.Collector]) && !t.to.firstReading(p.Collector).Equal(found) {
			r.add(&p)
		}
	}
	if r.points == 0 {
		return
	}
	body, err := proto.Marshal(r.message)
	if err != nil {
		t.log.Warn("cannot encode OTLP request", "err", err)
		return
	}
	t.to.finest().partition.Push(t.to.finest().partition.Now(), time.Time{}, body)
}

// bucketsAtOnce is the maximum number of buckets of a tier in one request.
const bucketsAtOnce = 10

// farAhead is how much later than the store's newest bucket a mark may be; one that is
// later still was made by a wrong clock.
const farAhead = 25 * time.Hour

// export pushes the buckets of a tier that have closed since the last call.
func (t *toTiers) export(ctx context.Context, tier int) {
	s, resolution := t.to.senders[tier], t.tiers.Tiers()[tier].Resolution()
	until, known := t.tiers.ClosedUntil(tier)
	if !known {
		return
	}
	now := s.partition.Now()
	if until.After(now) {
		return // The store does not follow a step of the clock yet; it is about to.
	}
	mark := s.partition.Mark()
	from := mark.Truncate(resolution)
	if from.Sub(until) > farAhead {
		from = until.Add(-resolution)
	}
	if oldest := now.Add(-t.maxAge).Truncate(resolution); from.Before(oldest) {
		from = oldest
	}
	for from.Before(until) && ctx.Err() == nil {
		end := from.Add(bucketsAtOnce * resolution)
		if end.After(until) {
			end = until
		}
		bodies, err := t.read(ctx, tier, from, end)
		s.sourced(err)
		if err != nil {
			return // It is retried when the next bucket is written.
		}
		if !s.partition.Mark().Equal(mark) {
			return // The clock was set meanwhile, and what was read is about to move.
		}
		s.partition.Push(s.partition.Now(), end, bodies...)
		from, mark = end, end
	}
}

// sourced notes whether closed buckets can be read.
func (s *sender) sourced(err error) {
	s.mu.Lock()
	before := s.source
	s.source = err
	if err != nil && before == nil {
		s.since = time.Now()
	}
	s.mu.Unlock()
	if err != nil && before == nil && !errors.Is(err, store.ErrOpening) {
		s.log.Warn("cannot read closed buckets; retrying", "err", err)
	}
}

// mostPoints is the maximum number of points per request, about 1.5 MB.
const mostPoints = 10_000

// read returns requests with the points of a tier after a time, until another.
func (t *toTiers) read(ctx context.Context, tier int, after, until time.Time) (bodies [][]byte, err error) {
	r := t.newRequest(tier)
	end := func() {
		if r.points == 0 || err != nil {
			return
		}
		var body []byte
		if body, err = proto.Marshal(r.message); err == nil {
			bodies = append(bodies, body)
		}
		r = t.newRequest(tier)
	}
	failed := t.tiers.Points(ctx, tier, after, until, func(p *store.Point) {
		if r.add(p); r.points >= mostPoints {
			end()
		}
	})
	end()
	return bodies, errors.Join(failed, err)
}

// tierRequest is one request with points of a tier.
type tierRequest struct {
	message *collectorpb.ExportMetricsServiceRequest
	points  int
	// scopes are by collector, metrics by collector and name.
	scopes  map[string]*metricspb.ScopeMetrics
	metrics map[[2]string]*metricspb.Metric
	schema  string
	version string
	names   map[originName]string
}

// originName is the key of a roll-up's name.
type originName struct {
	name    string
	rate    bool
	extreme store.Extreme
}

func (t *toTiers) newRequest(tier int) *tierRequest {
	o := t.exporter.options
	schema := schemaURLs[o.Conventions]
	return &tierRequest{
		message: &collectorpb.ExportMetricsServiceRequest{ResourceMetrics: []*metricspb.ResourceMetrics{{
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
				textAttribute("host.name", o.HostName), textAttribute("tier", t.tiers.Tiers()[tier].Name()),
			}},
			SchemaUrl: schema,
		}}},
		scopes: map[string]*metricspb.ScopeMetrics{}, metrics: map[[2]string]*metricspb.Metric{}, names: map[originName]string{},
		schema: schema, version: o.Version,
	}
}

// add adds a point.
func (r *tierRequest) add(p *store.Point) {
	to := &metricspb.NumberDataPoint{
		TimeUnixNano: uint64(p.Time.UnixNano()), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: p.Value},
		Attributes: originAttributes(p.Origin, p.Labels),
	}
	switch {
	case p.Ended:
		to.Value, to.Flags = nil, uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)
	case !p.Start.IsZero():
		to.StartTimeUnixNano = uint64(p.Start.UnixNano())
	}
	switch d := r.metric(p).Data.(type) {
	case *metricspb.Metric_Gauge:
		d.Gauge.DataPoints = append(d.Gauge.DataPoints, to)
	case *metricspb.Metric_Sum:
		d.Sum.DataPoints = append(d.Sum.DataPoints, to)
	}
	r.points++
}

// metric returns the metric of a point.
func (r *tierRequest) metric(p *store.Point) *metricspb.Metric {
	name, unit := p.Origin.Name, p.Origin.Unit
	if p.Rollup != nil {
		name, unit = r.rollupName(name, p.Rollup), rollupUnit(unit, p.Rollup.Rate)
	}
	key := [2]string{p.Collector, name}
	if m := r.metrics[key]; m != nil {
		return m
	}
	m := &metricspb.Metric{Name: name, Unit: unit}
	switch {
	case p.Rollup != nil || p.Origin.Kind == store.OriginGauge:
		m.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{}}
	default:
		m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{
			IsMonotonic:            p.Origin.Kind == store.OriginCounter,
			AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE,
		}}
	}
	r.metrics[key] = m
	scope := r.scope(p.Collector)
	scope.Metrics = append(scope.Metrics, m)
	return m
}

// rollupName is the name of the minimum or the maximum of a metric.
func (r *tierRequest) rollupName(name string, rollup *store.Rollup) string {
	key := originName{name, rollup.Rate, rollup.Extreme}
	if known, ok := r.names[key]; ok {
		return known
	}
	if rollup.Rate {
		name += rateSuffix
	}
	name += map[store.Extreme]string{store.Min: minSuffix, store.Max: maxSuffix}[rollup.Extreme]
	r.names[key] = name
	return name
}

// scope returns the scope of a collector's metrics, the same as for its readings.
func (r *tierRequest) scope(collector string) *metricspb.ScopeMetrics {
	if s := r.scopes[collector]; s != nil {
		return s
	}
	s := &metricspb.ScopeMetrics{Scope: &commonpb.InstrumentationScope{Name: scopePrefix + collector, Version: r.version}, SchemaUrl: r.schema}
	if collector == collectorOf(customScope) {
		s = &metricspb.ScopeMetrics{Scope: &commonpb.InstrumentationScope{Name: customScope}}
	}
	r.scopes[collector] = s
	rm := r.message.ResourceMetrics[0]
	rm.ScopeMetrics = append(rm.ScopeMetrics, s)
	return s
}

// originAttributes turns labels back into attributes, without the host, which is in the
// resource.
func originAttributes(origin *store.Origin, l labels.Labels) []*commonpb.KeyValue {
	var attributes []*commonpb.KeyValue
	l.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel || l.Name == hostLabel {
			return
		}
		a, ok := origin.Attributes[l.Name]
		if !ok {
			attributes = append(attributes, textAttribute(l.Name, l.Value))
			return
		}
		attributes = append(attributes, &commonpb.KeyValue{Key: a.Key, Value: attributeValue(a.Type, l.Value)})
	})
	return attributes
}

func textAttribute(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: attributeValue("", value)}
}

// attributeValue parses a label's value as the type of its attribute.
func attributeValue(kind, text string) *commonpb.AnyValue {
	switch kind {
	case "int":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
		}
	case "double":
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: n}}
		}
	case "bool":
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: text == "true"}}
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: sanitize.ValidUTF8(text)}}
}

// countReadings adds the number of readings of each collector, 1, as the store keeps it:
// it is the weight in averages of averages.
func (o *otlp) countReadings() {
	var counted []string
	for i := range o.readings {
		r := &o.readings[i]
		if slices.Contains(counted, r.collector) {
			continue // The collector custom has two scopes.
		}
		counted = append(counted, r.collector)
		o.scopes[i].Metrics = append(slices.Clip(o.scopes[i].Metrics), metricdata.Metrics{
			Name: store.ReadingsOrigin().Name, Unit: store.ReadingsOrigin().Unit,
			Data: metricdata.Gauge[int64]{DataPoints: []metricdata.DataPoint[int64]{{
				Attributes: attribute.NewSet(attribute.String("family", r.collector)), Time: r.at, Value: 1,
			}}},
		})
	}
}
