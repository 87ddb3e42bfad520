package api

import (
	"context"
	"net"
	"net/netip"

	"sysotel/agent/auth"
)

// Role is what a caller may do; each role may do what those before it may.
type Role = auth.Role

// The roles, from the least to the most.
const (
	// Public is everybody who reaches the server.
	Public = auth.Public
	// Viewer may see everything that is measured.
	Viewer = auth.Viewer
	// Admin may also see and change what can hold secrets.
	Admin = auth.Admin
)

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
	// Guarded is set where an operation writes files, runs commands or hands out
	// rights. Being on the machine is then not enough: it takes a log-in or the
	// Unix socket. This holds whether the agent runs as root or not, so that there
	// is one rule to know; every program on the machine can reach loopback, the
	// least trusted too.
	Guarded bool
	// BeforeSetup is set where an answer is given before there is an administrator.
	BeforeSetup bool
}

// Caller is who sent a request.
type Caller struct {
	// Role is what the caller may do, from a log-in or from where the connection comes.
	Role Role
	// Identity is who logged in; it is zero without a log-in.
	Identity auth.Identity
	// Local tells of a connection over loopback that needs no log-in and has none.
	Local bool
	// Socket tells of a connection through the Unix socket.
	Socket bool
	// Address is where the caller is, for the audit log.
	Address string
	// shown is the token that made the Identity, for answers that last.
	shown credential
}

// credential is a token that does not print.
type credential string

// String implements fmt.Stringer.
func (credential) String() string { return "<secret>" }

// GoString implements fmt.GoStringer.
func (credential) GoString() string { return "<secret>" }

// roleFor is the caller's role at a way in.
func (c Caller) roleFor(a Access) Role {
	if a.Guarded && c.Local {
		return min(c.Role, Viewer)
	}
	return c.Role
}

// seesCommandLines tells whether the caller may see command lines, which hold
// secrets more often than they should. Who is only on the machine may not: he
// can read those of his own processes there.
func (c Caller) seesCommandLines() bool { return c.Role >= Admin && !c.Local }

// callerKey is the context's key of the caller.
type callerKey struct{}

// withCaller returns a context that carries the caller.
func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf is who sent the request; without one it is the public.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// callerOfConn is what a connection tells of its caller. The Unix socket's file
// mode lets in nobody but the user that the agent runs as. Who can connect over
// loopback is on this machine already; where others can reach the API too, as
// through a proxy on the machine, that says nothing and local is false.
func callerOfConn(c net.Conn, local bool) Caller {
	switch remote := c.RemoteAddr().(type) {
	case *net.UnixAddr:
		return Caller{Role: Admin, Socket: true, Address: "socket"}
	case *net.TCPAddr:
		addr, _ := netip.AddrFromSlice(remote.IP)
		addr = addr.Unmap()
		if local && addr.IsLoopback() {
			return Caller{Role: Admin, Local: true, Address: addr.String()}
		}
		return Caller{Address: addr.String()}
	}
	return Caller{}
}
