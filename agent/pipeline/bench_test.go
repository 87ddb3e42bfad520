package pipeline

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/instruments"
)

// machine is a pipeline over the machine that the benchmark runs on, after two
// ticks, so that there are rates. step reads the next tick.
func machine(b *testing.B, change func(*Options)) (p *Pipeline, step func()) {
	b.Helper()
	o := Options{
		Config: Defaults(), Measured: instruments.Defaults(), Host: instruments.NewHost("/"),
		HostName: "host-1", Version: "1.2.3", Log: (&logbook{}).logger(),
	}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	run := &lane{work: make(chan instruments.Tick), done: make(chan struct{}, 1), sampler: p.Sampler}
	go run.loop(ctx)
	tick := instruments.Tick{Time: time.Now().Truncate(time.Second), Interval: time.Second}
	step = func() {
		tick.Seq++
		tick.Time = tick.Time.Add(time.Second)
		run = p.readAll(ctx, run, tick)
		p.publish(tick)
	}
	b.Cleanup(func() {
		close(run.work)
		cancel()
		_ = p.provider.Shutdown(ctx) // It ended with its context: there is nobody to send to.
	})
	step()
	step()
	return p, step
}

// BenchmarkTick reads every family once, with nobody who collects.
func BenchmarkTick(b *testing.B) {
	_, step := machine(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}

// BenchmarkCollect takes one tick's readings through the SDK, the stamp and the
// encoder into the queue; the reading of the machine is not counted.
func BenchmarkCollect(b *testing.B) {
	p, _ := machine(b, func(o *Options) {
		o.Config.OTLP.Endpoint = "http://127.0.0.1:1"
		o.Queue = openQueue(b, o.Config, &logbook{})
	})
	collectAll(b, p)
	if p.otlp.readings().lane.Stats().Waiting == 0 {
		b.Fatal("nothing was collected")
	}
}

// BenchmarkKeep takes one tick's readings through the SDK, the stamp and the
// names into a store on disk; the reading of the machine is not counted.
func BenchmarkKeep(b *testing.B) {
	s, err := store.Open(store.Options{Dir: b.TempDir(), Tiers: store.Defaults().Tiers})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() }) // What it holds is of no use.
	<-s.Opened()
	p, _ := machine(b, func(o *Options) { o.Store = s })
	collectAll(b, p)
	stats := s.Stats()
	if stats.Samples+stats.Waiting < uint64(b.N) {
		b.Fatalf("%d samples were written in %d readings", stats.Samples, b.N)
	}
	b.ReportMetric(float64(stats.Series), "series")
}

// BenchmarkBucket makes the request of one closed minute of all series.
func BenchmarkBucket(b *testing.B) {
	s, err := store.Open(store.Options{Dir: b.TempDir(), Tiers: store.Defaults().Tiers})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() }) // What it holds is of no use.
	<-s.Opened()
	p, _ := machine(b, func(o *Options) {
		o.Config.OTLP.Endpoint, o.Config.OTLP.Tiered = "http://127.0.0.1:1", true
		o.Store, o.Tiers, o.Queue = s, s, openQueue(b, o.Config, &logbook{})
	})
	tick := time.Now().Truncate(time.Second)
	for range 63 {
		tick = tick.Add(time.Second)
		later(b, p, tick)
	}
	until, known := s.ClosedUntil(1)
	if !known {
		b.Fatal("no minute is closed")
	}
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		bodies, err := p.tiers.read(b.Context(), 1, until.Add(-time.Minute), until)
		if err != nil || len(bodies) == 0 {
			b.Fatalf("%d requests, %v", len(bodies), err)
		}
		size = len(bodies[0])
	}
	b.ReportMetric(float64(size), "bytes")
}

// collectAll has the newest readings collected, again and again, each time as
// those of a second later.
func collectAll(b *testing.B, p *Pipeline) {
	b.Helper()
	tick := time.Now().Truncate(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		tick = tick.Add(time.Second)
		later(b, p, tick)
	}
}

// later has the newest readings collected as those of a tick.
func later(b *testing.B, p *Pipeline, tick time.Time) {
	b.Helper()
	for _, f := range p.families {
		if n := f.newest.Load(); n != nil {
			f.newest.Store(&snapshot{reading: n.reading, at: tick})
		}
	}
	if err := p.pushes[0].reader.ForceFlush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScrape serves the Prometheus page.
func BenchmarkScrape(b *testing.B) {
	p, _ := machine(b, nil)
	request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
	b.ReportAllocs()
	for b.Loop() {
		answer := httptest.NewRecorder()
		p.Page.ServeHTTP(answer, request)
		b.SetBytes(int64(answer.Body.Len()))
		if answer.Code != http.StatusOK {
			b.Fatalf("status %d", answer.Code)
		}
	}
}
