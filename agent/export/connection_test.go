package export

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"sysotel/agent/health"
)

// replacedWithin is how long a dead connection may last.
const replacedWithin = time.Minute

// relay is a proxy that passes bytes on. Connections that were open when it froze stay
// open and pass nothing on; new ones work.
type relay struct {
	address string
	to      string

	mu     sync.Mutex
	frozen chan struct{} // Closed for the connections of its time.
	opened int
	conns  []net.Conn
}

// newRelay starts a relay to an address; it ends with the test.
func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: listener.Addr().String(), to: to, frozen: make(chan struct{})}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { r.pass(from) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			_ = c.Close()
		}
		r.mu.Unlock()
		passing.Wait()
	})
	return r
}

// pass passes one connection on.
func (r *relay) pass(from net.Conn) {
	r.mu.Lock()
	address := r.to
	r.mu.Unlock()
	to, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		_ = from.Close()
		return
	}
	r.mu.Lock()
	r.opened++
	r.conns = append(r.conns, from, to)
	frozen := r.frozen
	r.mu.Unlock()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			block := make([]byte, 64<<10)
			for {
				n, err := way[0].Read(block)
				select {
				case <-frozen:
					_, _ = io.Copy(io.Discard, way[0]) // It takes everything, and its peer never knows.
					return
				default:
				}
				if _, failed := way[1].Write(block[:n]); err != nil || failed != nil {
					_ = from.Close()
					_ = to.Close()
					return
				}
			}
		})
	}
	both.Wait()
}

// freeze freezes the connections that are open.
func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.frozen)
	r.frozen = make(chan struct{})
}

// redirect closes the open connections and passes new ones on to another address.
func (r *relay) redirect(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
	for _, c := range r.conns {
		_ = c.Close()
	}
}

// connections is the number of connections so far.
func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// wantReplaced fails the test unless what is pushed after a connection died arrives in
// time, each reading once, and the push is healthy again. It returns how long that took.
func (a *agent) wantReplaced(t *testing.T, r *receiver, die func()) time.Duration {
	t.Helper()
	a.load(t, 0)
	r.wait(t, 1)
	within(t, patience, "the first is counted", func() bool { return a.otlp.finest().stats().Sent == 1 })
	die()
	died := time.Now()
	a.load(t, 1, 2)
	within(t, 2*replacedWithin, "both arrive", func() bool { return a.otlp.finest().stats().Sent == 3 })
	took := time.Since(died)
	if took > replacedWithin {
		t.Errorf("the connection was replaced after %s, want %s", took, replacedWithin)
	}
	a.wantLoads(t, r, 0, 1, 2)
	equal(t, "health", a.otlp.finest().health().Status, health.OK)
	return took
}

// TestFrozenConnection: a proxy keeps connections open and forwards nothing.
func TestFrozenConnection(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]time.Duration{
		"requests that are not answered": 500 * time.Millisecond,
		"no sign of life":                5 * time.Minute, // A request may take longer than the connection lasts.
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			relay := newRelay(t, r.serve(t, "127.0.0.1:0", nil))
			a := pushTo(t, "http://"+relay.address, func(c *Config) { c.OTLP.Timeout = timeout })
			took := a.wantReplaced(t, r, relay.freeze)
			t.Logf("replaced after %s", took)
			if n := relay.connections(); n != 2 {
				t.Errorf("%d connections, want 2", n)
			}
		})
	}
}

// TestSlowReceiverKeepsItsConnection: requests that take too long while others are
// answered do not break the connection.
func TestSlowReceiverKeepsItsConnection(t *testing.T) {
	c := &connection{log: (&logbook{}).logger()}
	mine, other := net.Pipe()
	defer other.Close()
	c.open = []net.Conn{mine}
	for range 10 {
		begun := time.Now()
		c.noteAnswer()
		c.noteSilence(begun)
	}
	c.noteSilence(time.Now())
	if len(c.open) != 1 {
		t.Fatal("the connection was closed although it works")
	}
	c.noteSilence(time.Now())
	if _, err := mine.Write([]byte("x")); len(c.open) != 0 || err == nil {
		t.Fatal("the connection stays open although nothing is answered")
	}
}
