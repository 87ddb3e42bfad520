package main

import (
	"cmp"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// exportMethod is the method of the OTLP service.
const exportMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

const (
	// timeout is that of a request, as the agent's.
	timeout = 10 * time.Second
	// firstWait and lastWait bound the wait before a request is sent again, as the agent's.
	firstWait, lastWait = time.Second, 30 * time.Second
	// buffer is the size of a connection's buffers on this side: the default would need
	// 64 KiB for each host.
	buffer = 4 << 10
)

// fleet is a number of simulated hosts.
type fleet struct {
	hosts    int
	every    time.Duration
	length   time.Duration
	patience time.Duration
	endpoint string
	prefix   string
	together bool
	// ramp is over how long the hosts appear: the series of all of them are new to the
	// node.
	ramp time.Duration
}

// report says what became of the pushes.
type report struct {
	hosts, points int
	// pushed are the requests that were due; each carries points readings.
	pushed int
	// acknowledged are those that the receiver accepted, by host: their times.
	acknowledged map[string][]time.Time
	// waiting are those that it had not accepted in the end.
	waiting int
	// rejected are those that it refused for good, so that an agent would drop them.
	rejected int
	// refused counts failed attempts by their reason.
	refused map[string]int
	// delays are the times from the first attempt to the acknowledgement, sorted.
	delays []time.Duration
}

// accepted is the number of acknowledged requests.
func (r *report) accepted() (n int) {
	for _, times := range r.acknowledged {
		n += len(times)
	}
	return n
}

// String implements fmt.Stringer.
func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d hosts pushed %d requests of %d points\n", r.hosts, r.pushed, r.points)
	fmt.Fprintf(&b, "acknowledged %d, rejected %d, waiting %d\n", r.accepted(), r.rejected, r.waiting)
	failed := 0
	for _, n := range r.refused {
		failed += n
	}
	fmt.Fprintf(&b, "failed attempts %d\n", failed)
	for _, why := range slices.Sorted(maps.Keys(r.refused)) {
		fmt.Fprintf(&b, "  %d × %s\n", r.refused[why], why)
	}
	if n := len(r.delays); n > 0 {
		fmt.Fprintf(&b, "acknowledged after %s (median), %s (99 %%), %s (longest)\n",
			r.delays[n/2].Round(time.Millisecond), r.delays[n*99/100].Round(time.Millisecond), r.delays[n-1].Round(time.Millisecond))
	}
	return b.String()
}

// run connects the hosts, lets them push and waits for what was not acknowledged.
func (f *fleet) run(ctx context.Context) (*report, error) {
	switch {
	case f.hosts < 1:
		return nil, fmt.Errorf("-hosts %d: must be at least 1", f.hosts)
	case f.every < time.Second || f.every%time.Second != 0:
		return nil, fmt.Errorf("-every %s: must be whole seconds, at least 1s", f.every)
	case f.length < f.every+f.ramp:
		return nil, fmt.Errorf("-for %s: must be at least as long as -every %s and -ramp %s together", f.length, f.every, f.ramp)
	}
	p, err := loadPush()
	if err != nil {
		return nil, err
	}
	if err := gzip.SetLevel(flate.BestSpeed); err != nil { // As the agent's.
		return nil, err
	}
	r := &report{hosts: f.hosts, points: len(p.points), acknowledged: map[string][]time.Time{}, refused: map[string]int{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed []error
	begin := time.Now().Truncate(f.every).Add(f.every)
	for i := range f.hosts {
		h := host{fleet: f, name: fmt.Sprintf("%s-%d", f.prefix, i), push: p, first: begin, refused: map[string]int{}}
		if !f.together {
			h.offset = f.every * time.Duration(i) / time.Duration(f.hosts)
		}
		// Consecutive hosts, which appear together, push at different times of the interval.
		h.pushes = int((f.length - (f.ramp * time.Duration(f.shuffled(i)) / time.Duration(f.hosts)).Truncate(f.every)) / f.every)
		h.first = begin.Add(f.length - time.Duration(h.pushes)*f.every)
		all.Go(func() {
			err := h.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Errorf("%s: %w", h.name, err))
			}
			r.pushed += h.pushed
			r.acknowledged[h.name] = h.acknowledged
			r.waiting += len(h.waiting)
			r.rejected += h.rejected
			r.delays = append(r.delays, h.delays...)
			for why, n := range h.refused {
				r.refused[why] += n
			}
		})
	}
	all.Wait()
	slices.Sort(r.delays)
	return r, cmp.Or(errors.Join(failed...), ctx.Err())
}

// shuffled is a host's place in the order of appearance.
func (f *fleet) shuffled(i int) int { return i * 7919 % f.hosts } // A prime.

// host is one simulated host.
type host struct {
	*fleet
	name string
	push *push
	// first is the time of the first reading; each is pushed the offset after its time.
	first  time.Time
	offset time.Duration
	// pushes is how many there are.
	pushes int

	pushed, rejected int
	waiting          []int // The numbers of the requests, oldest first.
	acknowledged     []time.Time
	delays           []time.Duration
	refused          map[string]int
}

// run pushes until the length has passed and nothing waits, or patience is over.
func (h *host) run(ctx context.Context) error {
	connection, err := grpc.NewClient(h.endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithReadBufferSize(buffer), grpc.WithWriteBufferSize(buffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.UseCompressor(gzip.Name)),
	)
	if err != nil {
		return err
	}
	defer connection.Close()
	last := h.pushes
	deadline := h.at(last).Add(h.patience)
	wait, begun := firstWait, time.Time{}
	var retry time.Time // Zero if the last attempt succeeded.
	for {
		now := time.Now()
		for h.pushed < last && !now.Before(h.due(h.pushed)) {
			h.waiting = append(h.waiting, h.pushed)
			h.pushed++
		}
		next := deadline
		if h.pushed < last {
			next = h.due(h.pushed)
		}
		switch {
		case len(h.waiting) == 0 && h.pushed == last, !now.Before(deadline):
			return nil
		case len(h.waiting) > 0 && !now.Before(retry):
			if begun.IsZero() {
				begun = now
			}
			again, err := h.send(ctx, connection, h.waiting[0])
			if err == nil {
				h.acknowledged = append(h.acknowledged, h.at(h.waiting[0]))
				h.delays = append(h.delays, time.Since(begun))
			}
			if !again {
				h.waiting, wait, begun, retry = h.waiting[1:], firstWait, time.Time{}, time.Time{}
				continue
			}
			retry = time.Now().Add(wait/2 + rand.N(wait/2))
			wait = min(2*wait, lastWait)
			continue
		case len(h.waiting) > 0 && retry.Before(next):
			next = retry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(next)):
		}
	}
}

// at is the time of the readings of a request.
func (h *host) at(n int) time.Time { return h.first.Add(time.Duration(n) * h.every) }

// due is when a request is pushed.
func (h *host) due(n int) time.Time { return h.at(n).Add(h.offset) }

// send sends a request once, and reports whether it is to be sent again.
func (h *host) send(ctx context.Context, connection *grpc.ClientConn, n int) (again bool, err error) {
	body, err := h.push.body(h.name, n, h.at(n))
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var response collectorpb.ExportMetricsServiceResponse
	err = connection.Invoke(ctx, exportMethod, body, &response)
	if err == nil && response.GetPartialSuccess().GetRejectedDataPoints() > 0 {
		err = status.Error(codes.InvalidArgument, "points were rejected: "+response.GetPartialSuccess().GetErrorMessage())
	}
	if err == nil {
		return false, nil
	}
	s := status.Convert(err)
	h.refused[fmt.Sprintf("%s: %.120s", s.Code(), s.Message())]++
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss, codes.ResourceExhausted:
		return true, err
	}
	h.rejected++
	return false, err
}

// raw is a codec whose requests are encoded already.
type raw struct{}

// Name implements encoding.Codec.
func (raw) Name() string { return "proto" }

// Marshal implements encoding.Codec.
func (raw) Marshal(v any) ([]byte, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("a request is bytes, not %T", v)
	}
	return body, nil
}

// Unmarshal implements encoding.Codec.
func (raw) Unmarshal(data []byte, v any) error {
	message, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("a response is a message, not %T", v)
	}
	return proto.Unmarshal(data, message)
}
