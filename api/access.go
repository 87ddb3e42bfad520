package api

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"sysotel/agent/auth"
	"sysotel/agent/peer"
	"sysotel/agent/socket"
)

// Role is what a caller may do; each role includes those before it.
type Role = auth.Role

// The roles, from the lowest to the highest.
const (
	// Public is everyone who can reach the server.
	Public = auth.Public
	// Viewer may see all measurements.
	Viewer = auth.Viewer
	// Admin may also make changes and see what can contain secrets.
	Admin = auth.Admin
)

// Cost is the cost class of an operation, on which the rate limit depends.
type Cost int

// The costs, from the lowest to the highest.
const (
	// Cheap responses are cached or nearly free.
	Cheap Cost = iota
	// Query responses are computed for each request.
	Query
	// Stream responses last until the client disconnects.
	Stream
)

// String is the name of the cost in the OpenAPI document.
func (c Cost) String() string {
	return [...]string{"cheap", "query", "stream"}[c]
}

// Access is the access rules and the cost of an operation.
type Access struct {
	Role Role
	Cost Cost
	// Concurrent limits the number of concurrent requests, 0 for no limit. Requests
	// beyond it get 503.
	Concurrent int
	// Guarded is set for operations that write files, run commands or grant access.
	// They require a login or the Unix socket even of root and the agent's user:
	// programs of theirs may forward connections of others to loopback.
	Guarded bool
	// Harmless is the reason why callers below Admin may call an operation that is not
	// GET: what it does does not outlive the request, or is the caller's own.
	Harmless string
	// Page is set for pages that a link on another site may open. They have no numbers.
	Page bool
	// Check is set for what load balancers and probes ask for, also without a Host
	// header, which no browser leaves out.
	Check bool
	// BeforeSetup allows requests before there is an administrator.
	BeforeSetup bool
}

// Caller is the sender of a request.
type Caller struct {
	// Role comes from the login or from the connection.
	Role Role
	// Identity is the authenticated user or token; zero without authentication.
	Identity auth.Identity
	// Local is set for loopback connections that need no login and have none. They
	// are Viewer, and Admin if holder says so.
	Local  bool
	holder *holder
	// Socket is set for connections through the Unix socket.
	Socket bool
	// Address is the caller's address, for the audit log.
	Address string
	// until is when a caller whom a proxy names must be named again; zero for others.
	until time.Time
	// shown is the token of the Identity, which streams check again.
	shown credential
}

// credential is a token that is never printed.
type credential string

// String implements fmt.Stringer.
func (credential) String() string { return "<secret>" }

// GoString implements fmt.GoStringer.
func (credential) GoString() string { return "<secret>" }

// roleFor is the caller's role for an operation.
func (c Caller) roleFor(a Access) Role {
	if c.Local && !a.Guarded && a.Role > c.Role && c.holder.administers() {
		return Admin
	}
	return c.Role
}

// holder is who holds the other end of a loopback connection. The kernel is asked
// when it first matters, and once for a connection: the answer cannot change, unless
// it failed.
type holder struct {
	conn net.Conn
	// barred is why the holder is not the caller; empty if it is.
	barred string

	mu    sync.Mutex
	known bool
	uid   uint32
}

// user returns the user, or the error of the kernel.
func (h *holder) user() (uint32, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known {
		return h.uid, nil
	}
	uid, err := peer.Owner(h.conn)
	h.uid, h.known = uid, err == nil
	return uid, err
}

// administers reports whether the caller is root or the agent's user, who could
// change everything anyway.
func (h *holder) administers() bool {
	if h == nil || h.barred != "" {
		return false
	}
	uid, err := h.user()
	return err == nil && (uid == 0 || int(uid) == os.Geteuid())
}

// why explains that the caller is not an administrator.
func (h *holder) why() string {
	if h == nil {
		return "whose connection this is, is unknown"
	}
	if h.barred != "" {
		return h.barred
	}
	uid, err := h.user()
	if err != nil {
		return "the system does not tell whose connection this is"
	}
	return fmt.Sprintf("this connection is user %d's", uid)
}

// seesCommandLines reports whether the caller may see command lines, which often
// contain secrets. Being on the machine is not enough: users there can read those
// of their own processes.
func (c Caller) seesCommandLines() bool { return c.Role >= Admin && !c.Local }

// callerKey is the context key of the caller.
type callerKey struct{}

// withCaller returns a context that carries the caller.
func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// callerOf returns the caller of a request; Public by default.
func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// callerOfConn derives the caller from the connection. The socket admits only the
// agent's user, root and administrators. A loopback connection comes from this
// machine; if others can reach the API through it, as with a proxy on the machine,
// local is false and it means nothing.
func callerOfConn(c net.Conn, local bool) Caller {
	if socket.Accepted(c) {
		return Caller{Role: Admin, Socket: true, Address: "socket"}
	}
	if remote, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		addr, _ := netip.AddrFromSlice(remote.IP)
		addr = addr.Unmap()
		if local && addr.IsLoopback() {
			return Caller{Role: Viewer, Local: true, holder: &holder{conn: c}, Address: addr.String()}
		}
		return Caller{Address: addr.String()}
	}
	return Caller{}
}
