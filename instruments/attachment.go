package instruments

import "slices"

// attachment is how an interface is connected: the description of what carries its bytes.
type attachment struct {
	kind interfaceKind
	// on names the interfaces that carry its bytes too: those that a bond, a VLAN or a
	// bridge stands on, the one of a switch chip for its ports, the pair's for the fast
	// path of a cloud's interface.
	on []string
	// line is set for a line to a provider (PPP). It can run over another interface or
	// over a modem, which is none.
	line bool
	// switches is set for a bridge: what it says itself reaches its ports or nobody.
	switches bool
}

// interfaceKind is how an interface is connected to the network.
type interfaceKind uint8

const (
	// interfaceLoopback leads nowhere: the loopback, a dummy, one that only listens to
	// what is on the air.
	interfaceLoopback interfaceKind = iota
	// interfaceInner carries what another interface carries too: bridges, tunnels
	// and the machine's ends of containers and virtual machines.
	interfaceInner
	// interfaceVirtual has no hardware and could be the way outside: a container's eth0.
	interfaceVirtual
	// interfacePhysical has hardware.
	interfacePhysical
)

func (a *attachment) equal(o *attachment) bool {
	return a.kind == o.kind && a.line == o.line && a.switches == o.switches && slices.Equal(a.on, o.on)
}

// linkInfo is what the driver of a physical interface reports of its link. It can wait
// for a lock that is held while any interface of the machine is configured.
type linkInfo struct {
	// speed is in bit/s, unknown if it is not told.
	speed float64
	// port is the interface's name on its switch: p0 is the way outside, pf0vf3 the
	// machine's end of a virtual function; network and port are "" without one.
	network, port string
}

// connect finds for all interfaces those that carry their bytes too.
func (n *network) connect() {
	var physical []*interfaceState
	uplinks := map[string][]*interfaceState{}
	for _, s := range n.order {
		s.below = nil
		if s.kind != interfacePhysical {
			continue
		}
		if len(s.on) == 0 {
			physical = append(physical, s)
		}
		if s.link.network != "" && isUplink(s.link.port) {
			uplinks[s.link.network] = append(uplinks[s.link.network], s)
		}
	}
	for _, s := range n.order {
		switch {
		case len(s.on) > 0:
			s.below = n.descend(s, s, nil, deepest)
		case s.kind == interfacePhysical && s.link.network != "" && s.link.port != "" && !isUplink(s.link.port):
			s.below = uplinks[s.link.network]
		case s.line:
			s.below = physical
		}
	}
	n.best = interfaceLoopback
	for _, s := range n.order {
		if len(s.below) == 0 {
			n.best = max(n.best, s.kind)
		}
	}
}

// descend adds what is below an interface, each once.
func (n *network) descend(top, s *interfaceState, below []*interfaceState, depth int) []*interfaceState {
	for _, name := range s.on {
		b := n.interfaces[name]
		if b == nil || b == top || depth == 0 || slices.Contains(below, b) {
			continue
		}
		below = n.descend(top, b, append(below, b), depth-1)
	}
	return below
}

// witness lets the interface's witness see what those below it counted.
func (s *interfaceState) see() {
	if len(s.below) == 0 || s.switches {
		return
	}
	ever, in, out := uint64(0), 0.0, 0.0
	for _, b := range s.below {
		ever += b.counts.ever(bytesReceived) + b.counts.ever(bytesSent)
		in += b.counts.grown(bytesReceived)
		out += b.counts.grown(bytesSent)
	}
	own := s.counts.grown(bytesReceived) + s.counts.grown(bytesSent)
	if s.first {
		s.witness.see(ever, unknown, float64(s.counts.ever(bytesReceived)+s.counts.ever(bytesSent)))
		return
	}
	if s.line && (in < s.counts.grown(bytesReceived)/2 || out < s.counts.grown(bytesSent)/2) {
		in, out = 0, 0 // It does not run over these.
	}
	s.witness.see(ever, in+out, own)
}

// isCounted reports whether the interface is in the total: each byte that the machine
// exchanges with others is in it once. Best is the best kind that does not stand on others.
func (s *interfaceState) isCounted(best interfaceKind) bool {
	switch {
	case s.kind == interfaceLoopback:
		return false
	case s.line && best < interfacePhysical:
		return true
	case len(s.below) > 0:
		return s.witness.silent
	}
	return s.kind == best
}
