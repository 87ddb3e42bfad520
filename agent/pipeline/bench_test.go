package pipeline

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sysotel/instruments"
)

// machine is a pipeline over the machine that the benchmark runs on, after two
// ticks, so that there are rates. step reads the next tick.
func machine(b *testing.B, change func(*Config)) (p *Pipeline, step func()) {
	b.Helper()
	c := Defaults()
	if change != nil {
		change(&c)
	}
	p, err := New(Options{
		Config: c, Measured: instruments.Defaults(), Host: instruments.NewHost("/"),
		HostName: "host-1", Version: "1.2.3", Log: (&logbook{}).logger(),
	})
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
	p, _ := machine(b, func(c *Config) { c.OTLP.Endpoint = "http://127.0.0.1:1" })
	tick := time.Now().Truncate(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		tick = tick.Add(time.Second)
		for _, f := range p.families {
			if n := f.newest.Load(); n != nil {
				f.newest.Store(&snapshot{n.reading, tick})
			}
		}
		if err := p.reader.ForceFlush(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	if waiting, _ := p.otlp.queue.Stats(); waiting == 0 {
		b.Fatal("nothing was collected")
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
