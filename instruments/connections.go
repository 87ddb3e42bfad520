package instruments

import (
	"context"
	"fmt"
	"time"
)

// Connections are the sockets of the machine's network.
type Connections struct {
	// Sockets are the totals that the kernel keeps, nil if it has none.
	Sockets *Sockets
	// TCP counts TCP sockets by state, in the order of the kernel's states, nil
	// where they could not be counted.
	TCP []ConnectionCount
	// Reason says why TCP is nil or lacks some, "" where it is whole.
	Reason string
}

// ConnectionCount is the number of TCP sockets in a state.
type ConnectionCount struct {
	State string
	Count uint64
}

// Sockets are the kernel's totals of sockets; one above 2^63-1 is unknown.
type Sockets struct {
	// TCPInUse counts open TCP sockets of IPv4 and IPv6, TCPOrphans those owned by
	// no process, TCPTimeWait closed ones that still wait for stray packets,
	// TCPAllocated all that hold memory.
	TCPInUse, TCPOrphans, TCPTimeWait, TCPAllocated uint64
	// UDPInUse counts UDP sockets of IPv4 and IPv6.
	UDPInUse uint64
}

// tcpStates are the states of a TCP socket in the kernel's order, from 1
// (include/net/tcp_states.h); the receiver uses the same words.
var tcpStates = [...]string{
	"ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
	"CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING",
}

// synReceived and newSynReceived are one state outside of the kernel, which
// uses the second for requests without a full socket.
const (
	synReceived    = 3
	newSynReceived = 12
)

// tcpCounts counts TCP sockets by the kernel's number of their state; 0, which is none,
// stands for a state that cannot be read.
type tcpCounts [newSynReceived + 1]uint64

// add counts a socket; an unknown state is left out.
func (c *tcpCounts) add(state byte) {
	if state == newSynReceived {
		state = synReceived
	}
	if int(state) < len(c) {
		c[state]++
	}
}

// counts lists every state: a state without sockets is 0.
func (c *tcpCounts) counts() []ConnectionCount {
	list := make([]ConnectionCount, len(tcpStates))
	for i, state := range tcpStates {
		list[i] = ConnectionCount{State: state, Count: c[i+1]}
	}
	return list
}

var (
	protocolKey        = Key{Name: "protocol", Semconv: "network.transport", Help: "tcp or udp"}
	connectionStateKey = Key{
		Name: "state", Semconv: "network.connection.state",
		Values: map[string]string{
			"ESTABLISHED": "established", "SYN_SENT": "syn_sent", "SYN_RECV": "syn_received",
			"FIN_WAIT1": "fin_wait_1", "FIN_WAIT2": "fin_wait_2", "TIME_WAIT": "time_wait",
			"CLOSE": "closed", "CLOSE_WAIT": "close_wait", "LAST_ACK": "last_ack",
			"LISTEN": "listen", "CLOSING": "closing",
		},
		Help: "state of the connection: ESTABLISHED, LISTEN, TIME_WAIT, ...",
	}

	networkConnections = &Metric{
		Name: "system.network.connections", Semconv: "system.network.connection.count",
		Unit: "{connections}", SemconvUnit: "{connection}", Kind: UpDownCounter, Integer: true, Keys: []Key{protocolKey, connectionStateKey},
		Help: "TCP sockets by state, counted every 10 s.", Source: "sock_diag(7) over netlink; in another network namespace /proc/1/net/tcp and tcp6",
	}
	networkSockets = &Metric{
		Name: "sysotel.network.sockets", Unit: "{socket}", Kind: Gauge, Integer: true,
		Keys: []Key{protocolKey, {Name: "state", Help: "inuse (open), orphan (owned by no process), time_wait or alloc (holds memory); udp has inuse only"}},
		Help: "Sockets of IPv4 and IPv6 as the kernel counts them.", Source: "/proc/1/net/sockstat and sockstat6",
	}
)

// connectionsEvery is how often connections are counted by state: that walks
// through every socket of the machine.
const connectionsEvery = 10 * time.Second

// connections counts sockets.
type connections struct {
	source connectionSource
	at     time.Time
	newest Connections
}

// read counts sockets, those by state only when the newest count is old. What
// cannot be counted is left out; the interfaces are reported all the same.
func (c *connections) read(ctx context.Context, h *Host, now time.Time) Connections {
	if c.at.IsZero() || now.Sub(c.at) >= connectionsEvery {
		c.at = now
		c.newest.TCP, c.newest.Reason = nil, ""
		if counts, err := c.source.tcp(ctx, h); err != nil {
			c.newest.Reason = err.Error()
		} else {
			c.newest.TCP = counts.counts()
			if odd := counts[0]; odd > 0 {
				c.newest.Reason = fmt.Sprintf("the state of %d sockets cannot be read", odd)
			}
		}
	}
	r := c.newest
	r.Sockets = c.source.sockets(h)
	return r
}

func (c *Connections) reportConnections(o *Observer) {
	for _, one := range c.TCP {
		o.Uint(networkConnections, one.Count, "tcp", one.State)
	}
	if s := c.Sockets; s != nil {
		o.Uint(networkSockets, s.TCPInUse, "tcp", "inuse")
		o.Uint(networkSockets, s.TCPOrphans, "tcp", "orphan")
		o.Uint(networkSockets, s.TCPTimeWait, "tcp", "time_wait")
		o.Uint(networkSockets, s.TCPAllocated, "tcp", "alloc")
		o.Uint(networkSockets, s.UDPInUse, "udp", "inuse")
	}
}
