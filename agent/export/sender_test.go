package export

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sysotel/agent/queue"
)

// TestLiveBesideBacklog: after an outage what waited goes oldest first, and what
// is new does not wait for it. Nothing comes twice.
func TestLiveBesideBacklog(t *testing.T) {
	t.Parallel()
	const waited = 20
	var mu sync.Mutex
	down, taken := true, 0
	second := make(chan struct{}) // Closed when the backlog's second request is on its way.
	other := make(chan struct{})  // Closed when another call comes meanwhile.
	r := &receiver{answer: func(ctx context.Context, _ int) (*collectorpb.ExportMetricsServiceResponse, error) {
		mu.Lock()
		if down {
			mu.Unlock()
			return nil, status.Error(codes.Unavailable, "away")
		}
		taken++
		n := taken
		mu.Unlock()
		switch n {
		case 2:
			close(second)
			select {
			case <-other:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case 3:
			close(other)
		}
		return &collectorpb.ExportMetricsServiceResponse{}, nil
	}}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Ordered = false })
	for s := range waited {
		a.load(t, s)
	}
	r.wait(t, 1) // Somebody has been refused.
	mu.Lock()
	down = false
	mu.Unlock()
	select {
	case <-second:
	case <-time.After(patience):
		t.Fatal("the backlog is not sent")
	}
	a.load(t, 100)
	within(t, patience, "the queue is empty", func() bool { return a.otlp.finest().partition.Stats().Waiting == 0 })

	var got []int
	for _, p := range r.points(loadMetric) {
		got = append(got, int(p.value))
	}
	live := slices.Index(got, 100)
	if live < 0 || live > waited/2 {
		t.Fatalf("the live request came at place %d of %v", live, got)
	}
	// Of those before, some were live when they were pushed.
	if rest := got[live+1:]; !slices.IsSorted(rest) {
		t.Errorf("the backlog did not come oldest first: %v", rest)
	}
	slices.Sort(got)
	equalInts(t, "what came, sorted", got, append(numbersTo(waited), 100)...)
}

// patience is how long what must happen may take on a busy machine.
const patience = 30 * time.Second

func numbersTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

// TestBacklogOfAnEarlierProcess: what a process left in the queue is sent by the
// next one, before its own where that is asked for, and with its own times. It
// leaves what does not make a request yet, too. A tick that both read is sent once.
func TestBacklogOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	for n, ordered := range []bool{true, false, true, false} {
		c := Defaults()
		c.OTLP.Ordered = ordered
		if n > 1 {
			c.OTLP.Interval = 4 * time.Second
		}
		r := &receiver{}
		c.OTLP.Endpoint = "http://" + r.serve(t, "127.0.0.1:0", nil)
		options := queue.Options{
			Path: filepath.Join(t.TempDir(), "otlp.db"), Partitions: []string{""}, MaxBytes: 1 << 20, MaxAge: time.Hour, Log: (&logbook{}).logger(),
		}
		left, err := queue.Open(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		o := testOptions(t, c, &logbook{})
		o.Queue = left
		a, err := newAgent(o, &logbook{})
		if err != nil {
			t.Fatal(err)
		}
		a.load(t, 0, 1, 2) // Nobody sends; then the process is gone.
		if err := left.Close(); err != nil {
			t.Fatal(err)
		}

		if o.Queue, err = queue.Open(t.Context(), options); err != nil {
			t.Fatal(err)
		}
		b, err := newAgent(o, &logbook{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		// Before the sending: once the backlog is gone, a request of four readings would
		// wait for three more.
		b.load(t, 2, 10)
		var sending sync.WaitGroup
		sending.Go(func() { b.Run(ctx) })
		within(t, patience, "the queue is empty", func() bool { return o.Queue.Stats().Waiting == 0 })
		cancel()
		sending.Wait()
		if err := b.shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		_ = a.Shutdown(t.Context()) // Its queue is closed.
		if err := o.Queue.Close(); err != nil {
			t.Error(err)
		}
		if ordered {
			a.wantLoads(t, r, 0, 1, 2, 10)
			continue
		}
		var got []int
		for _, p := range r.points(loadMetric) {
			got = append(got, int(p.value))
		}
		slices.Sort(got)
		equalInts(t, "what came, sorted", got, 0, 1, 2, 10)
	}
}

// TestOneBadReading: what was refused together is sent one by one, so that a
// reading which the receiver does not take costs no other.
func TestOneBadReading(t *testing.T) {
	t.Parallel()
	r := &receiver{refuse: func(request *collectorpb.ExportMetricsServiceRequest) error {
		for _, p := range pointsOf(request, loadMetric) {
			if p.value == 3 {
				return status.Error(codes.InvalidArgument, "no 3 is taken here")
			}
		}
		return nil
	}}
	a := pushTo(t, "http://"+r.serve(t, "127.0.0.1:0", nil), func(c *Config) { c.OTLP.Interval = 6 * time.Second })
	a.load(t, 0, 1, 2, 3, 4, 5)
	within(t, patience, "the queue is empty", func() bool { return a.otlp.finest().partition.Stats().Waiting == 0 })
	a.wantLoads(t, r, 0, 1, 2, 4, 5)
	s := a.otlp.finest().stats()
	equal(t, "sent", s.Sent, 5)
	equal(t, "dropped", s.Dropped, 1)
	a.load(t, 6, 7, 8, 9, 10, 11)
	within(t, patience, "the queue is empty again", func() bool { return a.otlp.finest().partition.Stats().Waiting == 0 })
	equal(t, "readings in the last request", len(r.taken()[len(r.taken())-1].ResourceMetrics), 6)
}
