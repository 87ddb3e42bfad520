package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/protobuf/proto"

	"sysotel/agent/queue"
	"sysotel/agent/sampler"
	"sysotel/agent/store"
	"sysotel/instruments"
)

// testOptions are those of an exporter on a machine without files.
func testOptions(t testing.TB, c Config, log *logbook) Options {
	return Options{
		Config: c, Machine: newMachine(), Collectors: collectors(t), Conventions: instruments.Defaults().Conventions, Host: emptyHost(t), Started: time.Now(),
		HostName: "host-1", Version: "1.2.3", Log: log.logger(),
		Queue: openQueue(t, c, log),
	}
}

// openQueue opens a new queue on disk.
func openQueue(t testing.TB, c Config, log *logbook) *queue.Queue {
	t.Helper()
	q, err := queue.Open(t.Context(), queue.Options{
		Path: filepath.Join(t.TempDir(), "otlp.db"), Partitions: []string{"", "1m", "5m", "1h"}, MaxBytes: int64(c.OTLP.Queue.MaxBytes), MaxAge: c.OTLP.Queue.MaxAge, Log: log.logger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// queued are the requests that wait.
func queued(t *testing.T, o *otlp) (requests []*collectorpb.ExportMetricsServiceRequest) {
	t.Helper()
	for {
		waits, err := o.finest().partition.Oldest(0)
		if errors.Is(err, queue.ErrEmpty) {
			return requests
		}
		if err != nil {
			t.Fatal(err)
		}
		request := &collectorpb.ExportMetricsServiceRequest{}
		if err := proto.Unmarshal(waits[0].Body, request); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, request)
		o.finest().partition.Done(waits)
	}
}

// TestPushTakesEveryTick: whatever moment a tick falls on, each reading is in
// the queue once, at its second, when the readers' own tickers run too.
func TestPushTakesEveryTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now()
		c := Defaults()
		c.OTLP.Endpoint = "http://127.0.0.1:1"
		o, own := testOptions(t, c, &logbook{}), &slowLoad{}
		for i, other := range o.Collectors {
			if other.Name() == "load" {
				own.Collector, o.Collectors[i] = other, own
			}
		}
		measured := instruments.Defaults()
		measured.Collectors["load"] = instruments.CollectorConfig{Enabled: true, Timeout: 10 * time.Second}
		s := sampler.New(sampler.Options{Host: o.Host, Collectors: o.Collectors, Measured: measured, Interval: time.Second, Log: o.Log})
		o.Machine = s
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		s.AfterTick = p.Collect
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		pass(120 * time.Second)
		stop()
		running.Wait()
		var got []int
		want := secondsOf(own.ticks, zero)
		for _, request := range queued(t, p.otlp) {
			for _, rm := range request.ResourceMetrics {
				for _, sm := range rm.ScopeMetrics {
					for _, m := range sm.Metrics {
						if m.Name == loadMetric {
							got = append(got, int(time.Unix(0, int64(m.GetGauge().DataPoints[0].TimeUnixNano)).Sub(zero)/time.Second))
						}
					}
				}
			}
		}
		if s.Stats().Gaps["overload"] == 0 {
			t.Error("no tick was missed, the test shows nothing")
		}
		if n := len(want) - len(got); n < 0 || n > 1 || !slices.Equal(got, want[:len(got)]) {
			t.Errorf("read at   %v\npushed at %v", want, got)
		}
		ended, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_ = p.Shutdown(ended)
	})
}

// slowLoad reads the load; some ticks take so long that others are late or missed
// altogether.
type slowLoad struct {
	instruments.Collector
	ticks []time.Time
}

// Read implements instruments.Collector.
func (l *slowLoad) Read(ctx context.Context, _ *instruments.Host, tick instruments.Tick) (instruments.Reading, error) {
	l.ticks = append(l.ticks, tick.Time)
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(tick.Seq%7) * 400 * time.Millisecond):
	}
	return &instruments.Load{One: float64(tick.Seq)}, nil
}

// pass lets time go by in the bubble and waits until nothing moves any more.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestEachDestinationGetsATick: each under the names that are its own, and where one
// fails the other still gets it.
func TestEachDestinationGetsATick(t *testing.T) {
	t.Parallel()
	r, kept, log := &receiver{}, &keeper{}, &logbook{}
	c := Defaults()
	c.OTLP.Endpoint = "http://" + r.serve(t, "127.0.0.1:0", nil)
	c.OTLP.Ordered = true
	o := testOptions(t, c, log)
	o.Store = kept
	a := pushWith(t, o, log)
	readings := map[string]instruments.Reading{"load": &instruments.Load{One: 1}, "custom": custom(t, customText)}
	a.tick(t, 1, readings)
	kept.err = errors.New("no space left on device")
	for name, reading := range readings {
		a.machine.set(name, reading, a.zero.Add(2*time.Second))
	}
	if err := a.collect(t.Context()); err == nil || !strings.Contains(err.Error(), "store: no space left on device") {
		t.Errorf("the push says %v", err)
	}
	r.wait(t, 2)
	for i, second := range []int{1, 2} {
		at := a.zero.Unix() + int64(second)
		equal(t, "kept at", kept.readings[i].Time.Unix(), at)
		var names []string
		for _, f := range kept.readings[i].Collectors {
			for _, s := range f.Samples {
				names = append(names, s.Series.Labels.Get("__name__"))
			}
		}
		if !slices.Contains(names, "backups_total") || !slices.Contains(names, "system_cpu_load_average_1m") {
			t.Errorf("second %d is kept as %q", second, names)
		}
		for _, metric := range []string{"backups", loadMetric} {
			sent := r.points(metric)
			if len(sent) != 2 {
				t.Fatalf("%d points of %s were sent", len(sent), metric)
			}
			equal(t, metric+" was sent of", sent[i].time, at)
		}
	}
	equal(t, "points of a name that OTLP has not", len(r.points("backups_total")), 0)
}

// frozen is a store whose disk does not answer until it is thawed.
type frozen struct {
	keeper
	thawed chan struct{}
}

// Append implements Store.
func (f *frozen) Append(r store.Reading) error {
	<-f.thawed
	return f.keeper.Append(r)
}

// TestFrozenDisk: a tick does not wait for ever for a disk that does not answer, however
// many ticks there are only one waits for it, and what comes after it is kept.
func TestFrozenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &frozen{thawed: make(chan struct{})}
		o := testOptions(t, Defaults(), &logbook{})
		o.Store = disk
		a, err := newAgent(o, &logbook{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Shutdown(t.Context()) }()
		for second := range 3 {
			a.machine.tick(a.zero.Add(time.Duration(second)*time.Second), map[string]instruments.Reading{"load": &instruments.Load{One: float64(second)}})
			began := time.Now()
			if err := a.Collect(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != collectLimit {
				t.Errorf("tick %d ended after %v: %v", second, time.Since(began), err)
			}
		}
		close(disk.thawed)
		synctest.Wait()
		a.tick(t, 3, map[string]instruments.Reading{"load": &instruments.Load{One: 3}})
		var times []time.Time
		for _, r := range disk.readings {
			times = append(times, r.Time)
		}
		equalInts(t, "kept", secondsOf(times, a.zero), 0, 3)
	})
}

// TestIntervalOfFiveTicks puts five readings into one request.
func TestIntervalOfFiveTicks(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Interval = 5 * time.Second })
	a.load(t, upTo(4)...)
	r.wait(t, 1)
	equal(t, "readings in the first", len(r.taken()[0].ResourceMetrics), 5)
	a.load(t, 5, 6, 7, 8, 9)
	r.wait(t, 1)
	a.load(t, 10, 11)
	a.wantLoads(t, r, upTo(9)...)
	equal(t, "requests", len(r.taken()), 2)
	// The end does not lose the two that have not made five.
	a.stop()
	if err := a.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.wantLoads(t, r, upTo(11)...)
}

// TestRequestsStaySmall: a receiver takes four megabytes, whatever the interval.
func TestRequestsStaySmall(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Interval = time.Hour })
	var cores []instruments.Core
	for i := range 200 {
		cores = append(cores, core(fmt.Sprintf("cpu%0200d", i), 1))
	}
	for i := range 8 {
		a.tick(t, i, map[string]instruments.Reading{"cpu": &instruments.CPU{Cores: cores}})
	}
	equal(t, "requests before the hour is over", len(r.taken()), 0)
	a.stop()
	if err := a.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	readings := 0
	for _, request := range r.taken() {
		readings += len(request.ResourceMetrics)
		if size := proto.Size(request); size > maxRequest {
			t.Errorf("a request of %d bytes", size)
		}
	}
	equal(t, "readings", readings, 8)
	if n := len(r.taken()); n < 2 || n == readings {
		t.Errorf("%d readings are in %d requests", readings, n)
	}
}

// TestShutdownSendsWhatIsQueued, including a reading that was not collected yet.
func TestShutdownSendsWhatIsQueued(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
	a.stop()
	a.load(t, 0, 1, 2)
	a.machine.set("load", &instruments.Load{One: 3}, a.zero.Add(3*time.Second))
	if err := a.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.wantLoads(t, r, 0, 1, 2, 3)
}

// TestShutdownKeepsToItsContext where the receiver hangs.
func TestShutdownKeepsToItsContext(t *testing.T) {
	t.Parallel()
	r := &receiver{answer: func(ctx context.Context, _ int) (*collectorpb.ExportMetricsServiceResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
	a.stop()
	a.load(t, 0, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := a.shutdown(ctx)
	if err == nil || !strings.Contains(err.Error(), "2 requests could not be sent") {
		t.Errorf("Shutdown: %v", err)
	}
	// Cut off by the clock it must be, not by the request's own limit of 10 s.
	// The receiver, which knows the deadline too, can be a moment earlier than our clock.
	if deadline, _ := ctx.Deadline(); time.Until(deadline) > 50*time.Millisecond {
		t.Error("Shutdown has given up before its time")
	}
	r.wait(t, 1)
	equal(t, "requests that were taken", len(r.taken()), 0)
}

// TestRequestOnItsWayAtTheEnd is answered, and not sent a second time.
func TestRequestOnItsWayAtTheEnd(t *testing.T) {
	t.Parallel()
	came, answer := make(chan struct{}), make(chan struct{})
	r := &receiver{answer: func(_ context.Context, n int) (*collectorpb.ExportMetricsServiceResponse, error) {
		if n == 0 {
			close(came)
			<-answer
		}
		return &collectorpb.ExportMetricsServiceResponse{}, nil
	}}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), nil)
	a.load(t, 0, 1)
	<-came
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		a.stop()
	}()
	close(answer)
	<-stopped
	if err := a.shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.wantLoads(t, r, 0, 1)
	a.log.want(t, 0, "level=WARN")
}

// TestEnvironmentStaysOutside: the configuration has read the variables that it
// honours; none may come in behind its back.
func TestEnvironmentStaysOutside(t *testing.T) {
	other := &receiver{}
	elsewhere := other.serve(t, "127.0.0.1:0", nil)
	_, cert, key, ours := certificate(t, nil, "authority")
	for name, value := range map[string]string{
		"ENDPOINT": "http://" + elsewhere, "METRICS_ENDPOINT": "http://" + elsewhere,
		"HEADERS": "x-from=environment", "METRICS_HEADERS": "x-from=environment",
		"CERTIFICATE": ours.file, "METRICS_CERTIFICATE": ours.file,
		"CLIENT_CERTIFICATE": cert, "CLIENT_KEY": key,
		"INSECURE": "false", "METRICS_INSECURE": "false",
		"COMPRESSION": "gzip", "METRICS_COMPRESSION": "gzip",
		"TIMEOUT": "1", "METRICS_TIMEOUT": "1",
		"METRICS_TEMPORALITY_PREFERENCE": "delta",
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
	}
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "1")
	t.Setenv("OTEL_METRIC_EXPORT_TIMEOUT", "1")
	t.Setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_on")
	t.Setenv("OTEL_SERVICE_NAME", "environment")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "from=environment,host.name=environment")

	r := &receiver{}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Compression = "none" })
	a.tick(t, 0, map[string]instruments.Reading{"cpu": &instruments.CPU{Cores: []instruments.Core{core("cpu0", 5)}}})
	r.wait(t, 1)
	equal(t, "requests at the environment's endpoint", len(other.taken()), 0)
	_, headers, compression := r.call(0)
	equal(t, "headers of the environment", len(headers.Get("x-from")), 0)
	equal(t, "compression", compression, "identity")
	for _, p := range userTime(r) {
		equal(t, "value", p.value, 5)
		equal(t, "temporality", p.sum.AggregationTemporality.String(), "AGGREGATION_TEMPORALITY_CUMULATIVE")
	}
	rm := r.taken()[0].ResourceMetrics[0]
	equal(t, "schema", rm.SchemaUrl, schemaURLs[instruments.Hostmetrics])
	for _, kv := range rm.Resource.Attributes {
		if kv.Key == "from" || kv.Value.GetStringValue() == "environment" {
			t.Errorf("the resource has %s=%s", kv.Key, kv.Value.GetStringValue())
		}
	}
	encoded, err := proto.Marshal(r.taken()[0])
	if err != nil || bytes.Contains(encoded, []byte("environment")) {
		t.Errorf("the environment is in the request (%v)", err)
	}
}
