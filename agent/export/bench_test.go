package export

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/instruments"
)

// measured is an exporter with the readings of the machine that the benchmark runs
// on, of two ticks, so that there are rates.
func measured(b *testing.B, change func(*Options)) *agent {
	b.Helper()
	host := instruments.NewHost("/")
	var list []instruments.Collector
	list = instruments.NewCollectors(instruments.Defaults(), func() instruments.AgentStats {
		s := instruments.AgentStats{Version: "1.2.3", Gaps: map[string]uint64{"suspend": 0, "clock_step": 0, "overload": 0, "timeout": 0, "error": 0}}
		for _, c := range list {
			s.Collectors = append(s.Collectors, instruments.CollectorStats{Name: c.Name(), Seconds: 0.001, OK: true})
		}
		return s
	})
	o := Options{
		Config: Defaults(), Collectors: list, Conventions: instruments.Defaults().Conventions, Host: host, Started: host.Now(),
		HostName: "host-1", Version: "1.2.3", Log: (&logbook{}).logger(),
	}
	if change != nil {
		change(&o)
	}
	a, err := newAgent(o, &logbook{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = a.Shutdown(b.Context()) }) // Its context is over: it only closes.
	tick := instruments.Tick{Time: time.Now().Truncate(time.Second), Interval: time.Second}
	for range 2 {
		tick.Seq++
		tick.Time = tick.Time.Add(time.Second)
		readings := map[string]instruments.Reading{}
		for _, c := range list {
			if r, err := c.Read(b.Context(), host, tick); err == nil {
				readings[c.Name()] = r
			}
		}
		a.machine.tick(tick.Time, readings)
	}
	return a
}

// BenchmarkCollect takes one tick's readings through the SDK, the timestamper and the
// encoder into the queue; the reading of the machine is not counted.
func BenchmarkCollect(b *testing.B) {
	a := measured(b, func(o *Options) {
		o.Config.OTLP.Endpoint = "http://127.0.0.1:1"
		o.Queue = openQueue(b, o.Config, &logbook{})
	})
	collectAll(b, a)
	if a.otlp.finest().partition.Stats().Waiting == 0 {
		b.Fatal("nothing was collected")
	}
}

// BenchmarkKeep takes one tick's readings through the SDK, the timestamper and the
// names into a store on disk; the reading of the machine is not counted.
func BenchmarkKeep(b *testing.B) {
	s, err := store.Open(store.Options{Dir: b.TempDir(), Tiers: store.Defaults().Tiers})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() }) // What it holds is of no use.
	<-s.Opened()
	a := measured(b, func(o *Options) { o.Store = s })
	collectAll(b, a)
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
	a := measured(b, func(o *Options) {
		o.Config.OTLP.Endpoint, o.Config.OTLP.Tiered = "http://127.0.0.1:1", true
		o.Store, o.Tiers, o.Queue = s, s, openQueue(b, o.Config, &logbook{})
	})
	tick := time.Now().Truncate(time.Second)
	for range 63 {
		tick = tick.Add(time.Second)
		later(b, a, tick)
	}
	until, known := s.ClosedUntil(1)
	if !known {
		b.Fatal("no minute is closed")
	}
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		bodies, err := a.tiers.read(b.Context(), 1, until.Add(-time.Minute), until)
		if err != nil || len(bodies) == 0 {
			b.Fatalf("%d requests, %v", len(bodies), err)
		}
		size = len(bodies[0])
	}
	b.ReportMetric(float64(size), "bytes")
}

// collectAll has the newest readings collected, again and again, each time as
// those of a second later.
func collectAll(b *testing.B, a *agent) {
	b.Helper()
	tick := time.Now().Truncate(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		tick = tick.Add(time.Second)
		later(b, a, tick)
	}
}

// later has the newest readings collected as those of a tick.
func later(b *testing.B, a *agent, tick time.Time) {
	b.Helper()
	a.machine.later(tick)
	if err := a.collect(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScrape serves the Prometheus page of a new tick each time: with the names that it
// has by default and with all of node_exporter's, as text and compressed.
func BenchmarkScrape(b *testing.B) {
	for _, names := range []NodeExporter{LegacyNodeNames, AllNodeNames} {
		for _, encoding := range []string{"identity", "gzip"} {
			b.Run(string(names)+"/"+encoding, func(b *testing.B) {
				a := measured(b, func(o *Options) { o.Config.Prometheus.NodeExporter = names })
				request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
				request.Header.Set("Accept-Encoding", encoding)
				tick := time.Now().Truncate(time.Second)
				b.ReportAllocs()
				for b.Loop() {
					tick = tick.Add(time.Second)
					a.machine.later(tick)
					answer := httptest.NewRecorder()
					a.Page.ServeHTTP(answer, request)
					b.SetBytes(int64(answer.Body.Len()))
					if answer.Code != http.StatusOK {
						b.Fatalf("status %d", answer.Code)
					}
				}
			})
		}
	}
}
