package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"sysotel/agent/health"
	"sysotel/agent/queue"
	"sysotel/instruments"
	"sysotel/instruments/sanitize"
)

// sender sends the requests of one partition of the queue. Each has its own state of the
// receiver: behind one address one tier may be unavailable while the others are not.
type sender struct {
	to        *otlp
	name      string // otlp, otlp 1m, …
	partition *queue.Partition
	// every is the number of readings per request.
	every uint64
	log   *slog.Logger

	mu sync.Mutex
	// alone is the number of requests to send one by one, because the receiver refused
	// several together: one of them may be the reason.
	alone    int
	sent     uint64
	refused  uint64
	rejected uint64
	failing  error
	since    time.Time
	// lastAccepted is when the receiver last accepted a request.
	lastAccepted time.Time
	// oldest is when the oldest request that is due was pushed, zero if none waits.
	oldest time.Time
	// rejects are points that it rejected of requests that it accepted, warns what it
	// said without rejecting any.
	rejects, warns remark
	// warned are the warnings that were logged.
	warned map[string]bool
	// source is why closed buckets cannot be read, nil if they can.
	source error
}

// Bounds of the wait before a request is retried.
const (
	firstWait = time.Second
	lastWait  = 30 * time.Second
	// longestAsked bounds the delay that a receiver may ask for.
	longestAsked = 5 * time.Minute
)

// exportMethod is the method of the OTLP service.
const exportMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

// maxRequest bounds a request made of several: half of a gRPC server's default limit.
const maxRequest = 2 << 20

// lastResponse is how long a sender waits for the response to a request in flight when
// the agent stops: sent again by flush, its readings would arrive twice.
const lastResponse = time.Second

// liveFor is the maximum age of a request that is sent beside the backlog.
const liveFor = 2 * time.Second

// run sends until the context ends. After an outage the backlog is sent oldest first,
// and new requests beside it, so that the receiver is current again at once. For
// receivers that refuse older data everything is sent strictly in order.
func (s *sender) run(ctx context.Context) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastResponse, cancel) })()
	if s.to.ordered {
		s.sendBacklog(ctx, call, s.partition.Pushed())
		return
	}
	left := make(chan struct{}, 1)
	var both sync.WaitGroup
	both.Go(func() { s.sendBacklog(ctx, call, left) })
	s.sendLive(ctx, call, left)
	both.Wait()
}

// sendLive sends new requests as soon as there are enough for one. The others are left to
// the backlog.
func (s *sender) sendLive(ctx, call context.Context, left chan<- struct{}) {
	sent := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.partition.Pushed():
		}
		pushed := s.partition.Stats().Pushed
		due := pushed >= sent+s.every
		if due && !s.isFailing() {
			after := s.partition.Now().Add(-liveFor * time.Duration(s.every))
			_, _ = s.sendOne(call, func(most int) ([]queue.Request, error) { return s.partition.Newest(after, int(s.every), most) })
		}
		if due {
			sent = pushed
		}
		if s.partition.Stats().Waiting > pushed-sent {
			select {
			case left <- struct{}{}:
			default:
			}
		}
	}
}

// sendBacklog sends waiting requests, oldest first, each time that left is signalled.
func (s *sender) sendBacklog(ctx, call context.Context, left <-chan struct{}) {
	wait := firstWait
	for ctx.Err() == nil {
		delay, err := time.Duration(0), queue.ErrEmpty
		if !s.to.ordered || s.isDue() {
			delay, err = s.sendOne(call, s.takeOldest)
		}
		if errors.Is(err, queue.ErrEmpty) {
			s.noteOldest(time.Time{})
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
			// The jitter keeps many agents from retrying at the same moment.
			pause := max(min(delay, longestAsked), wait/2+rand.N(wait/2)) //nolint:gosec // Not a secret.
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

// sendOne takes consecutive requests and sends them as one. An error means that they are
// to be retried, after the delay if the receiver asked for one.
func (s *sender) sendOne(ctx context.Context, take func(most int) ([]queue.Request, error)) (time.Duration, error) {
	requests, err := take(s.most())
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	call, cancel := context.WithTimeout(s.to.outgoing(ctx), s.to.timeout)
	defer cancel()
	var response collectorpb.ExportMetricsServiceResponse
	fromReceiver, err := s.to.receiver.call(call, exportMethod, join(requests), &response, s.to.options...)
	if err == nil {
		s.partition.Done(requests)
		s.succeeded(len(requests), &response)
		return 0, nil
	}
	if ctx.Err() != nil {
		s.partition.Return(requests)
		return 0, err // The agent is stopping; this says nothing about the receiver.
	}
	again, delay := retryable(err, fromReceiver)
	switch {
	case len(requests) > 1 && (!again || isTooLarge(err)):
		s.partition.Return(requests)
		s.apart(len(requests))
		return 0, nil
	case again:
		s.partition.Return(requests)
	default:
		s.partition.Done(requests)
	}
	s.failed(reason(err, fromReceiver), !again, begun)
	if !again {
		return 0, nil
	}
	return delay, err
}

// takeOldest takes the requests that have waited longest, and notes since when.
func (s *sender) takeOldest(most int) ([]queue.Request, error) {
	requests, err := s.partition.Oldest(most)
	if err == nil {
		s.noteOldest(requests[0].Time)
	}
	return requests, err
}

func (s *sender) noteOldest(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = at
}

// join makes one request of several: in protobuf that is their concatenation.
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

// most is the size limit of the next request; with 0 it is one reading.
func (s *sender) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone > 0 {
		return 0
	}
	return s.to.most
}

// isDue reports whether enough requests wait.
func (s *sender) isDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alone > 0 || s.partition.Stats().Waiting >= s.every
}

// apart makes the next n requests be sent one by one.
func (s *sender) apart(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alone = max(s.alone, n)
}

// isFailing reports whether the last request failed.
func (s *sender) isFailing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failing != nil
}

// succeeded notes that the receiver accepted requests, perhaps without some points.
func (s *sender) succeeded(requests int, r *collectorpb.ExportMetricsServiceResponse) {
	rejected := max(r.GetPartialSuccess().GetRejectedDataPoints(), 0)
	words := sanitize.OneLine(r.GetPartialSuccess().GetErrorMessage(), maxWords)
	if rejected > 0 && words == "" {
		words = "it gives no reason"
	}
	now := time.Now()
	s.mu.Lock()
	s.sent += uint64(requests)
	s.alone = max(s.alone-requests, 0)
	s.rejected += uint64(rejected)
	back := s.failing != nil
	s.failing, s.lastAccepted = nil, now
	begins, ends := s.rejects.note(rejected > 0, words, now)
	s.warns.note(rejected == 0 && words != "", words, now)
	isNew := rejected == 0 && words != "" && !s.warned[words] && len(s.warned) < maxWarned
	if isNew {
		if s.warned == nil {
			s.warned = map[string]bool{}
		}
		s.warned[words] = true
	}
	s.mu.Unlock()
	if back {
		s.log.Info("the receiver accepts requests again")
	}
	switch {
	case begins:
		s.log.Warn("the receiver rejects points", "points", rejected, "reason", words)
	case ends:
		s.log.Info("the receiver accepts all points again")
	}
	if isNew {
		s.log.Warn("the receiver warns", "reason", words)
	}
}

// maxWarned bounds the warnings that are logged; health has every one.
const maxWarned = 16

// remark is what a receiver says in its responses, from the first that says it until it
// has said nothing of the kind for a while.
type remark struct {
	words       string
	since, last time.Time // Since is zero if there is none.
}

// calm is how long nothing must be said for a remark to end.
const calm = time.Minute

// note takes the next response, which may say something, and reports whether the remark
// begins or ends with it.
func (r *remark) note(said bool, words string, now time.Time) (begins, ends bool) {
	switch {
	case said:
		begins = r.since.IsZero()
		if begins {
			r.since = now
		}
		r.words, r.last = words, now
	case !r.since.IsZero() && now.Sub(r.last) >= calm:
		*r = remark{}
		return false, true
	}
	return begins, false
}

// failed notes that a request failed; lost means that it is not retried. If the receiver
// has accepted another one since this was begun, it is available, and new requests need
// not wait.
func (s *sender) failed(err error, lost bool, begun time.Time) {
	s.mu.Lock()
	away := !s.lastAccepted.After(begun)
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
		s.log.Error("the receiver rejected a request; dropped it", "err", err)
	case first:
		s.log.Warn("cannot send to the receiver; requests wait in the queue", "err", err)
	}
}

// retryable reports whether a failed request is to be retried, and the delay that the
// receiver asks for. What the receiver refuses is not, by the OTLP specification. What it
// did not say is no verdict of its on the readings, nor is its opinion of the sender:
// those requests wait until that is mended.
func retryable(err error, fromReceiver bool) (bool, time.Duration) {
	s := status.Convert(err)
	var delay time.Duration
	asked := false
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			delay, asked = info.GetRetryDelay().AsDuration(), true
		}
	}
	switch s.Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.OutOfRange, codes.Unavailable, codes.DataLoss,
		codes.Unauthenticated, codes.PermissionDenied:
		return true, delay
	case codes.ResourceExhausted:
		return asked || !fromReceiver, delay
	}
	return !fromReceiver, 0
}

// isTooLarge reports whether a proxy on the way found a request too large.
func isTooLarge(err error) bool {
	return strings.Contains(status.Convert(err).Message(), "HTTP status code received from server: 413")
}

// errNotAccepted is why the receiver refuses whatever this agent sends.
var errNotAccepted = errors.New("the receiver does not accept this agent (see otlp.headers and otlp.tls)")

// reason says why a request failed. The receiver's words are hostile.
func reason(err error, fromReceiver bool) error {
	s := status.Convert(err)
	words := errors.New(sanitize.OneLine(s.Message(), maxWords))
	switch code := s.Code(); {
	case fromReceiver && (code == codes.Unauthenticated || code == codes.PermissionDenied):
		return fmt.Errorf("%w: %s: %w", errNotAccepted, code, words)
	case fromReceiver:
		return fmt.Errorf("%s: %w", code, words)
	case code == codes.DeadlineExceeded:
		return fmt.Errorf("the receiver does not respond: %w", words)
	case strings.Contains(s.Message(), "HTTP status code"):
		return fmt.Errorf("the answer is not the receiver's but that of a proxy on the way, or of a server that is no OTLP receiver: %w", words)
	}
	return words
}

// maxWords bounds what is shown of a receiver's words, in characters.
const maxWords = 300

// flush sends the remaining requests, each once, until the context ends.
func (s *sender) flush(ctx context.Context) error {
	var err error
	for err == nil && ctx.Err() == nil {
		_, err = s.sendOne(ctx, s.partition.Oldest)
	}
	waiting := s.partition.Stats().Waiting
	if waiting == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d requests could not be sent and stay in the queue for the next start: %w", s.name, waiting, errors.Join(err, ctx.Err()))
}

// stats returns the counters of the partition.
func (s *sender) stats() instruments.QueueStats {
	q, now := s.partition.Stats(), s.partition.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	age := 0.0
	if !s.oldest.IsZero() {
		age = max(now.Sub(s.oldest).Seconds(), 0)
	}
	return instruments.QueueStats{Destination: s.name, Waiting: q.Waiting, Age: age, Sent: s.sent, Dropped: q.Dropped + s.refused, Rejected: s.rejected}
}

// health returns the status: whether requests are accepted, and kept on disk until then.
func (s *sender) health() health.Component {
	q := s.partition.Stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := health.Component{Name: s.name, Status: health.OK}
	degraded := func(since time.Time, format string, args ...any) {
		reason := fmt.Sprintf(format, args...)
		if c.Reason != "" {
			reason = c.Reason + "; " + reason
		}
		c.Status, c.Reason, c.Since = health.Degraded, reason, s.partition.Now().Add(-time.Since(since))
	}
	if s.failing != nil {
		degraded(s.since, "%s; %d requests wait, %d were dropped", s.failing, q.Waiting, q.Dropped+s.refused)
	}
	if reason, since := s.to.unusable(); reason != "" && s == s.to.finest() {
		degraded(since, "changed files cannot be used, the previous ones stay in use: %s", reason)
	}
	if !s.rejects.since.IsZero() {
		degraded(s.rejects.since, "the receiver rejects points, %d since the start: %s", s.rejected, s.rejects.words)
	}
	if q.Failing != nil {
		degraded(q.Since, "cannot write the queue to disk, %d requests wait in memory: %v", q.Waiting, q.Failing)
	}
	if s.source != nil {
		degraded(s.since, "cannot read closed buckets: %v", s.source)
	}
	if !s.warns.since.IsZero() && c.Reason == "" {
		c.Reason = "the receiver warns: " + s.warns.words
	}
	return c
}
