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
)

// How many connections a server holds, in all and from one client. All of them
// together are well below the 1,024 files that some systems let a process open
// beyond its own, and cost some 30 MB at most. Where one client is let have all
// streams there are still some for it to ask how the agent fares.
const (
	maxConnections       = 1_024
	maxClientConnections = maxStreams + 64
)

// connections bounds how many connections a server holds. At a bound the new
// one is taken and an old one closed: one that has not sent its first request
// yet, or waits for the next, from the client with the most. So whoever opens
// connections and sends nothing, or slowly, closes only his own, and does not
// lock out others at his address either: they are done in a moment.
//
// It listens to the states that net/http tells of each connection: only the whole
// header of a request ends the waiting.
type connections struct {
	total, each int
	proxies     proxies

	mu      sync.Mutex
	open    map[net.Conn]*connection
	clients map[netip.Addr]*clientConnections
}

// clientConnections are those of one client, each list with the oldest first:
// those that wait for a request, those of somebody known that do so, and those
// with a request.
type clientConnections struct{ waiting, known, busy list.List }

// count is how many they are.
func (c *clientConnections) count() int { return c.waiting.Len() + c.known.Len() + c.busy.Len() }

// connection is one that is open.
type connection struct {
	net.Conn
	client netip.Addr
	in     *list.List
	at     *list.Element
	// streams counts the live streams on it.
	streams atomic.Int32
	// known tells that a request with a good token came by it.
	known atomic.Bool
}

// newConnections makes the bounds of a server.
func newConnections(p proxies) *connections {
	return &connections{
		total: maxConnections, each: maxClientConnections, proxies: p,
		open: map[net.Conn]*connection{}, clients: map[netip.Addr]*clientConnections{},
	}
}

// guard makes a server keep the bounds.
func (c *connections) guard(s *http.Server) {
	s.ConnState = c.changed
	inner := s.ConnContext
	s.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if inner != nil {
			ctx = inner(ctx, conn)
		}
		return context.WithValue(ctx, connectionKey{}, c.add(bare(conn)))
	}
}

// connectionKey is the context's key of the connection that a request came by.
type connectionKey struct{}

// markStream tells that a live stream begins on the request's connection; end
// tells that it is over. A connection with a stream is not closed to make room:
// the limits on streams bound those.
func markStream(ctx context.Context) (end func()) {
	opened, _ := ctx.Value(connectionKey{}).(*connection)
	if opened == nil {
		return func() {}
	}
	opened.streams.Add(1)
	return func() { opened.streams.Add(-1) }
}

// markKnown tells that the request on a connection had a good token.
func markKnown(ctx context.Context) {
	if opened, _ := ctx.Value(connectionKey{}).(*connection); opened != nil {
		opened.known.Store(true)
	}
}

// changed is the server's hook for the state of a connection.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	conn = bare(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	opened := c.open[conn]
	switch {
	case opened == nil || state == http.StateNew: // It was closed to make room, or add has taken it.
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

// bare is the connection without TLS.
func bare(conn net.Conn) net.Conn {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return wrapped.NetConn()
	}
	return conn
}

// add takes a new connection, at the cost of another where there are enough.
func (c *connections) add(conn net.Conn) *connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	peer := addressOf(conn)
	opened := &connection{Conn: conn, client: subscriber(peer)}
	client := c.clients[opened.client]
	if client == nil {
		client = &clientConnections{}
		c.clients[opened.client] = client
	}
	c.open[conn] = opened
	opened.in = &client.waiting
	opened.at = opened.in.PushBack(opened)
	switch {
	case client.count() > c.each && !c.proxies.trust(peer): // A proxy brings everybody's.
		c.closeOne(client)
	case len(c.open) > c.total:
		c.closeOne(c.greediest())
	}
	return opened
}

// greediest is the client with the most connections.
func (c *connections) greediest() (most *clientConnections) {
	for _, client := range c.clients {
		if most == nil || client.count() > most.count() {
			most = client
		}
	}
	return most
}

// closeOne closes a connection of a client: the one that waits for the longest;
// where only the new one waits, the one whose request is the oldest; and where
// there is none but streams, one of somebody known. A client has at least one.
func (c *connections) closeOne(client *clientConnections) {
	// Bodies that are sent slowly and answers that are read slowly can hold all the
	// others: rather one of these than the new one.
	order := []*list.Element{client.waiting.Front(), client.withoutStream(), client.known.Front(), client.busy.Front()}
	if client.waiting.Len() <= 1 {
		order = append(order[1:3], client.waiting.Front(), client.busy.Front())
	}
	first := slices.IndexFunc(order, func(at *list.Element) bool { return at != nil })
	victim := valueOf(order[first])
	c.remove(victim)
	if tcp, ok := victim.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // The kernel forgets at once what was not read yet.
	}
	_ = victim.Close()
}

// withoutStream is the busy connection whose request is the oldest and no stream,
// nil where there is none.
func (c *clientConnections) withoutStream() *list.Element {
	for at := c.busy.Front(); at != nil; at = at.Next() {
		if valueOf(at).streams.Load() == 0 {
			return at
		}
	}
	return nil
}

// valueOf is the connection at a place in a list.
func valueOf(at *list.Element) *connection {
	held, _ := at.Value.(*connection)
	return held
}

// move puts a connection at the end of a list.
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

// addressOf is the other end of a TCP connection, not valid for any other.
func addressOf(conn net.Conn) netip.Addr {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return remote.AddrPort().Addr().Unmap().WithZone("")
}
