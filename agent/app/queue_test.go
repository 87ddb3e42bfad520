//go:build linux

package app

import (
	"net"
	"testing"
	"time"
)

// TestKilledDuringOutage: what an agent read while the receiver was down is sent by
// the next agent after SIGKILL, each second once and with its own time.
func TestKilledDuringOutage(t *testing.T) {
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0") // No other test uses this address.
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

	// The next agent may read the same second again.
	r := receiverAt(t, address)
	spawn(t, "agent", "queueagent", nil, flags...)
	now := awaitTick(t, unixClient(c), 3)
	r.await(t, "sysotel/cpu", now.Timestamp.Unix())
	for _, collector := range []string{"cpu", "memory", "process"} {
		for at := first.Timestamp; !at.After(last.Timestamp.Add(-time.Second)); at = at.Add(time.Second) {
			r.await(t, "sysotel/"+collector, at.Unix())
		}
		r.mu.Lock()
		for at, n := range r.seconds["sysotel/"+collector] {
			if n != 1 {
				t.Errorf("%s: second %d arrived %d times", collector, at, n)
			}
		}
		r.mu.Unlock()
	}
}
