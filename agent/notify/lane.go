package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// sendTimeout is how long a receiver may take to answer.
	sendTimeout = 30 * time.Second
	// The time between two tries doubles from the first to the last of these.
	firstRetry, lastRetry = 5 * time.Second, 5 * time.Minute
	// longestPause bounds what a receiver may ask for with Retry-After.
	longestPause = time.Hour
	// maxAge is how long a notice is worth telling.
	maxAge = 24 * time.Hour
	// maxRefusals is how often a receiver may say that a message is wrong before it
	// is given up, about half an hour; it must not hold up those behind it.
	maxRefusals = 10
)

// lane is one channel with what waits for it. Lanes do not wait for each other.
type lane struct {
	name, kind string
	sender     sender
	groupWait  time.Duration
	limit      *rate.Limiter // nil for none
	always     bool          // whether it tells notices that do not name it
	file       *file
	log        *slog.Logger
	wake       chan struct{}

	// These belong to run.
	notBefore time.Time // when the next try may be
	failures  int       // tries that failed since the last success
	refusals  int       // of them, those that the receiver refused for good

	mu     sync.Mutex
	status ChannelStatus
	held   []waiting       // what the disk did not take
	known  map[string]bool // the ids of what was ever held
	told   map[int64]bool  // what was told, but the disk did not take that
}

// newLimit lets so many messages through an hour, a sixth of them at once.
func newLimit(perHour int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(float64(perHour)/3600), max(1, perHour/6))
}

// stir has run look at what waits.
func (l *lane) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// hold keeps a notice in memory, unless it was there before.
func (l *lane) hold(n Notice, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[n.ID] || len(l.known) >= maxWaiting {
		return
	}
	l.known[n.ID] = true
	l.held = append(l.held, waiting{time: now, notice: n})
}

// newest is how the channel fares.
func (l *lane) newest() ChannelStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Waiting = len(l.held)
	return s
}

// run sends what waits and what comes.
func (l *lane) run(ctx context.Context) {
	for {
		wait := l.step(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-l.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// idle is how long run sleeps where nothing waits.
const idle = time.Hour

// step sends at most one message and tells when the next step is due.
func (l *lane) step(ctx context.Context) time.Duration {
	now := time.Now()
	if wait := l.notBefore.Sub(now); wait > 0 {
		return wait
	}
	rows, err := l.waiting(ctx, now)
	if err != nil && ctx.Err() == nil {
		l.log.Error("cannot read the messages that wait", "err", err)
		l.notBefore = now.Add(lastRetry)
	}
	if len(rows) == 0 {
		return idle
	}
	m, rows, wait := l.compose(ctx, rows, now)
	if wait > 0 {
		return wait
	}
	err = l.attempt(ctx, m)
	switch {
	case ctx.Err() != nil && err != nil: // The agent stops; the message is tried again after the start.
	case err == nil:
		l.succeed(ctx, rows)
	default:
		l.fail(ctx, rows, err)
	}
	return time.Until(l.notBefore)
}

// waiting lists what there is to tell, without what is too old or too much.
func (l *lane) waiting(ctx context.Context, now time.Time) ([]waiting, error) {
	rows, err := l.file.waitingFor(ctx, l.name)
	l.mu.Lock()
	rows = slices.DeleteFunc(rows, func(w waiting) bool { return l.told[w.number] })
	rows = append(rows, l.held...)
	l.mu.Unlock()
	gone := 0
	for gone < len(rows) && (now.Sub(rows[gone].time) > maxAge || len(rows)-gone > maxWaiting) {
		gone++
	}
	if gone > 0 {
		l.log.Error("messages waited for too long, or too many of them; they are dropped", "notices", gone)
		l.finish(ctx, rows[:gone], func(s *ChannelStatus) { s.Dropped += int64(gone) })
	}
	return rows[gone:], err
}

// compose makes the next message, or tells how long to wait with it. One that was
// begun is taken up again as it was.
func (l *lane) compose(ctx context.Context, rows []waiting, now time.Time) (message, []waiting, time.Duration) {
	if id := rows[0].message; id != "" {
		rows = slices.DeleteFunc(rows, func(w waiting) bool { return w.message != id })
		return message{id: id, notices: notices(rows)}, rows, 0
	}
	if wait := rows[0].time.Add(l.groupWait).Sub(now); wait > 0 && wait <= l.groupWait {
		return message{}, nil, wait
	}
	if l.limit != nil {
		turn := l.limit.ReserveN(now, 1)
		if wait := turn.DelayFrom(now); wait > 0 {
			turn.CancelAt(now)
			return message{}, nil, wait
		}
	}
	rows = choose(rows)
	id := rand.Text()
	if err := l.file.begin(ctx, id, rows); err != nil {
		l.log.Warn("cannot note that a message is begun; after a crash it could be told twice", "err", err)
	}
	l.mu.Lock()
	for i := range l.held {
		if slices.ContainsFunc(rows, func(w waiting) bool { return w.notice.ID == l.held[i].notice.ID }) {
			l.held[i].message = id
		}
	}
	l.mu.Unlock()
	return message{id: id, notices: notices(rows)}, rows, 0
}

func notices(rows []waiting) (all []Notice) {
	for _, w := range rows {
		all = append(all, w.notice)
	}
	return all
}

// attempt sends a message once.
func (l *lane) attempt(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeoutCause(ctx, sendTimeout, errSlow)
	defer cancel()
	err := l.sender.send(ctx, m)
	if err != nil && errors.Is(context.Cause(ctx), errSlow) {
		return errSlow
	}
	return err
}

// errSlow is the error of a receiver that takes too long.
var errSlow = errors.New("no answer within " + sendTimeout.String())

// succeed removes what was told.
func (l *lane) succeed(ctx context.Context, rows []waiting) {
	if l.failures > 0 {
		l.log.Info("messages go out again", "tries", l.failures+1)
	}
	l.failures, l.refusals = 0, 0
	l.finish(ctx, rows, func(s *ChannelStatus) {
		s.Sent++
		s.LastSuccess = time.Now()
	})
}

// fail decides when the message is tried again, or gives it up.
func (l *lane) fail(ctx context.Context, rows []waiting, err error) {
	l.failures++
	if l.failures == 1 {
		l.log.Warn("a message could not be sent; it is tried again", "err", clean(err.Error()), "notices", len(rows))
	}
	pause := min(firstRetry<<min(l.failures-1, 10), lastRetry)
	pause += mathrand.N(pause / 10) // A hundred agents do not come back at once.
	r, refused := errors.AsType[*refusal](err)
	if refused && r.after > 0 {
		pause = min(r.after, longestPause)
	}
	l.notBefore = time.Now().Add(pause)
	drop := 0
	if refused && r.final {
		l.refusals++
		if l.refusals >= maxRefusals {
			drop = len(rows)
			l.refusals = 0
			l.log.Error("a message was refused again and again; it is dropped", "err", clean(err.Error()), "notices", drop)
		}
	}
	var gone []waiting
	if drop > 0 {
		gone = rows
	}
	l.finish(ctx, gone, func(s *ChannelStatus) {
		s.Dropped += int64(drop)
		s.LastFailure = time.Now()
		s.LastError = clean(err.Error())
	})
}

// finish removes notices for good and changes the status.
func (l *lane) finish(ctx context.Context, rows []waiting, change func(*ChannelStatus)) {
	l.mu.Lock()
	change(&l.status)
	status := l.status
	numbers := slices.Collect(maps.Keys(l.told))
	for _, w := range rows {
		numbers = append(numbers, w.number)
	}
	l.held = slices.DeleteFunc(l.held, func(h waiting) bool {
		return slices.ContainsFunc(rows, func(w waiting) bool { return w.notice.ID == h.notice.ID })
	})
	l.mu.Unlock()
	// What was told is removed although the agent stops: else it would be told twice.
	err := l.file.end(context.WithoutCancel(ctx), status, numbers)
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.told)
	if err != nil {
		l.log.Error("cannot note what was told; after a restart it could be told twice", "err", err)
		for _, number := range numbers {
			l.told[number] = true
		}
	}
}

// try sends a message past the queue and notes what became of it.
func (l *lane) try(ctx context.Context, m message) error {
	err := l.attempt(ctx, m)
	l.finish(ctx, nil, func(s *ChannelStatus) {
		if err == nil {
			s.LastSuccess = time.Now()
		} else {
			s.LastFailure, s.LastError = time.Now(), clean(err.Error())
		}
	})
	if err != nil {
		return errors.New(clean(err.Error()))
	}
	return nil
}
