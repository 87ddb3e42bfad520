package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops is how many proxies a request may have come through. More are no chain
// that somebody set up, and each costs the time to read its address.
const maxHops = 16

// proxies are the addresses whose word about a request is believed: whose it is,
// and whether it came to them by TLS.
//
// That word is X-Forwarded-For and X-Forwarded-Proto, which every proxy in use
// writes. The header Forwarded (RFC 7239) is not read: most proxies do not know
// it and hand on what the client wrote into it.
type proxies []netip.Prefix

// loopbackNetworks are where a proxy on the same machine is.
var loopbackNetworks = []string{"127.0.0.0/8", "::1/128"}

// newProxies takes the addresses from a valid configuration.
func newProxies(c HTTPConfig) proxies {
	trusted := c.TrustedProxies
	if c.BehindProxy && len(trusted) == 0 {
		trusted = loopbackNetworks
	}
	var p proxies
	for _, text := range trusted {
		if network, err := parseNetwork(text); err == nil {
			p = append(p, network)
		}
	}
	return p
}

// parseNetwork reads an address or a network in CIDR form. The error is the rule
// that the text breaks.
func parseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
		network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		if addr.Zone() != "" {
			err = errors.New("must not have a zone")
		}
	}
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("must be an address or a network, such as 10.0.0.5, 10.0.0.0/24 or fd00::/64")
	case network.Addr().Is4In6():
		return netip.Prefix{}, errors.New("must be written as an IPv4 address")
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("must be %s for the whole network, or %s for a single address", network.Masked(), network.Addr())
	case network.Bits() == 0:
		return netip.Prefix{}, errors.New("must not match every address: any client could then claim to be another")
	}
	return network, nil
}

// trust tells whether an address is one of the proxies.
func (p proxies) trust(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// client is the address that a request comes from: the other end of its
// connection or, where that is a trusted proxy, the last address in its chain
// that is no trusted proxy. What stands before it in the chain was written by
// the client and may be anything. A chain that makes no sense is not believed
// at all. The address is not valid where the request came by a Unix socket.
func (p proxies) client(r *http.Request) netip.Addr {
	peer := peerOf(r)
	if len(p) == 0 || !p.trust(peer) {
		return peer
	}
	client, hops := peer, 0
	for _, rest := range slices.Backward(r.Header["X-Forwarded-For"]) {
		for {
			before, last := cutLast(rest)
			addr, ok := parseForwarded(last)
			if hops++; !ok || hops > maxHops {
				return peer
			}
			if client = addr; !p.trust(addr) {
				return client
			}
			if rest = before; rest == "" {
				break
			}
		}
	}
	return client
}

// secure tells whether a request came by TLS, to us or to a trusted proxy.
func (p proxies) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	proto := r.Header["X-Forwarded-Proto"]
	return len(p) > 0 && len(proto) == 1 && proto[0] == "https" && p.trust(peerOf(r))
}

// peerOf is the other end of a request's connection, not valid for a Unix socket.
func peerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// cutLast takes the last entry off a list.
func cutLast(list string) (before, last string) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], strings.Trim(list[i+1:], " \t")
	}
	return "", strings.Trim(list, " \t")
}

// parseForwarded reads an entry of X-Forwarded-For. Some proxies write the port
// as well, and then an IPv6 address stands in brackets.
func parseForwarded(text string) (addr netip.Addr, ok bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		at, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = at.Addr()
	}
	addr = addr.Unmap()
	return addr, addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast()
}

// subscriber is what counts as one client: an IPv4 address, or the /64 of an
// IPv6 address, in which a single machine may take any address that it likes.
func subscriber(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	network, err := addr.Prefix(64)
	if err != nil { // It has a zone, which peerOf and parseForwarded do not let through.
		return addr
	}
	return network.Addr()
}

// clientKey is whom a request is counted for.
type clientKey struct {
	addr     netip.Addr
	identity string
}

// key is whom a request is counted for. It is not valid, and nothing is
// counted, where the request came by the Unix socket.
func (p proxies) key(r *http.Request) (key clientKey, counted bool) {
	if id := identityOf(r); id != "" {
		// Who has logged in is counted alone, whoever else shares the address.
		return clientKey{identity: id}, true
	}
	addr := subscriber(p.client(r))
	return clientKey{addr: addr}, addr.IsValid()
}

// identityOf is who has logged in, "" for nobody.
func identityOf(r *http.Request) string { return callerOf(r.Context()).Identity.ID }
