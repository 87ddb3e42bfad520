//go:build linux

package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"

	"sysotel/api"
)

// soakLength is how long the agent runs under load.
func soakLength(tb testing.TB) time.Duration {
	tb.Helper()
	text := os.Getenv("SYSOTEL_TEST_SOAK")
	if text == "" {
		return time.Minute
	}
	length, err := time.ParseDuration(text)
	if err != nil || length < time.Minute {
		tb.Fatalf("SYSOTEL_TEST_SOAK is %q, want a duration of at least a minute such as 10m", text)
	}
	return length
}

// receiver receives OTLP over gRPC and counts the seconds of each collector.
type receiver struct {
	collectorpb.UnimplementedMetricsServiceServer
	address string

	mu      sync.Mutex
	seconds map[string]map[int64]int // by scope, then by Unix time
	changed chan struct{}
}

func newReceiver(tb testing.TB) *receiver { return receiverAt(tb, "127.0.0.1:0") }

func receiverAt(tb testing.TB, address string) *receiver {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	r := &receiver{address: listener.Addr().String(), seconds: map[string]map[int64]int{}, changed: make(chan struct{})}
	server := grpc.NewServer()
	collectorpb.RegisterMetricsServiceServer(server, r)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil {
			tb.Errorf("serve: %v", err)
		}
	}()
	tb.Cleanup(func() {
		server.Stop()
		<-done
	})
	return r
}

// Export implements collectorpb.MetricsServiceServer.
func (r *receiver) Export(_ context.Context, request *collectorpb.ExportMetricsServiceRequest) (*collectorpb.ExportMetricsServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rm := range request.GetResourceMetrics() {
		for _, scope := range rm.GetScopeMetrics() {
			name := scope.GetScope().GetName()
			if r.seconds[name] == nil {
				r.seconds[name] = map[int64]int{}
			}
			for at := range timesOf(scope) {
				r.seconds[name][at]++
			}
		}
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return &collectorpb.ExportMetricsServiceResponse{}, nil
}

// timesOf returns the Unix times of a scope's points.
func timesOf(scope *metricspb.ScopeMetrics) map[int64]bool {
	times := map[int64]bool{}
	for _, m := range scope.GetMetrics() {
		for _, p := range slices.Concat(m.GetGauge().GetDataPoints(), m.GetSum().GetDataPoints()) {
			times[int64(p.GetTimeUnixNano()/uint64(time.Second))] = true
		}
	}
	return times
}

// await waits until a second of a scope has arrived.
func (r *receiver) await(tb testing.TB, scope string, at int64) {
	tb.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		arrived, changed := r.seconds[scope][at], r.changed
		r.mu.Unlock()
		if arrived > 0 {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			tb.Fatalf("second %d of %s did not arrive", at, scope)
		}
	}
}

// size is an agent's resource use.
type size struct {
	Goroutines, Threads int
	// Heap is live memory after a garbage collection.
	Heap, Resident uint64
}

// TestSoak runs an agent that samples and pushes each second while every processor is
// busy, and counts what arrives.
func TestSoak(t *testing.T) {
	length := soakLength(t)
	r := newReceiver(t)
	c := configure(t)
	journal := c.DataDir + "/soak.log"
	a := spawn(t, "agent", "soakagent", nil, append(sameFlags(c), "--otlp.endpoint=http://"+r.address, "--log.file="+journal, "--log.format=json")...)
	client := unixClient(c)
	for i := range len(readMachine(t).cpu) - 1 {
		spawn(t, "burn", fmt.Sprintf("soakburner%d", i), nil).send("%g %g", 2*length.Seconds(), length.Seconds()+5)
	}
	first := awaitTick(t, client, 5) // By then it is connected.
	// By then every buffer has its final size.
	early := awaitTick(t, client, first.Tick+uint64(length.Seconds()/3))
	before := a.size(t, client)
	last := awaitTick(t, client, first.Tick+uint64(length.Seconds()))
	after := a.size(t, client)
	t.Logf("between second %d and %d: %+v, then %+v", early.Tick, last.Tick, before, after)

	r.await(t, "sysotel/cpu", last.Timestamp.Unix())
	log := readJournal(t, journal)
	gaps := log.missed(t)
	for _, collector := range []string{
		"cpu", "load", "memory", "paging", "disk", "network", "system", "process", "processes", "filesystem", "agent",
	} {
		missing := 0
		r.mu.Lock()
		for at := first.Timestamp.Unix(); at <= last.Timestamp.Unix(); at++ {
			switch n := r.seconds["sysotel/"+collector][at]; {
			case n > 1:
				t.Errorf("%s: second %d arrived %d times", collector, at, n)
			case n == 0:
				missing++
				failed := log.find(t, map[string]any{"event": "gap", "collector": collector})
				if !gaps[time.Unix(at, 0).UTC()] && len(failed) == 0 {
					t.Errorf("%s: second %d is missing, and no gap explains it", collector, at)
				}
			}
		}
		r.mu.Unlock()
		if missing > 0 {
			t.Logf("%s: %d seconds of %s are missing, each with its gap", collector, missing, length)
		}
		if allowed := max(1, int(length/(10*time.Minute))); missing > allowed {
			t.Errorf("%s: %d seconds of %s are missing, want at most %d", collector, missing, length, allowed)
		}
	}
	counted, _ := scrape(t, client).sum("sysotel_agent_gaps_total", "cause", "overload")
	if events := len(gaps); events > int(counted) {
		t.Errorf("the log has %d missed ticks, the counter %g", events, counted)
	}
	t.Logf("%d ticks were missed in %s, each with its event", len(gaps), length)
	after.compare(t, before, int(last.Tick-early.Tick))
	if t.Failed() {
		t.Logf("the agent's log:\n%s", log)
	}
}

// awaitTick reads the agent's live stream until that tick or a later one.
func awaitTick(tb testing.TB, client *http.Client, number uint64) *api.Current {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience+time.Duration(number)*time.Second)
	defer cancel()
	for c := range stream(ctx, tb, client) {
		if c.Tick >= number {
			return c
		}
	}
	tb.Fatalf("the stream ended before tick %d", number)
	return nil
}

// size measures the child agent at a few ticks and returns the minimum of each value:
// requests in progress need memory for a moment.
func (c *child) size(tb testing.TB, client *http.Client) size {
	tb.Helper()
	var lowest size
	for i := range uint64(5) {
		awaitTick(tb, client, current(tb, client).Tick+1)
		var s size
		c.send("size")
		c.answer(&s)
		resident, err := residentBytes(fmt.Sprintf("/proc/%d/smaps_rollup", c.PID()))
		if err != nil {
			tb.Fatal(err)
		}
		s.Resident, s.Threads = resident, int(numberOf(tb, processStatus(tb, c.PID(), "Threads")))
		if i == 0 {
			lowest = s
		}
		lowest = size{
			Goroutines: min(lowest.Goroutines, s.Goroutines), Threads: min(lowest.Threads, s.Threads),
			Heap: min(lowest.Heap, s.Heap), Resident: min(lowest.Resident, s.Resident),
		}
	}
	return lowest
}

// compare fails the test if the agent has grown. Its limits are above what requests in
// progress need, and far below a leak of one goroutine per second or a kilobyte per
// tick.
func (s size) compare(tb testing.TB, before size, ticks int) {
	tb.Helper()
	if s.Goroutines > before.Goroutines+4 {
		tb.Errorf("%d goroutines became %d", before.Goroutines, s.Goroutines)
	}
	// The first bucket of each coarser tier creates its series, 2 to 3 MiB each; that
	// is no leak.
	if grown := int64(s.Heap) - int64(before.Heap); grown > 8<<20+int64(ticks)<<10 {
		tb.Errorf("the heap grew from %d to %d bytes in %d ticks", before.Heap, s.Heap, ticks)
	}
	if grown := int64(s.Resident) - int64(before.Resident); grown > 10<<20 {
		tb.Errorf("resident memory grew from %d to %d bytes in %d ticks", before.Resident, s.Resident, ticks)
	}
}
