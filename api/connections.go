package api

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"sysotel/instruments"
)

// The maximum number of connections, in total and per client. The total costs at
// most about 30 MB. A client with the maximum number of streams still has some
// left for requests.
const (
	maxConnections       = 1_024
	maxClientConnections = maxStreams + 64
)

// connections limits the connections of a server. At the limit a new one is
// accepted and an old one closed: one without a request, from the client with the
// most connections. So a client that opens connections and sends nothing, or
// slowly, only closes its own.
//
// It follows the connection states of net/http: only the complete header of a
// request ends the waiting.
type connections struct {
	total, each int
	proxies     proxies
	// network is what counts as one client.
	network func(netip.Addr) netip.Addr

	mu      sync.Mutex
	open    map[net.Conn]*connection
	clients map[netip.Addr]*clientConnections
}

// clientConnections are those of one client, each list oldest first: waiting for a
// request; the same, but authenticated before; and with a request in progress.
type clientConnections struct{ waiting, known, busy list.List }

// count is their number.
func (c *clientConnections) count() int { return c.waiting.Len() + c.known.Len() + c.busy.Len() }

// connection is an open connection.
type connection struct {
	net.Conn
	client netip.Addr
	in     *list.List
	at     *list.Element
	// streams counts the live streams on it.
	streams atomic.Int32
	// known is set after a request with a valid token.
	known atomic.Bool
}

// newConnections returns the limits of a server, which are lower where the system
// allows few open files.
func newConnections(p proxies) *connections {
	spare, _ := instruments.SpareFiles()
	return &connections{
		total: max(1, min(spare/4, maxConnections)), each: maxClientConnections, proxies: p, network: clientNetwork,
		open: map[net.Conn]*connection{}, clients: map[netip.Addr]*clientConnections{},
	}
}

// attach makes a server keep the limits.
func (c *connections) attach(s *http.Server) {
	s.ConnState = c.changed
	inner := s.ConnContext
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if inner != nil {
			ctx = inner(ctx, conn)
		}
		return context.WithValue(ctx, connectionKey{}, c.add(bare(conn)))
	}
}

// connectionKey is the context key of a request's connection.
type connectionKey struct{}

// markStream marks the begin of a live stream on the request's connection; end
// marks its end. Connections with a stream are not closed to make room: they have
// their own limits.
func markStream(ctx context.Context) (end func()) {
	opened, _ := ctx.Value(connectionKey{}).(*connection)
	if opened == nil {
		return func() {}
	}
	opened.streams.Add(1)
	return func() { opened.streams.Add(-1) }
}

// markKnown marks the request's connection as authenticated.
func markKnown(ctx context.Context) {
	if opened, _ := ctx.Value(connectionKey{}).(*connection); opened != nil {
		opened.known.Store(true)
	}
}

// changed is the ConnState hook of the server.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	conn = bare(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	opened := c.open[conn]
	switch {
	case opened == nil || state == http.StateNew: // It was closed to make room, or add handles it.
	case state == http.StateClosed || state == http.StateHijacked:
		c.remove(opened)
	case state == http.StateActive:
		c.move(opened, &c.clients[opened.client].busy)
	case state == http.StateIdle && opened.known.Load():
		c.move(opened, &c.clients[opened.client].known)
	case state == http.StateIdle:
		c.move(opened, &c.clients[opened.client].waiting)
	}
}

// bare returns the connection below TLS.
func bare(conn net.Conn) net.Conn {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return wrapped.NetConn()
	}
	return conn
}

// add adds a new connection and closes another one at the limit.
func (c *connections) add(conn net.Conn) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	peer := addressOf(conn)
	opened := &connection{Conn: conn, client: c.network(peer)}
	client := c.clients[opened.client]
	if client == nil {
		client = &clientConnections{}
		c.clients[opened.client] = client
	}
	c.open[conn] = opened
	opened.in = &client.waiting
	opened.at = opened.in.PushBack(opened)
	switch {
	case client.count() > c.each && !c.proxies.trust(peer): // A proxy has those of many clients.
		c.closeOne(client)
	case len(c.open) > c.total:
		c.closeOne(c.top())
	}
	return opened
}

// top is the client with the most connections.
func (c *connections) top() (most *clientConnections) {
	for _, client := range c.clients {
		if most == nil || client.count() > most.count() {
			most = client
		}
	}
	return most
}

// closeOne closes a connection of a client: the one that has waited longest; if
// only the new one waits, the one with the oldest request; and if there are only
// streams, an authenticated one. A client has at least one.
func (c *connections) closeOne(client *clientConnections) {
	// Slow requests and responses can hold all the others: rather close one of these
	// than the new one.
	order := []*list.Element{client.waiting.Front(), client.withoutStream(), client.known.Front(), client.busy.Front()}
	if client.waiting.Len() <= 1 {
		order = append(order[1:3], client.waiting.Front(), client.busy.Front())
	}
	first := slices.IndexFunc(order, func(at *list.Element) bool { return at != nil })
	victim := valueOf(order[first])
	c.remove(victim)
	if tcp, ok := victim.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // Discard unsent data immediately.
	}
	_ = victim.Close()
}

// withoutStream is the busy connection with the oldest request that is not a
// stream; nil if there is none.
func (c *clientConnections) withoutStream() *list.Element {
	for at := c.busy.Front(); at != nil; at = at.Next() {
		if valueOf(at).streams.Load() == 0 {
			return at
		}
	}
	return nil
}

// valueOf is the connection of a list element.
func valueOf(at *list.Element) *connection {
	held, _ := at.Value.(*connection)
	return held
}

// move moves a connection to the end of a list.
func (c *connections) move(opened *connection, to *list.List) {
	opened.in.Remove(opened.at)
	opened.in, opened.at = to, to.PushBack(opened)
}

// remove forgets a connection.
func (c *connections) remove(opened *connection) {
	opened.in.Remove(opened.at)
	delete(c.open, opened.Conn)
	if client := c.clients[opened.client]; client.count() == 0 {
		delete(c.clients, opened.client)
	}
}

// addressOf is the peer of a TCP connection, invalid for others.
func addressOf(conn net.Conn) netip.Addr {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return remote.AddrPort().Addr().Unmap().WithZone("")
}
