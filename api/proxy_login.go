package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/user"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sysotel/agent/auth"
)

// ProxyLoginConfig is about users whom a reverse proxy has logged in.
type ProxyLoginConfig struct {
	UserHeader string   `yaml:"user_header" help:"Header in which the proxy names the user, such as Remote-User or X-Forwarded-User; empty ignores what a proxy says. It counts only from http.trusted_proxies. The proxy must set or delete it in every request."`
	RoleHeader string   `yaml:"role_header" help:"Header in which the proxy names the user's roles or groups, separated by , or |, such as Remote-Groups or X-Forwarded-Groups; empty makes every user a viewer."`
	Admins     []string `yaml:"admins" help:"Roles or groups of the proxy that are administrators here."`
	Viewers    []string `yaml:"viewers" help:"Roles or groups of the proxy that may view; empty lets every user of the proxy view."`
	LocalUsers []string `yaml:"local_users" help:"System users, by name or number, as whom a proxy on this machine connects, such as www-data; required if http.trusted_proxies has addresses of this machine, from which every user of it can connect. Linux only."`
}

// maxProxyUser is the longest name of a user, in bytes: that of an e-mail address.
const maxProxyUser = 254

// proxyLoginTime is how long a live stream lasts that the proxy has admitted. Then the
// browser opens the next one, and the proxy says again who it is.
const proxyLoginTime = 15 * time.Minute

// headerNames are the names of headers that every proxy passes on.
var headerNames = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,63}$`)

// takenHeaders mean something else.
var takenHeaders = append([]string{"Accept", "Authorization", "Connection", "Content-Length", "Content-Type", "Cookie", "Host", "Origin", "Referer"}, forwardingHeaders...)

// validate checks the configuration; trusted are the proxies of http.trusted_proxies.
func (c ProxyLoginConfig) validate(trusted proxies, wrong func(path string, value any, rule string)) {
	for _, h := range []struct{ key, name string }{{"user_header", c.UserHeader}, {"role_header", c.RoleHeader}} {
		switch name := http.CanonicalHeaderKey(h.name); {
		case h.name == "":
		case !headerNames.MatchString(h.name):
			wrong("auth.proxy."+h.key, h.name, "must be the name of a header, at most 64 letters, digits and -, such as Remote-User")
		case slices.Contains(takenHeaders, name) || strings.HasPrefix(name, "Sec-"):
			wrong("auth.proxy."+h.key, h.name, "must not be a header with another meaning")
		}
	}
	if c.UserHeader == "" {
		if c.RoleHeader != "" {
			wrong("auth.proxy.role_header", c.RoleHeader, "requires auth.proxy.user_header")
		}
		return
	}
	if strings.EqualFold(c.UserHeader, c.RoleHeader) {
		wrong("auth.proxy.role_header", c.RoleHeader, "must not be auth.proxy.user_header")
	}
	if len(trusted) == 0 {
		wrong("auth.proxy.user_header", c.UserHeader, "requires http.trusted_proxies, the addresses of the proxy: anybody else could name a user")
	}
	for _, text := range loopbackNetworks {
		if network, err := parseNetwork(text); err == nil && len(c.LocalUsers) == 0 && slices.ContainsFunc(trusted, network.Overlaps) {
			wrong("auth.proxy.local_users", c.LocalUsers, "must name the system users of the proxy, such as www-data: http.trusted_proxies has addresses of this machine, from which every user of it can connect")
			break
		}
	}
	for i, name := range c.LocalUsers {
		if _, err := userNumber(name); err != nil {
			wrong(fmt.Sprintf("auth.proxy.local_users[%d]", i), name, err.Error())
		}
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"admins", c.Admins}, {"viewers", c.Viewers}} {
		for i, name := range list.names {
			if name == "" || name != strings.TrimSpace(name) || strings.ContainsAny(name, ",|") {
				wrong(fmt.Sprintf("auth.proxy.%s[%d]", list.key, i), name, "must be one role or group, without , and | and spaces around it")
			}
		}
	}
}

// userNumber returns the number of a system user. The error is the violated rule.
func userNumber(name string) (uint32, error) {
	if runtime.GOOS != "linux" {
		return 0, errors.New("is for Linux, where the kernel says whose connection it is; elsewhere the proxy must be on another machine")
	}
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		return 0, errors.New("must be a user of this machine, or a number")
	}
	n, err := strconv.ParseUint(found.Uid, 10, 32)
	return uint32(n), err
}

// proxyLogin identifies callers by what a trusted proxy says. Nil does not.
type proxyLogin struct {
	config ProxyLoginConfig
	// user and role are the names of the headers as net/http has them.
	user, role string
	proxies    proxies
	origin     *originCheck
	// local are the numbers of the system users of a proxy on this machine.
	local map[uint32]bool
	now   func() time.Time
}

// newProxyLogin returns nil if the configuration has no header.
func newProxyLogin(c ProxyLoginConfig, p proxies, origin *originCheck, now func() time.Time) *proxyLogin {
	if c.UserHeader == "" {
		return nil
	}
	l := &proxyLogin{
		config: c, user: http.CanonicalHeaderKey(c.UserHeader), role: http.CanonicalHeaderKey(c.RoleHeader),
		proxies: p, origin: origin, local: map[uint32]bool{}, now: now,
	}
	for _, name := range c.LocalUsers {
		if n, err := userNumber(name); err == nil {
			l.local[n] = true
		}
	}
	return l
}

// errNotTheProxy is wrapped by errors about a client that only says it is the proxy.
var errNotTheProxy = errors.New("the header is not the proxy's")

// names reports whether a trusted proxy names a user in a request. From any other
// address the header is ignored, as other headers are that mean nothing.
func (l *proxyLogin) names(r *http.Request) bool {
	return l != nil && strings.Join(r.Header[l.user], "") != "" && l.proxies.trust(peerOf(r))
}

// identify returns the caller whom the proxy names. It has already responded if ok is
// false.
//
// The proxy knows the user by a cookie or by what the browser sends by itself, so that
// the same holds as for our cookie: pages of other origins have nothing of it, and what
// makes a change must come from one of ours.
func (l *proxyLogin) identify(w http.ResponseWriter, r *http.Request, caller Caller) (_ Caller, ok bool) {
	if l.origin.isForeign(r) {
		return Caller{Address: caller.Address}, true
	}
	identity, err := l.identity(r)
	if err != nil {
		writeProblem(w, http.StatusForbidden, sentence(err.Error()))
		return caller, false
	}
	known := Caller{Role: identity.Role, Identity: identity, Address: caller.Address, until: l.now().Add(proxyLoginTime)}
	if isUnsafe(r.Method) && !l.origin.isOwn(r) {
		writeProblem(w, http.StatusForbidden, "A request of a user of the proxy that makes changes must come from a page of this server, according to its Origin. Programs: send an API token in the Authorization header.")
		return known, false
	}
	return known, true
}

// identity reads the headers.
func (l *proxyLogin) identity(r *http.Request) (auth.Identity, error) {
	if err := l.isProxy(r.Context()); err != nil {
		return auth.Identity{}, err
	}
	if len(r.Header[l.user]) != 1 {
		return auth.Identity{}, fmt.Errorf("the header %s must be given once; the proxy must replace it, not add it", l.user)
	}
	name := strings.TrimSpace(r.Header[l.user][0])
	if name == "" || len(name) > maxProxyUser || !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return auth.Identity{}, fmt.Errorf("the header %s must be one user, of 1 to %d bytes of printable text", l.user, maxProxyUser)
	}
	role := Viewer
	if l.role != "" {
		if len(r.Header[l.role]) > 1 {
			return auth.Identity{}, fmt.Errorf("the header %s must be given once; the proxy must replace it, not add it", l.role)
		}
		role = l.roleOf(r.Header.Get(l.role))
	} else if len(l.config.Viewers) > 0 {
		role = Public
	}
	return auth.Identity{Kind: auth.KindProxy, ID: "proxy:" + name, Name: name, Role: role}, nil
}

// roleOf is the highest role among those of a header; Public if there is none.
func (l *proxyLogin) roleOf(header string) Role {
	role := Public
	if len(l.config.Viewers) == 0 {
		role = Viewer
	}
	for name := range strings.FieldsFuncSeq(header, func(c rune) bool { return c == ',' || c == '|' }) {
		name = strings.TrimSpace(name)
		switch {
		case slices.Contains(l.config.Admins, name):
			return Admin
		case slices.Contains(l.config.Viewers, name):
			role = Viewer
		}
	}
	return role
}

// isProxy returns an error unless the connection is the proxy's. From another machine its
// address is enough. On this one every user can connect from the same addresses, and the
// kernel says which of them did.
func (l *proxyLogin) isProxy(ctx context.Context) error {
	held, _ := ctx.Value(connKey{}).(*holder)
	if held == nil {
		return fmt.Errorf("%w: its connection is unknown", errNotTheProxy)
	}
	if !isOfThisMachine(held.conn) {
		return nil
	}
	uid, err := held.user()
	if err != nil {
		return fmt.Errorf("%w: the system does not tell whose connection this is", errNotTheProxy)
	}
	if !l.local[uid] {
		return fmt.Errorf("%w: this connection is user %d's, who is not among auth.proxy.local_users", errNotTheProxy, uid)
	}
	return nil
}

// connKey is the context key of the holder of a connection that names users.
type connKey struct{}

// withConn returns a context with the holder of a connection.
func (l *proxyLogin) withConn(ctx context.Context, c net.Conn) context.Context {
	if l == nil {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, &holder{conn: c})
}

// isOfThisMachine reports whether the other end of a connection has an address of this
// machine, or may have one.
func isOfThisMachine(c net.Conn) bool {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return true
	}
	addr := remote.AddrPort().Addr().Unmap().WithZone("")
	if addr.IsLoopback() {
		return true
	}
	own, err := net.InterfaceAddrs()
	return err != nil || slices.ContainsFunc(own, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
}
