package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"sysotel/agent/query"
)

// maxHops is the maximum number of proxies of a request. Longer chains are not
// believable, and each hop costs time to parse.
const maxHops = 16

// proxies are the trusted proxies, whose X-Forwarded-For and X-Forwarded-Proto
// headers are believed. The header Forwarded (RFC 7239) is not used: most proxies
// do not know it and pass on what the client sent.
type proxies []netip.Prefix

// loopbackNetworks are the addresses of a proxy on the same machine.
var loopbackNetworks = []string{"127.0.0.0/8", "::1/128"}

// newProxies returns the proxies of a valid configuration.
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

// parseNetwork parses an address or a network in CIDR notation. The error is the
// violated rule.
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

// trust reports whether an address is one of the proxies.
func (p proxies) trust(addr netip.Addr) bool {
	for _, network := range p {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// client is the address of the client: the peer of the connection or, if that is
// a trusted proxy, the last address in X-Forwarded-For that is not a trusted
// proxy. Earlier entries were written by the client and may be forged. A malformed
// chain is ignored. The address is invalid for Unix sockets.
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

// secure reports whether a request came by TLS, to us or to a trusted proxy.
func (p proxies) secure(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	proto := r.Header["X-Forwarded-Proto"]
	return len(p) > 0 && len(proto) == 1 && proto[0] == "https" && p.trust(peerOf(r))
}

// forwardingHeaders are what proxies add to a request. Who adds one to a request of
// their own only loses rights by it.
var forwardingHeaders = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Real-Ip"}

// forwards reports whether a request came through a proxy, so that the user of the
// connection did not send it.
func (p proxies) forwards(r *http.Request) bool {
	return slices.ContainsFunc(forwardingHeaders, func(name string) bool { return len(r.Header[name]) > 0 }) || len(p) > 0 && p.trust(peerOf(r))
}

// peerOf is the peer of a request's connection, invalid for Unix sockets.
func peerOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// cutLast cuts the last entry off a list.
func cutLast(list string) (before, last string) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], strings.Trim(list[i+1:], " \t")
	}
	return "", strings.Trim(list, " \t")
}

// parseForwarded parses an entry of X-Forwarded-For. Some proxies add the port;
// IPv6 addresses are in brackets then.
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

// thisMachine is the client that every loopback address is: a program can use any
// address of 127.0.0.0/8, and ::1 besides.
var thisMachine = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// clientNetwork is what counts as one client: this machine, an IPv4 address, or the
// /64 of an IPv6 address, in which a single machine can use any address.
func clientNetwork(addr netip.Addr) netip.Addr {
	if addr.IsLoopback() {
		return thisMachine
	}
	if !addr.Is6() {
		return addr
	}
	network, err := addr.Prefix(64)
	if err != nil { // It has a zone, which peerOf and parseForwarded remove or reject.
		return addr
	}
	return network.Addr()
}

// clientKey identifies the client that a request is counted for.
type clientKey struct {
	addr     netip.Addr
	identity string
}

// key is the client that a request is counted for. Requests through the Unix
// socket are not counted.
func (p proxies) key(r *http.Request) (key clientKey, counted bool) {
	if id := identityOf(r); id != "" {
		// Authenticated callers are counted separately from others at their address.
		return clientKey{identity: id}, true
	}
	addr := clientNetwork(p.client(r))
	return clientKey{addr: addr}, addr.IsValid()
}

// named names the client of a request to the query engine, which shares its turns
// fairly between clients. Programs at the Unix socket are one client.
func (p proxies) named(r *http.Request) *http.Request {
	key, counted := p.key(r)
	name := "socket"
	switch {
	case key.identity != "":
		name = "identity " + key.identity
	case counted:
		name = "address " + key.addr.String()
	}
	return r.WithContext(query.WithClient(r.Context(), name))
}

// identityOf is the ID of the authenticated caller, "" if there is none.
func identityOf(r *http.Request) string { return callerOf(r.Context()).Identity.ID }
