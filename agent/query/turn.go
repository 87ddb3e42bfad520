package query

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// clientKey is the context key of WithClient.
type clientKey struct{}

// WithClient names the client on whose behalf queries are evaluated: a user, a token
// or an address. Turns are shared fairly between clients; all callers without a name
// are one client. The context must end when the response has been sent: until then
// the result counts as held by the client.
func WithClient(ctx context.Context, client string) context.Context {
	return context.WithValue(ctx, clientKey{}, client)
}

// clientOf returns the name given by WithClient.
func clientOf(ctx context.Context) string {
	client, _ := ctx.Value(clientKey{}).(string)
	return client
}

// ErrBusy is the reason why a query is refused at once: too many others wait.
var ErrBusy = errors.New("too many queries are waiting already; try again in a second")

// turns lets a number of evaluations run at once. A free turn goes to the waiting
// client that has the fewest, and among those to the one whose turns took the least
// time: one that asks for little waits for what runs, not for what others wait for.
// Time is shared by start-time fair queuing (Goyal, Vin and Cheng, 1996): who comes
// anew stands where the last turn was given, not before those that have waited.
type turns struct {
	mu   sync.Mutex
	free int
	held map[string]int
	// used is the end of the last turn of each client that is ahead of now, the start of
	// the last turn given, in time that only turns take.
	used map[string]time.Duration
	now  time.Duration
	// lines are the clients that wait, the one served the longest ago first.
	lines []*line
	// waiting is the number of queries in all lines; most and each bound it and the
	// queries in one line.
	waiting, most, each int
}

// line has the queries of one client that wait, first come first served. A channel
// is closed when its query has a turn.
type line struct {
	client string
	wait   []chan struct{}
}

func newTurns(n, most int) *turns {
	return &turns{free: n, held: map[string]int{}, used: map[string]time.Duration{}, most: most, each: max(1, most/4)}
}

// take waits for a turn. The returned function gives it back.
func (t *turns) take(ctx context.Context) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, withType(context.Cause(ctx))
	}
	client := clientOf(ctx)
	t.mu.Lock()
	if t.free > 0 { // Then nobody waits.
		t.free--
		t.start(client)
		t.mu.Unlock()
		return t.end(client), nil
	}
	ready, ok := t.join(client)
	t.mu.Unlock()
	if !ok {
		return nil, &Error{Type: Unavailable, Err: ErrBusy}
	}
	select {
	case <-ready:
		return t.end(client), nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	left := t.leave(client, ready)
	t.mu.Unlock()
	if !left { // The turn came at the same time.
		t.end(client)()
	}
	return nil, withType(context.Cause(ctx))
}

// join adds a query to the line of its client, unless too many wait. t.mu is held.
func (t *turns) join(client string) (ready chan struct{}, ok bool) {
	i := slices.IndexFunc(t.lines, func(l *line) bool { return l.client == client })
	if i < 0 {
		i = len(t.lines)
		t.lines = append(t.lines, &line{client: client})
	}
	l := t.lines[i]
	if t.waiting >= t.most || len(l.wait) >= t.each {
		t.tidy(i)
		return nil, false
	}
	ready = make(chan struct{})
	l.wait = append(l.wait, ready)
	t.waiting++
	return ready, true
}

// leave removes a query from the line of its client. It returns false if the query
// is not there any more, because it got its turn. t.mu is held.
func (t *turns) leave(client string, ready chan struct{}) bool {
	for i, l := range t.lines {
		if l.client != client {
			continue
		}
		if k := slices.Index(l.wait, ready); k >= 0 {
			l.wait = slices.Delete(l.wait, k, k+1)
			t.waiting--
			t.tidy(i)
			return true
		}
	}
	return false
}

// tidy removes a line without queries. t.mu is held.
func (t *turns) tidy(i int) {
	if len(t.lines[i].wait) == 0 {
		t.lines = slices.Delete(t.lines, i, i+1)
	}
}

// start notes that a client has got a turn. t.mu is held.
func (t *turns) start(client string) {
	t.held[client]++
	t.now = max(t.now, t.used[client])
}

// end returns the function that gives back the turn which begins now.
func (t *turns) end(client string) func() {
	began := time.Now()
	return func() { t.giveBack(client, time.Since(began)) }
}

// giveBack passes a turn, which took a time, on to the next query.
func (t *turns) giveBack(client string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.use(client, took)
	if t.held[client]--; t.held[client] == 0 {
		delete(t.held, client)
	}
	if len(t.lines) == 0 {
		t.free++
		return
	}
	next := 0
	for i, l := range t.lines {
		if t.before(l.client, t.lines[next].client) {
			next = i
		}
	}
	l := t.lines[next]
	ready := l.wait[0]
	l.wait = l.wait[1:]
	t.waiting--
	t.start(l.client)
	t.lines = append(slices.Delete(t.lines, next, next+1), l)
	t.tidy(len(t.lines) - 1)
	close(ready)
}

// before reports whether a turn goes to client a rather than to b. t.mu is held.
func (t *turns) before(a, b string) bool {
	if t.held[a] != t.held[b] {
		return t.held[a] < t.held[b]
	}
	return max(t.now, t.used[a]) < max(t.now, t.used[b])
}

// use counts the time of a turn, and forgets the clients that are not ahead of now.
// t.mu is held.
func (t *turns) use(client string, took time.Duration) {
	t.used[client] = max(t.now, t.used[client]) + took
	if len(t.used) > t.most { // Ever new clients: they are all served alike.
		t.now = slices.Min(slices.Collect(maps.Values(t.used)))
	}
	maps.DeleteFunc(t.used, func(_ string, used time.Duration) bool { return used <= t.now })
}
