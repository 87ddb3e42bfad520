package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// sendTimeout bounds one attempt by default.
	sendTimeout = 30 * time.Second
	// The pause between two attempts doubles from firstRetry to lastRetry.
	firstRetry, lastRetry = 5 * time.Second, 5 * time.Minute
	// maxPause bounds what a receiver asks for with Retry-After.
	maxPause = time.Hour
	// maxAge is the age at which a notice is dropped.
	maxAge = 24 * time.Hour
	// maxRefusals is how often a receiver may reject a message before it is dropped,
	// after about half an hour; it must not block the messages behind it.
	maxRefusals = 10
)

// channelQueue is one channel with the notices that wait for it. Channels do not
// wait for each other.
type channelQueue struct {
	name, kind string
	source     string // FromConfig or FromAPI
	sender     sender
	timeout    time.Duration // of one attempt
	groupWait  time.Duration
	limit      *rate.Limiter // nil for none
	always     bool          // whether it gets notices that do not name it
	file       *file
	log        *slog.Logger
	wake       chan struct{}
	// stop ends run, and ended is closed then; nil before it.
	stop  context.CancelFunc
	ended chan struct{}

	// These belong to run.
	notBefore time.Time // the earliest time of the next attempt
	failures  int       // failed attempts since the last success
	refusals  int       // of them, final refusals by the receiver

	mu        sync.Mutex
	status    Channel
	clockStep uint64 // the newest step of the clock that the status has followed
}

// newLimit allows perHour messages an hour, a sixth of them in a burst.
func newLimit(perHour int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(perHour)/3600), max(1, perHour/6))
}

// close releases the sender.
func (q *channelQueue) close() error {
	if c, ok := q.sender.(interface{ close() error }); ok {
		return c.close()
	}
	return nil
}

// wakeUp makes run look for notices.
func (q *channelQueue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// current is the status of the channel, without Waiting.
func (q *channelQueue) current() Channel {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.followClock()
	return q.status
}

// run sends notices until ctx is done.
func (q *channelQueue) run(ctx context.Context) {
	for {
		wait := q.step(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-q.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// idle is how long run sleeps if nothing waits.
const idle = time.Hour

// step sends at most one message and returns the time until the next step.
func (q *channelQueue) step(ctx context.Context) time.Duration {
	now := time.Now() // For pauses, which no step of the clock changes.
	if wait := q.notBefore.Sub(now); wait > 0 {
		return wait
	}
	rows, err := q.waiting(ctx)
	if err != nil && ctx.Err() == nil {
		q.log.Error("cannot read waiting messages", "err", err)
		q.notBefore = now.Add(lastRetry)
	}
	if len(rows) == 0 {
		return idle
	}
	m, rows, wait := q.compose(ctx, rows, now)
	if wait > 0 {
		return wait
	}
	err = q.attempt(ctx, m)
	switch {
	case ctx.Err() != nil && err != nil: // The agent stops; the message is retried after the next start.
	case err == nil:
		q.succeed(ctx, rows)
	default:
		q.fail(ctx, rows, err)
	}
	return time.Until(q.notBefore)
}

// waiting lists the notices to send and drops those that are too old or too many.
func (q *channelQueue) waiting(ctx context.Context) ([]waiting, error) {
	q.file.followClock(ctx)
	oldest := q.file.clock.Retention().Add(-maxAge)
	rows, err := q.file.waitingFor(ctx, q.name)
	dropped := 0
	for dropped < len(rows) && (rows[dropped].time.Before(oldest) || len(rows)-dropped > maxWaiting) {
		dropped++
	}
	if dropped > 0 {
		q.log.Error("dropped notices that waited for too long or were too many", "notices", dropped)
		q.finish(ctx, rows[:dropped], func(s *Channel) { s.Dropped += int64(dropped) })
	}
	return rows[dropped:], err
}

// compose creates the next message from the rows that it returns, or returns how
// long to wait. A message that was begun is continued unchanged.
func (q *channelQueue) compose(ctx context.Context, rows []waiting, now time.Time) (message, []waiting, time.Duration) {
	if id := rows[0].message; id != "" {
		rows = slices.DeleteFunc(rows, func(w waiting) bool { return w.message != id })
		return message{id: id, notices: notices(rows)}, rows, 0
	}
	if wait := rows[0].time.Add(q.groupWait).Sub(q.file.now(ctx)); wait > 0 && wait <= q.groupWait {
		return message{}, nil, wait
	}
	if q.limit != nil {
		turn := q.limit.ReserveN(now, 1)
		if wait := turn.DelayFrom(now); wait > 0 {
			turn.CancelAt(now)
			return message{}, nil, wait
		}
	}
	rows = choose(rows)
	id := rand.Text()
	if err := q.file.begin(ctx, id, rows); err != nil {
		q.log.Warn("cannot record that a message is being sent; after a crash it could be sent twice", "err", err)
	}
	return message{id: id, notices: notices(rows)}, rows, 0
}

func notices(rows []waiting) (all []Notice) {
	for _, w := range rows {
		all = append(all, w.notice)
	}
	return all
}

// attempt sends a message once.
func (q *channelQueue) attempt(ctx context.Context, m message) error {
	slow := fmt.Errorf("no response within %s", q.timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, q.timeout, slow)
	defer cancel()
	err := q.sender.send(ctx, m)
	if err != nil && errors.Is(context.Cause(ctx), slow) {
		return slow
	}
	return err
}

// succeed removes notices that were sent.
func (q *channelQueue) succeed(ctx context.Context, rows []waiting) {
	if q.failures > 0 {
		q.log.Info("sending works again", "attempts", q.failures+1)
	}
	q.failures, q.refusals = 0, 0
	q.finish(ctx, rows, func(s *Channel) {
		s.Sent++
		s.LastSuccess = q.file.clock.Now()
	})
}

// fail schedules the next attempt, or drops the message.
func (q *channelQueue) fail(ctx context.Context, rows []waiting, err error) {
	q.failures++
	if q.failures == 1 {
		q.log.Warn("cannot send a message; will retry", "err", clean(err.Error()), "notices", len(rows))
	}
	pause := min(firstRetry<<min(q.failures-1, 10), lastRetry)
	// Jitter, so that a hundred agents do not retry at once.
	pause += mathrand.N(pause / 10) //nolint:gosec // Needs no secure randomness.
	r, refused := errors.AsType[*refusal](err)
	if refused && r.after > 0 {
		pause = min(r.after, maxPause)
	}
	q.notBefore = time.Now().Add(pause)
	drop := 0
	if refused && r.final {
		q.refusals++
		if q.refusals >= maxRefusals {
			drop = len(rows)
			q.refusals = 0
			q.log.Error("dropped a message that was rejected repeatedly", "err", clean(err.Error()), "notices", drop)
		}
	}
	var gone []waiting
	if drop > 0 {
		gone = rows
	}
	q.finish(ctx, gone, func(s *Channel) {
		s.Dropped += int64(drop)
		s.LastErrorAt = q.file.clock.Now()
		s.LastError = clean(err.Error())
	})
}

// finish removes notices for good and updates the status.
func (q *channelQueue) finish(ctx context.Context, rows []waiting, change func(*Channel)) {
	q.file.now(ctx)
	q.mu.Lock()
	q.followClock()
	change(&q.status)
	status := q.status
	q.mu.Unlock()
	var numbers []int64
	for _, w := range rows {
		numbers = append(numbers, w.number)
	}
	// Removed even while the agent stops: otherwise they would be sent twice.
	if err := q.file.end(context.WithoutCancel(ctx), status, numbers); err != nil {
		q.log.Error("cannot remove sent messages; they could be sent twice", "err", err)
	}
}

// sendNow sends a message past the queue, once, and records the outcome.
func (q *channelQueue) sendNow(ctx context.Context, m message) error {
	err := q.attempt(ctx, m)
	q.finish(ctx, nil, func(s *Channel) {
		if err == nil {
			s.LastSuccess = q.file.clock.Now()
		} else {
			s.LastErrorAt, s.LastError = q.file.clock.Now(), clean(err.Error())
		}
	})
	if err != nil {
		return errors.New(clean(err.Error()))
	}
	return nil
}
