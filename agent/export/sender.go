package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"sysotel/agent/health"
	"sysotel/agent/queue"
	"sysotel/instruments"
)

// sender sends what waits in one lane of the queue. Each has its own view of the
// receiver: behind one address one tier may be away while the others are not.
type sender struct {
	to   *otlp
	name string // otlp, otlp 1m, …
	lane *queue.Lane
	// every is how many readings go into one request.
	every uint64
	log   *slog.Logger

	mu sync.Mutex
	// alone is how many requests are sent one by one, because the receiver refused
	// several at once: one of them may be the reason.
	alone    int
	sent     uint64
	refused  uint64
	rejected uint64
	failing  error
	since    time.Time
	// lastTaken is when the receiver last took a request.
	lastTaken time.Time
	// source is why nothing new comes, nil where it does.
	source error
}

// Bounds of the wait before a request is tried again.
const (
	firstWait = time.Second
	lastWait  = 30 * time.Second
	// longestAsked bounds what a receiver may ask for.
	longestAsked = 5 * time.Minute
)

// maxRequest is how large a request of several may be: half of what a gRPC server
// takes unless it is told otherwise.
const maxRequest = 2 << 20

// lastAnswer is how long a request that is on its way when the agent stops may
// still be answered: sent again by flush, its readings would arrive twice.
const lastAnswer = time.Second

// liveFor is how old a request may be that is sent beside the backlog.
const liveFor = 2 * time.Second

// run sends until the context ends. After an outage the backlog goes oldest
// first, and what is new is sent beside it: whoever watches the receiver sees now
// again at once. Where receivers refuse what is older than what they have,
// everything goes strictly in order.
func (s *sender) run(ctx context.Context) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastAnswer, cancel) })()
	// What an earlier process left waits until the first request of this one has
	// shown how to send; of its own a lane may have none for an hour.
	select {
	case <-ctx.Done():
		return
	case <-s.to.connected:
	}
	if s.to.ordered {
		s.sendBacklog(ctx, call, s.lane.Pushed())
		return
	}
	left := make(chan struct{}, 1)
	var both sync.WaitGroup
	both.Go(func() { s.sendBacklog(ctx, call, left) })
	s.sendLive(ctx, call, left)
	both.Wait()
}

// sendLive sends what is pushed as soon as it is enough for a request. What it
// does not send is left to the backlog.
func (s *sender) sendLive(ctx, call context.Context, left chan<- struct{}) {
	sent := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lane.Pushed():
		}
		pushed := s.lane.Stats().Pushed
		due := pushed >= sent+s.every
		if due && !s.isFailing() {
			after := time.Now().Add(-liveFor * time.Duration(s.every))
			_, _ = s.sendOne(call, func(most int) ([]queue.Request, error) { return s.lane.Newest(after, int(s.every), most) })
		}
		if due {
			sent = pushed
		}
		if s.lane.Stats().Waiting > pushed-sent {
			select {
			case left <- struct{}{}:
			default:
			}
		}
	}
}

// sendBacklog sends what waits, oldest first, each time that it is told that
// there is something.
func (s *sender) sendBacklog(ctx, call context.Context, left <-chan struct{}) {
	wait := firstWait
	for ctx.Err() == nil {
		delay, err := time.Duration(0), queue.ErrEmpty
		if !s.to.ordered || s.isDue() {
			delay, err = s.sendOne(call, s.lane.Oldest)
		}
		switch {
		case errors.Is(err, queue.ErrEmpty):
			select {
			case <-ctx.Done():
				return
			case <-left:
			}
		case ctx.Err() != nil:
			return
		case err != nil:
			// The jitter keeps many agents from coming back all at once.
			pause := max(min(delay, longestAsked), wait/2+rand.N(wait/2)) //nolint:gosec // A pause is no secret.
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			wait = min(2*wait, lastWait)
		default:
			wait = firstWait
		}
	}
}

// sendOne takes requests that are neighbours and sends them as one. An error
// means that they should be tried again, after the delay where the receiver asked
// for one.
func (s *sender) sendOne(ctx context.Context, take func(most int) ([]queue.Request, error)) (time.Duration, error) {
	conn, method := s.to.connection()
	if conn == nil {
		return 0, queue.ErrEmpty
	}
	requests, err := take(s.most())
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	call, cancel := context.WithTimeout(context.WithValue(ctx, direct{}, true), s.to.timeout)
	defer cancel()
	var answer collectorpb.ExportMetricsServiceResponse
	err = conn.Invoke(metadata.NewOutgoingContext(call, s.to.headers), method, join(requests), &answer, s.to.options...)
	if err == nil {
		s.lane.Done(requests)
		s.answered(len(requests), &answer)
		return 0, nil
	}
	if ctx.Err() != nil {
		s.lane.Return(requests)
		return 0, err // The agent stops; that says nothing about the receiver.
	}
	again, delay := retryable(err)
	switch {
	case again:
		s.lane.Return(requests)
	case len(requests) > 1:
		s.lane.Return(requests)
		s.apart(len(requests))
		return 0, nil
	default:
		s.lane.Done(requests)
	}
	s.failed(err, !again, begun)
	if !again {
		return 0, nil
	}
	return delay, err
}

// join makes one request of several: put one behind the other they are that in
// protobuf.
func join(requests []queue.Request) []byte {
	if len(requests) == 1 {
		return requests[0].Body
	}
	var joined []byte
	for _, r := range requests {
		joined = append(joined, r.Body...)
	}
	return joined
}

// most is how large the next request may be; of 0 it is one reading.
func (s *sender) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone > 0 {
		return 0
	}
	return s.to.most
}

// isDue tells whether enough waits for a request.
func (s *sender) isDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alone > 0 || s.lane.Stats().Waiting >= s.every
}

// apart has the next requests sent one by one.
func (s *sender) apart(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone = max(s.alone, n)
}

// isFailing tells whether the receiver did not take the last request.
func (s *sender) isFailing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing != nil
}

// answered notes that the receiver took requests, maybe not all of them.
func (s *sender) answered(requests int, a *collectorpb.ExportMetricsServiceResponse) {
	partial := a.GetPartialSuccess()
	s.mu.Lock()
	s.sent += uint64(requests)
	s.alone = max(s.alone-requests, 0)
	firstRefusal := s.rejected == 0 && partial.GetRejectedDataPoints() > 0
	s.rejected += uint64(max(partial.GetRejectedDataPoints(), 0))
	back := s.failing != nil
	s.failing, s.lastTaken = nil, time.Now()
	s.mu.Unlock()
	if back {
		s.log.Info("the receiver is back")
	}
	if firstRefusal {
		s.log.Warn("the receiver refused points", "points", partial.GetRejectedDataPoints(), "reason", partial.GetErrorMessage())
	}
}

// failed notes that a request was not taken; lost says that it will not be tried
// again. Where the receiver has taken another one since this was begun, it is not
// away, and what is new need not wait.
func (s *sender) failed(err error, lost bool, begun time.Time) {
	s.mu.Lock()
	away := !s.lastTaken.After(begun)
	first := away && s.failing == nil || lost && s.refused == 0
	if away {
		if s.failing == nil {
			s.since = time.Now()
		}
		s.failing = err
	}
	if lost {
		s.refused++
		s.alone = max(s.alone-1, 0)
	}
	s.mu.Unlock()
	switch {
	case first && lost:
		s.log.Error("the receiver refuses requests; they are dropped and counted", "err", err)
	case first:
		s.log.Warn("the receiver does not take requests; they wait in the queue", "err", err)
	}
}

// retryable tells whether the OTLP specification has a failed request tried
// again, and how long the receiver asks to wait.
func retryable(err error) (bool, time.Duration) {
	s := status.Convert(err)
	var delay time.Duration
	asked := false
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			delay, asked = info.GetRetryDelay().AsDuration(), true
		}
	}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss:
		return true, delay
	case codes.ResourceExhausted:
		return asked, delay
	}
	return false, 0
}

// flush sends what is left, once each, until the context ends.
func (s *sender) flush(ctx context.Context) error {
	var err error
	for err == nil && ctx.Err() == nil {
		_, err = s.sendOne(ctx, s.lane.Oldest)
	}
	waiting := s.lane.Stats().Waiting
	if waiting == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d requests could not be sent before the end and wait for the next start: %w", s.name, waiting, errors.Join(err, ctx.Err()))
}

// stats tells how the lane fares.
func (s *sender) stats() instruments.QueueStats {
	q := s.lane.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	return instruments.QueueStats{Destination: s.name, Waiting: q.Waiting, Sent: s.sent, Dropped: q.Dropped + s.refused, Rejected: s.rejected}
}

// health tells whether requests are taken, and kept until then.
func (s *sender) health() health.Component {
	q := s.lane.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := health.Component{Name: s.name, Status: health.OK}
	degraded := func(since time.Time, format string, args ...any) {
		reason := fmt.Sprintf(format, args...)
		if c.Reason != "" {
			reason = c.Reason + "; " + reason
		}
		c.Status, c.Reason, c.Since = health.Degraded, reason, since
	}
	if s.failing != nil {
		degraded(s.since, "%s; %d requests wait, %d were dropped", status.Convert(s.failing).Message(), q.Waiting, q.Dropped+s.refused)
	}
	if q.Failing != nil {
		degraded(q.Since, "the queue's disk takes nothing, %d requests wait in memory: %v", q.Waiting, q.Failing)
	}
	if s.source != nil {
		degraded(s.since, "the closed buckets cannot be read: %v", s.source)
	}
	return c
}
