package api

import (
	"context"
	"net"
	"net/netip"
)

// Role is what a caller may do; each role may do what those before it may.
type Role int

// The roles, from the least to the most.
const (
	// Public is everybody who reaches the server.
	Public Role = iota
	// Viewer may see everything that is measured.
	Viewer
	// Admin may also see and change what can hold secrets.
	Admin
)

// String is the role's word in the OpenAPI document and in problems.
func (r Role) String() string {
	return [...]string{"public", "viewer", "admin"}[r]
}

// Cost says what an operation costs the machine; the rate limit counts by it.
type Cost int

// The costs, from the least to the most.
const (
	// Cheap answers are ready or nearly so.
	Cheap Cost = iota
	// Query answers are worked out for each request.
	Query
	// Stream answers last until the caller goes away.
	Stream
)

// String is the cost's word in the OpenAPI document.
func (c Cost) String() string {
	return [...]string{"cheap", "query", "stream"}[c]
}

// Access is what an operation asks of its callers and costs the machine.
type Access struct {
	Role Role
	Cost Cost
	// Concurrent bounds how many requests are answered at once, 0 for no bound.
	// It is for streams, which last; what is over it gets 503.
	Concurrent int
}

// callerKey is the context's key of the caller's role.
type callerKey struct{}

// withCaller returns a context that carries the caller's role.
func withCaller(ctx context.Context, r Role) context.Context {
	return context.WithValue(ctx, callerKey{}, r)
}

// callerOf is the role of who sent the request; without one it is Public.
func callerOf(ctx context.Context) Role {
	r, _ := ctx.Value(callerKey{}).(Role)
	return r
}

// roleOfConn is the role that a connection gives its caller. Loopback needs no
// login: who can connect from there is on this machine already. The Unix
// socket's file mode lets in nobody but the user that the agent runs as.
func roleOfConn(c net.Conn) Role {
	switch remote := c.RemoteAddr().(type) {
	case *net.UnixAddr:
		return Admin
	case *net.TCPAddr:
		if addr, ok := netip.AddrFromSlice(remote.IP); ok && addr.Unmap().IsLoopback() {
			return Viewer
		}
	}
	return Public
}
