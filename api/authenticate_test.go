package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sysotel/agent/auth"
)

// The password of every user in these tests; it must not appear anywhere.
const testPassword = "brown kettles sing on tuesdays"

// authServer is a server that requires a login.
type authServer struct {
	*Server
	t     *testing.T
	auth  *auth.Auth
	log   *bytes.Buffer
	audit *bytes.Buffer
	mu    *sync.Mutex
}

// locked is a buffer for several goroutines.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// newAuthServer returns a server with its own accounts; change may be nil.
func newAuthServer(t *testing.T, change func(*Options)) *authServer {
	t.Helper()
	d := &authServer{t: t, log: new(bytes.Buffer), audit: new(bytes.Buffer), mu: new(sync.Mutex)}
	var err error
	d.auth, err = auth.Open(auth.Options{
		Dir: t.TempDir(), Issuer: "sysotel/test", AccessTTL: 15 * time.Minute, SessionTTL: time.Hour,
		Log: textLogger(locked{d.mu, d.log}),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.auth.Close(); err != nil {
			t.Error(err)
		}
	})
	d.Server = newTestServer(t, ticked(), func(o *Options) {
		o.Auth, o.Authenticate = d.auth, true
		o.Logger = textLogger(locked{d.mu, d.log})
		o.Audit = slog.New(slog.NewJSONHandler(locked{d.mu, d.audit}, nil))
		o.Settings = func() []Setting { return []Setting{{Path: "log.level", Value: "info"}} }
		if change != nil {
			change(o)
		}
	})
	return d
}

// user creates a user and returns the tokens of a login.
func (d *authServer) user(name string, role Role) auth.Grant {
	d.t.Helper()
	if _, err := d.auth.AddUser(d.t.Context(), name, testPassword, role); err != nil {
		d.t.Fatal(err)
	}
	g, err := d.auth.Login(d.t.Context(), name, testPassword)
	if err != nil {
		d.t.Fatal(err)
	}
	return g
}

// token creates an API token.
func (d *authServer) token(name string, role Role) string {
	d.t.Helper()
	secret, _, err := d.auth.NewToken(name, role, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	return secret
}

// localUser is a caller on this machine without a login.
func localUser(uid int) Caller {
	return Caller{Role: Viewer, Local: true, holder: &holder{known: true, uid: uint32(uid)}, Address: "127.0.0.1"}
}

// own is what our own page sends with a session.
func own(g auth.Grant) http.Header {
	return http.Header{"Cookie": {"sysotel-8080=" + g.Access}, "Origin": {"http://localhost:8080"}, "Sec-Fetch-Site": {"same-origin"}}
}

// remote is a caller on another machine.
var remote = Caller{Address: "192.0.2.7"}

// send sends a request with a body, which may be empty, as a caller.
func send(s *Server, caller Caller, method, target, body string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(body))
	r.Host = "localhost:8080"
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		if name == "Host" {
			r.Host = values[0]
			continue
		}
		r.Header[name] = values
	}
	w := httptest.NewRecorder()
	handler := s.tcp.Handler
	if caller.Socket {
		handler = s.unix.Handler
	}
	handler.ServeHTTP(w, r.WithContext(withCaller(r.Context(), caller)))
	return w
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func basic(user, password string) http.Header {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header
}

// TestRouteWalk: every route grants each caller what its Access says and nothing
// else.
func TestRouteWalk(t *testing.T) {
	d := newAuthServer(t, func(o *Options) { o.PromQL = http.NotFoundHandler() })
	off := newAuthServer(t, func(o *Options) {
		o.Authenticate, o.PromQL = false, http.NotFoundHandler()
		o.Config.CORS = []string{"https://home.example"}
	})
	admin, viewer := d.user("ada", Admin), d.user("grace", Viewer)
	root, me, stranger := localUser(0), localUser(os.Geteuid()), localUser(54321)
	callers := []struct {
		name   string
		server *Server
		caller Caller
		header http.Header
		// role and guarded are the roles for unguarded and guarded operations.
		role, guarded Role
		refused       int
	}{
		{"nobody", d.Server, remote, nil, Public, Public, 401},
		{"nobody on loopback", d.Server, Caller{Address: "127.0.0.1"}, nil, Public, Public, 401},
		{"a viewer", d.Server, remote, bearer(viewer.Access), Viewer, Viewer, 403},
		{"an admin", d.Server, remote, bearer(admin.Access), Admin, Admin, 403},
		{"a viewer's token", d.Server, remote, bearer(d.token("v", Viewer)), Viewer, Viewer, 403},
		{"an admin's token as a password", d.Server, remote, basic("x", d.token("a", Admin)), Admin, Admin, 403},
		{"the socket", d.Server, Caller{Role: Admin, Socket: true}, nil, Admin, Admin, 403},
		{"the socket where nobody need log in", off.Server, Caller{Role: Admin, Socket: true}, nil, Admin, Admin, 403},
		{"root on the machine", off.Server, root, nil, Admin, Viewer, 403},
		{"the agent's user on the machine", off.Server, me, nil, Admin, Viewer, 403},
		{"somebody on the machine", off.Server, stranger, nil, Viewer, Viewer, 403},
		{"somebody unknown on the machine", off.Server, Caller{Role: Viewer, Local: true}, nil, Viewer, Viewer, 403},
		{"root's proxy", off.Server, root, http.Header{"X-Forwarded-For": {"192.0.2.7"}}, Viewer, Viewer, 403},
		{"root's other proxy", off.Server, root, http.Header{"Via": {"1.1 proxy"}}, Viewer, Viewer, 403},
		{"root's third proxy", off.Server, root, http.Header{"Forwarded": {"for=192.0.2.7"}}, Viewer, Viewer, 403},
		{"a page of root's browser on another site", off.Server, root, http.Header{"Origin": {"https://home.example"}}, Viewer, Viewer, 403},
		{"a page of root's browser", off.Server, root, http.Header{"Origin": {"http://localhost:8080"}, "Sec-Fetch-Site": {"same-origin"}}, Admin, Viewer, 403},
		{"somebody on the machine with an admin's token", off.Server, stranger, bearer(off.token("a", Admin)), Admin, Admin, 403},
		{"somebody on the machine with an admin's cookie", off.Server, stranger, own(off.user("ada", Admin)), Admin, Admin, 403},
		{"somebody on the machine with a viewer's token", off.Server, stranger, bearer(off.token("v", Viewer)), Viewer, Viewer, 403},
		{"root with a viewer's token", off.Server, root, bearer(off.token("w", Viewer)), Viewer, Viewer, 403},
		{"nobody where nobody need log in", off.Server, remote, nil, Public, Public, 403},
	}
	path := strings.NewReplacer("{id}", "none", "{path...}", "query", "{$}", "")
	for _, c := range callers {
		for _, route := range c.server.Routes() {
			if route.Path == authPath+"/logout" && (strings.HasPrefix(c.name, "a") || strings.Contains(c.name, "cookie")) {
				continue // It would end the session; see TestLogOut.
			}
			role := c.role
			if route.Access.Guarded {
				role = c.guarded
			}
			w := send(c.server, c.caller, route.Method, path.Replace(route.Path), "", c.header)
			if want := role >= route.Access.Role; want == (w.Code == 401 || w.Code == 403) {
				t.Errorf("%s: %s %s: %d, and the Access is %+v", c.name, route.Method, route.Path, w.Code, route.Access)
			} else if !want && w.Code != c.refused {
				t.Errorf("%s: %s %s: %d, want %d", c.name, route.Method, route.Path, w.Code, c.refused)
			}
			if w.Code == 401 && (len(w.Header().Values("WWW-Authenticate")) != 2 || w.Header().Get("Content-Type") != problemType) {
				t.Errorf("%s: %s %s: 401 with %v", c.name, route.Method, route.Path, w.Header())
			}
		}
	}
}

// TestBeforeSetup: without an administrator every response only explains how to create one.
func TestBeforeSetup(t *testing.T) {
	d := newAuthServer(t, nil)
	if _, err := d.auth.AddUser(t.Context(), "grace", testPassword, Viewer); err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{"POST /api/v1/auth/setup": true, "GET /setup": true, "GET /api/v1/health": true}
	for _, root := range []string{"", prometheusPath} {
		open["GET "+root+"/-/healthy"], open["GET "+root+"/-/ready"] = true, true
	}
	path := strings.NewReplacer("{id}", "none", "{path...}", "query", "{$}", "")
	for _, route := range d.Routes() {
		w := send(d.Server, remote, route.Method, path.Replace(route.Path), "", nil)
		way := route.Method + " " + route.Path
		if allowed := open[way] || strings.HasPrefix(route.Path, loginAssetPath); allowed != (w.Code != 401) {
			t.Errorf("%s: %d before there is an administrator", way, w.Code)
		}
		if w.Code == 401 {
			if detail, _ := problemOf(t, w, 401); !strings.Contains(detail, "setup link") || !strings.Contains(detail, "sysotel user add") {
				t.Errorf("%s: %q does not say how to set up", way, detail)
			}
		}
	}
	if w := send(d.Server, remote, "GET", "/nothing", "", nil); w.Code != 401 {
		t.Errorf("a path that is not there: %d", w.Code)
	}
	if w := send(d.Server, remote, "GET", "/api/v1/health", "", nil); strings.TrimSpace(w.Body.String()) != `{"status":"ok"}` {
		t.Errorf("health says %s", w.Body)
	}
	page := send(d.Server, remote, "GET", "/", "", http.Header{"Accept": {"text/html"}})
	if page.Code != 401 || !strings.Contains(page.Body.String(), "Create the first administrator") || page.Header().Get("Content-Security-Policy") != loginPagePolicy {
		t.Errorf("a browser gets %d %v", page.Code, page.Header())
	}
	if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", bearer(d.token("probe", Viewer))); w.Code != 200 {
		t.Errorf("an API token gets %d", w.Code)
	}
	if w := send(d.Server, Caller{Role: Admin, Socket: true}, "GET", "/api/v1/users", "", nil); w.Code != 200 {
		t.Errorf("the socket gets %d", w.Code)
	}
}

// TestWrongCredentials: wrong credentials are rejected on public routes too, without
// details.
func TestWrongCredentials(t *testing.T) {
	d := newAuthServer(t, nil)
	admin := d.user("ada", Admin)
	secret := d.token("probe", Viewer)
	for _, header := range []http.Header{
		bearer(""), bearer("x"), bearer(secret + "x"), bearer(admin.Access + "x"), bearer(admin.Refresh),
		basic("ada", testPassword), basic("", ""), basic("x", secret[:len(secret)-1]),
		{"Authorization": {"Digest x"}},
		{"Authorization": {""}},
		{"Authorization": {"Bearer"}},
		{"Authorization": {"Bearer " + secret, "Bearer " + secret}},
	} {
		for _, path := range []string{"/api/v1/metrics/current", "/api/v1/health", "/docs", "/nothing"} {
			w := send(d.Server, remote, "GET", path, "", header)
			problemOf(t, w, 401)
			if challenge := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(challenge, "Bearer ") || !strings.Contains(challenge, "invalid_token") {
				t.Errorf("%v: WWW-Authenticate %q", header, challenge)
			}
			if strings.Contains(w.Body.String(), secret[:12]) {
				t.Errorf("%v: the answer says %s", header, w.Body)
			}
		}
	}
	// HTTP basic is not offered to browsers, which would show their own dialog.
	w := send(d.Server, remote, "GET", "/metrics", "", http.Header{"Sec-Fetch-Mode": {"cors"}})
	if got := w.Header().Values("WWW-Authenticate"); len(got) != 1 || strings.Contains(got[0], "Basic") {
		t.Errorf("a browser is offered %v", got)
	}
	for _, header := range []http.Header{bearer(secret), bearer(admin.Access), basic("anyone", secret), {"Authorization": {"bearer " + secret}}} {
		if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", header); w.Code != 200 {
			t.Errorf("%v: %d %s", header, w.Code, w.Body)
		}
	}
}

// TestCredentialsOfAProxy: what a browser or a client sends for a proxy on the way costs
// nothing where nobody must log in, and nothing beside a session; it gives nothing either.
func TestCredentialsOfAProxy(t *testing.T) {
	d := newAuthServer(t, nil)
	admin := d.user("ada", Admin)
	root := localUser(0)
	foreign := []string{"Basic " + base64.StdEncoding.EncodeToString([]byte("ada:of the proxy")), "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJzc28ifQ.", "Bearer opaque", "Negotiate abc", "Digest x"}
	for _, credential := range foreign {
		header := http.Header{"Authorization": {credential}}
		for _, path := range []string{"/", "/api/v1/metrics/current", "/metrics", "/api/v1/health"} {
			if w := send(d.Server, root, "GET", path, "", header); w.Code == 401 || w.Code == 403 {
				t.Errorf("%s with %s: %d %s", path, credential, w.Code, w.Body)
			}
		}
		if w := send(d.Server, root, "GET", "/api/v1/users", "", header); w.Code != 401 && w.Code != 403 {
			t.Errorf("root through a proxy with %s lists the users: %d", credential, w.Code)
		}
		if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", header); w.Code != 401 {
			t.Errorf("somebody elsewhere with %s: %d", credential, w.Code)
		}
		session := own(admin)
		session["Authorization"] = header["Authorization"]
		for _, caller := range []Caller{root, remote} {
			if w := send(d.Server, caller, "GET", "/api/v1/users", "", session); w.Code != 200 {
				t.Errorf("a session beside %s: %d %s", credential, w.Code, w.Body)
			}
		}
	}
	for _, token := range []string{d.token("probe", Viewer) + "x", "sysotel_x", admin.Access + "x", admin.Refresh, ""} {
		if w := send(d.Server, root, "GET", "/api/v1/metrics/current", "", bearer(token)); w.Code != 401 {
			t.Errorf("a wrong token of ours gets %d", w.Code)
		}
	}
}

// TestCommandLinesRequireALogin: being on the machine is not enough to see them.
func TestCommandLinesRequireALogin(t *testing.T) {
	for _, c := range []struct {
		caller Caller
		want   bool
	}{
		{localUser(0), false},
		{Caller{Role: Admin, Socket: true}, true},
		{Caller{Role: Admin, Identity: auth.Identity{Kind: auth.KindUser}}, true},
		{Caller{Role: Viewer, Identity: auth.Identity{Kind: auth.KindUser}}, false},
		{Caller{}, false},
	} {
		if c.caller.seesCommandLines() != c.want {
			t.Errorf("%+v sees command lines: %t", c.caller, !c.want)
		}
	}
}

// TestForeignPages: a page of http.cors may use a token, never a cookie, and is
// not the user of the machine.
func TestForeignPages(t *testing.T) {
	cors := func(o *Options) { o.Config.CORS = []string{"https://home.example"} }
	d := newAuthServer(t, cors)
	g := d.user("ada", Admin)
	foreign := func(h http.Header) http.Header {
		h.Set("Origin", "https://home.example")
		return h
	}
	session := http.Header{"Cookie": {"sysotel-8080=" + g.Access}}
	if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", session.Clone()); w.Code != 200 {
		t.Fatalf("our own page gets %d", w.Code)
	}
	w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", foreign(session.Clone()))
	if w.Code != 401 || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("with a cookie: %d %v", w.Code, w.Header())
	}
	if w := send(d.Server, remote, "POST", "/api/v1/tokens", `{"name":"x"}`, foreign(bearer(g.Access))); w.Code != 200 {
		t.Errorf("with a token: %d %s", w.Code, w.Body)
	}
	off := newAuthServer(t, func(o *Options) { cors(o); o.Authenticate = false })
	local := localUser(0)
	if w := send(off.Server, local, "GET", "/api/v1/config", "", nil); w.Code != 200 {
		t.Errorf("the person at the machine gets %d", w.Code)
	}
	if w := send(off.Server, local, "GET", "/api/v1/config", "", foreign(http.Header{})); w.Code != 403 {
		t.Errorf("another page on the machine gets %d", w.Code)
	}
}

// TestForgedCookies: requests with a cookie may make changes only from our pages.
func TestForgedCookies(t *testing.T) {
	d := newAuthServer(t, nil)
	g := d.user("ada", Admin)
	for _, c := range []struct {
		header http.Header
		want   int
	}{
		{http.Header{"Origin": {"http://localhost:8080"}}, 200},
		{http.Header{"Sec-Fetch-Site": {"same-origin"}}, 200},
		{http.Header{}, 403},
		{http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{http.Header{"Sec-Fetch-Site": {"none"}}, 403},
		{http.Header{"Origin": {"http://localhost:3000"}}, 403},
		{http.Header{"Origin": {"null"}}, 403},
		{http.Header{"Origin": {"http://evil.example"}, "Sec-Fetch-Site": {"same-origin"}}, 403},
		{http.Header{"Origin": {"http://evil.example"}, "Host": {"evil.example"}}, 403},
	} {
		c.header["Cookie"] = []string{"sysotel-8080=" + g.Access}
		w := send(d.Server, remote, "POST", "/api/v1/tokens", `{"name":"one"}`, c.header)
		if w.Code == 409 { // An earlier case has used the name: this one was accepted too.
			w.Code = 200
		}
		if w.Code != c.want {
			t.Errorf("%v: %d, want %d: %s", c.header, w.Code, c.want, w.Body)
		}
	}
	if n := len(d.auth.Tokens()); n != 1 {
		t.Errorf("%d tokens were made, want the one of our own page", n)
	}
	// A login that sets cookies must come from our own pages too (login CSRF).
	body := `{"name":"ada","password":"` + testPassword + `","cookie":true}`
	if w := send(d.Server, remote, "POST", authPath+"/login", body, nil); w.Code != 403 || len(w.Header().Values("Set-Cookie")) > 0 {
		t.Errorf("a log-in without an Origin: %d %v", w.Code, w.Header())
	}
}

// TestHostsWithAuthentication: an address cannot be rebound, a name can.
func TestHostsWithAuthentication(t *testing.T) {
	d := newAuthServer(t, func(o *Options) { o.Hostname = "box.example" })
	token := bearer(d.token("probe", Viewer))
	for host, want := range map[string]int{
		"10.0.0.1:8080": 200, "[2001:db8::1]:8080": 200, "box.example": 200, "BOX.example:8080": 200, "localhost": 200,
		"0.0.0.0:8080": 403, "[::]:8080": 403, "evil.example": 403, "10.0.0.1.nip.io": 403, "box.example.evil": 403, "box": 403,
	} {
		token["Host"] = []string{host}
		if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", token); w.Code != want {
			t.Errorf("Host %s: %d, want %d", host, w.Code, want)
		}
	}
	off := newTestServer(t, ticked(), func(o *Options) { o.Hostname = "box.example" })
	if w := ask(off, "GET", "/api/v1/metrics/current", http.Header{"Host": {"box.example"}}); w.Code != 403 {
		t.Errorf("a name that the network gave is taken where nobody logs in: %d", w.Code)
	}
}

// TestAStreamEndsWithItsSession: a stream must not outlive its session.
func TestAStreamEndsWithItsSession(t *testing.T) {
	machine := ticked()
	d := newAuthServer(t, func(o *Options) { o.Machine = machine })
	g := d.user("ada", Admin)
	client := streamClient(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, run(t, d.Server)+"/api/v1/metrics/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = bearer(g.Access)
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() && lines.Text() != "event: reading" {
		continue
	}
	if response.StatusCode != 200 || lines.Text() != "event: reading" {
		t.Fatalf("%s, and no reading", response.Status)
	}
	if err := d.auth.Logout(g.Identity.Session); err != nil {
		t.Fatal(err)
	}
	machine.tick()
	for lines.Scan() {
		if lines.Text() == "event: reading" {
			t.Error("another reading came after the log-out")
		}
	}
}
