package api

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fakeConn is a connection between two addresses.
type fakeConn struct {
	net.Conn
	local, remote net.TCPAddr
}

func (c *fakeConn) LocalAddr() net.Addr  { return &c.local }
func (c *fakeConn) RemoteAddr() net.Addr { return &c.remote }

// behindSSO is a server behind a proxy at 192.0.2.5 that names users.
func behindSSO(o *Options) {
	o.Config.ExternalURL = "https://host.example/sysotel"
	o.Config.TrustedProxies = []string{"192.0.2.5", "198.51.100.0/24"}
	o.ProxyLogin = ProxyLoginConfig{UserHeader: "remote-user", RoleHeader: "Remote-Groups", Admins: []string{"admins"}, Viewers: []string{"staff"}}
}

// through sends a request from a peer, with headers in pairs.
func (d *authServer) through(peer, method, path string, headers ...string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, path, nil)
	r.Host, r.RemoteAddr = "host.example", net.JoinHostPort(peer, "40000")
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	conn := &fakeConn{local: net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 8080}, remote: net.TCPAddr{IP: net.ParseIP(peer), Port: 40000}}
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r.WithContext(d.tcp.ConnContext(r.Context(), conn)))
	return w
}

const mePath = authPath + "/me"

func TestWhomTheProxyNames(t *testing.T) {
	s := newAuthServer(t, behindSSO)
	grant := s.user("ada", Admin)
	for _, c := range []struct {
		name   string
		header []string
		want   int
		text   string
	}{
		{"an administrator", []string{"Remote-User", "eve", "Remote-Groups", "staff,admins"}, 200, `"kind":"proxy","id":"proxy:eve","name":"eve","role":"admin"`},
		{"with |", []string{"Remote-User", "eve", "Remote-Groups", "x|admins"}, 200, `"role":"admin"`},
		{"a viewer", []string{"Remote-User", "eve@host.example", "Remote-Groups", " staff , x"}, 200, `"name":"eve@host.example","role":"viewer"`},
		{"another case", []string{"Remote-User", "eve", "Remote-Groups", "Admins,STAFF"}, 403, "none of the groups"},
		{"no group", []string{"Remote-User", "eve", "Remote-Groups", "x"}, 403, "none of the groups"},
		{"no header of groups", []string{"Remote-User", "eve"}, 403, "none of the groups"},
		{"nobody", []string{"Remote-Groups", "admins"}, 401, "log in"},
		{"an empty name", []string{"Remote-User", "", "Remote-Groups", "admins"}, 401, "log in"},
		{"two names", []string{"Remote-User", "eve", "Remote-User", "root", "Remote-Groups", "admins"}, 403, "given once"},
		{"two lines of groups", []string{"Remote-User", "eve", "Remote-Groups", "staff", "Remote-Groups", "admins"}, 403, "given once"},
		{"spaces", []string{"Remote-User", "  ", "Remote-Groups", "admins"}, 403, "printable"},
		{"a control character", []string{"Remote-User", "eve\x1b[2J", "Remote-Groups", "admins"}, 403, "printable"},
		{"no UTF-8", []string{"Remote-User", "\xff", "Remote-Groups", "admins"}, 403, "printable"},
		{"too long", []string{"Remote-User", strings.Repeat("e", maxProxyUser+1), "Remote-Groups", "admins"}, 403, "254"},
		{"an API token too", []string{"Remote-User", "eve", "Remote-Groups", "staff", "Authorization", "Bearer " + grant.Access}, 200, `"name":"ada"`},
		{"a wrong token of ours", []string{"Remote-User", "eve", "Remote-Groups", "staff", "Authorization", "Bearer " + grant.Access + "x"}, 401, ""},
		{"credentials for the proxy", []string{"Remote-User", "eve", "Remote-Groups", "staff", "Authorization", "Basic ZXZlOnB3"}, 200, `"name":"eve"`},
		{"a cookie too", []string{"Remote-User", "eve", "Remote-Groups", "staff", "Cookie", "__Secure-sysotel=" + grant.Access}, 200, `"name":"eve"`},
		{"another page", []string{"Remote-User", "eve", "Remote-Groups", "staff", "Origin", "https://evil.example"}, 403, "http.cors"},
	} {
		w := s.through("192.0.2.5", http.MethodGet, mePath, c.header...)
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.text) {
			t.Errorf("%s: %d %s, want %d with %s", c.name, w.Code, w.Body, c.want, c.text)
		}
	}
	// A change must come from a page of ours, as with a cookie.
	as := []string{"Remote-User", "eve", "Remote-Groups", "admins"}
	if w := s.through("192.0.2.5", http.MethodPost, "/api/v1/tokens", as...); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Origin") {
		t.Errorf("a change without an Origin: %d %s", w.Code, w.Body)
	}
	if w := s.through("192.0.2.5", http.MethodPost, authPath+"/logout", append(as, "Origin", "https://host.example")...); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "log out there") {
		t.Errorf("log out: %d %s", w.Code, w.Body)
	}
	if audit := s.audit.String(); !strings.Contains(audit, `"kind":"proxy","name":"eve"`) {
		t.Errorf("the audit log has nobody of the proxy: %s", audit)
	}
}

// A page whose scripts may call has no part in what the proxy says of its visitor.
func TestProxyLoginOfOtherPages(t *testing.T) {
	s := newAuthServer(t, func(o *Options) {
		behindSSO(o)
		o.Config.CORS = []string{"https://home.example"}
	})
	s.user("ada", Admin)
	w := s.through("192.0.2.5", http.MethodGet, mePath, "Remote-User", "eve", "Remote-Groups", "admins", "Origin", "https://home.example")
	if w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestProxyLoginFromElsewhere(t *testing.T) {
	s := newAuthServer(t, behindSSO)
	s.user("ada", Admin)
	as := []string{"Remote-User", "ada", "Remote-Groups", "admins", "X-Forwarded-For", "192.0.2.5"}
	for _, peer := range []string{"192.0.2.6", "203.0.113.9", "2001:db8::1", "192.0.2.50"} {
		if w := s.through(peer, http.MethodGet, mePath, as...); w.Code != http.StatusUnauthorized {
			t.Errorf("from %s: %d %s", peer, w.Code, w.Body)
		}
	}
	if w := s.through("198.51.100.77", http.MethodGet, mePath, as...); w.Code != http.StatusOK {
		t.Errorf("from a trusted network: %d %s", w.Code, w.Body)
	}
	// The client of the proxy is whom its X-Forwarded-For names; the user is a client of its own.
	if w := s.through("192.0.2.5", http.MethodPost, authPath+"/password", "Remote-User", "eve", "Remote-Groups", "staff", "X-Forwarded-For", "203.0.113.77"); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if audit := s.audit.String(); !strings.Contains(audit, `"client":"203.0.113.77"`) {
		t.Errorf("the audit log does not name the client: %s", audit)
	}
	// Without the option the headers mean nothing.
	off := newAuthServer(t, func(o *Options) {
		behindSSO(o)
		o.ProxyLogin = ProxyLoginConfig{}
	})
	off.user("ada", Admin)
	if w := off.through("192.0.2.5", http.MethodGet, mePath, as...); w.Code != http.StatusUnauthorized {
		t.Errorf("switched off: %d %s", w.Code, w.Body)
	}
}

// On this machine everybody connects from the addresses of the proxy.
func TestProxyLoginOnThisMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says whose connection it is")
	}
	ask := func(users ...string) (int, string) {
		s := newAuthServer(t, func(o *Options) {
			behindSSO(o)
			o.Config.ExternalURL = ""
			o.Config.TrustedProxies = loopbackNetworks
			o.ProxyLogin.LocalUsers = users
		})
		s.user("ada", Admin)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, run(t, s.Server)+mePath, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Remote-User": {"ada"}, "Remote-Groups": {"admins"}}
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		response, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var body bytes.Buffer
		_, _ = body.ReadFrom(response.Body)
		return response.StatusCode, body.String()
	}
	own := strconv.Itoa(os.Getuid())
	if code, body := ask(own); code != http.StatusOK || !strings.Contains(body, `"kind":"proxy"`) {
		t.Errorf("as the proxy: %d %s", code, body)
	}
	if code, body := ask(strconv.Itoa(os.Getuid() + 1)); code != http.StatusForbidden || !strings.Contains(body, "this connection is user "+own) {
		t.Errorf("as another user: %d %s", code, body)
	}
	if code, body := ask(); code != http.StatusForbidden {
		t.Errorf("without local_users: %d %s", code, body)
	}
}

// The proxy says again who it is when the next stream begins.
func TestStreamsOfTheProxyEnd(t *testing.T) {
	now := exampleTime
	s := newAuthServer(t, func(o *Options) {
		behindSSO(o)
		o.Now = func() time.Time { return now }
	})
	r := requestFrom("192.0.2.5:1")
	r.Header = http.Header{"Remote-User": {"eve"}, "Remote-Groups": {"staff"}}
	conn := &fakeConn{local: net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, remote: net.TCPAddr{IP: net.IPv4(192, 0, 2, 5)}}
	r = r.WithContext(s.proxyLogin.withConn(context.Background(), conn))
	caller, ok := s.proxyLogin.identify(httptest.NewRecorder(), r, Caller{})
	if !ok || !s.isStill(caller) {
		t.Fatal(caller)
	}
	now = now.Add(proxyLoginTime)
	if s.isStill(caller) {
		t.Error("it lasts for ever")
	}
}

// Before there is an account the users of the proxy are let in.
func TestProxyLoginBeforeSetup(t *testing.T) {
	s := newAuthServer(t, behindSSO)
	if w := s.through("192.0.2.5", http.MethodGet, mePath, "Remote-User", "eve", "Remote-Groups", "admins"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.through("192.0.2.5", http.MethodGet, mePath); w.Code != http.StatusUnauthorized {
		t.Errorf("nobody: %d %s", w.Code, w.Body)
	}
}

func TestProxyLoginIsChecked(t *testing.T) {
	good := func() Config {
		c := Defaults()
		c.HTTP.TrustedProxies = []string{"10.0.0.5"}
		c.Auth.Proxy = ProxyLoginConfig{UserHeader: "Remote-User", RoleHeader: "Remote-Groups", Admins: []string{"a b"}}
		return c
	}
	for want, change := range map[string]func(*Config){
		"":                              func(*Config) {},
		"requires http.trusted_proxies": func(c *Config) { c.HTTP.TrustedProxies, c.HTTP.BehindProxy = nil, true },
		"requires auth.proxy.user":      func(c *Config) { c.Auth.Proxy.UserHeader = "" },
		"must not be auth.proxy.user":   func(c *Config) { c.Auth.Proxy.RoleHeader = "remote-user" },
		"auth.proxy.user_header must be the name of a header": func(c *Config) { c.Auth.Proxy.UserHeader = "Remote_User" },
		"auth.proxy.user_header must not be a header":         func(c *Config) { c.Auth.Proxy.UserHeader = "authorization" },
		"auth.proxy.role_header must not be a header":         func(c *Config) { c.Auth.Proxy.RoleHeader = "X-Forwarded-For" },
		"auth.proxy.admins[0]":                                func(c *Config) { c.Auth.Proxy.Admins = []string{"a,b"} },
		"auth.proxy.viewers[1]":                               func(c *Config) { c.Auth.Proxy.Viewers = []string{"a", ""} },
		"auth.proxy.local_users must name":                    func(c *Config) { c.HTTP.TrustedProxies = []string{"127.0.0.1"} },
		"auth.proxy.local_users must name the":                func(c *Config) { c.HTTP.TrustedProxies = []string{"10.0.0.5", "::1"} },
		"auth.proxy.local_users[1]":                           func(c *Config) { c.Auth.Proxy.LocalUsers = []string{"0", "no such user"} },
	} {
		c, found := good(), ""
		change(&c)
		c.Validate(func(path string, _ any, rule string) { found += path + " " + rule + "\n" })
		if (want == "") != (found == "") || !strings.Contains(found, want) {
			t.Errorf("%q, want %q", found, want)
		}
	}
	if c := good(); !c.Authenticates() {
		t.Error("nobody need log in")
	}
}
