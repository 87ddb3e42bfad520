//go:build linux

package app

import (
	"net"
	"testing"
	"time"
)

// TestKilledWhileTheReceiverIsAway: what was read while nobody took it is sent
// after kill -9 and a new start, each second once and with its own time.
func TestKilledWhileTheReceiverIsAway(t *testing.T) {
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0") // Nobody else takes a port there.
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	c := configure(t)
	flags := append(sameFlags(c), "--otlp.endpoint=http://"+address)
	killed := spawn(t, "agent", "queueagent", nil, flags...)
	first := awaitTick(t, unixClient(c), 2)
	last := awaitTick(t, unixClient(c), first.Tick+5)
	killed.Kill()
	<-killed.Exited()

	// The next one may read the same second once more.
	r := receiverAt(t, address)
	spawn(t, "agent", "queueagent", nil, flags...)
	now := awaitTick(t, unixClient(c), 3)
	r.await(t, "sysotel/cpu", now.Timestamp.Unix())
	for _, family := range []string{"cpu", "memory", "process"} {
		for at := first.Timestamp; !at.After(last.Timestamp.Add(-time.Second)); at = at.Add(time.Second) {
			r.await(t, "sysotel/"+family, at.Unix())
		}
		r.mu.Lock()
		for at, n := range r.seconds["sysotel/"+family] {
			if n != 1 {
				t.Errorf("%s: second %d arrived %d times", family, at, n)
			}
		}
		r.mu.Unlock()
	}
}
