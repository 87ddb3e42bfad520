//go:build linux

package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"sysotel/agent/auth"
)

// attackLength is how long the attack goes on, 0 for a part of it once.
func attackLength(tb testing.TB) time.Duration {
	tb.Helper()
	if os.Getenv("SYSOTEL_TEST_SOAK") == "" {
		return 0
	}
	return soakLength(tb)
}

// TestSoakAttack sends every operation of the OpenAPI document, in every form that a
// request can have, from every kind of caller. Nothing but what the caller may do
// succeeds, nothing changes that outlives a request, no page of another site gets a
// number, and no request breaks the agent. A new operation takes part by itself.
func TestSoakAttack(t *testing.T) {
	a := run(t, configure(t, "--rate-limit.enabled=false", "--rate-limit.logins=100", "--auth.mode=auto"))
	a.ticks(2)
	attack := newAttack(t, a)
	callers := attack.callers()
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	deadline := time.Now().Add(attackLength(t))
	for round := 0; round == 0 || time.Now().Before(deadline) && !t.Failed(); round++ {
		share := 0.03 // Of all forms, in make test.
		if attackLength(t) > 0 {
			share = 1
		}
		for _, c := range callers {
			before := attack.state()
			attack.run(c, random, share)
			if after := attack.state(); !c.mayChange && after != before {
				t.Fatalf("%s changed something:\n%s\nbefore:\n%s", c.name, after, before)
			}
		}
		attack.raw(random)
	}
	a.tick() // It still measures.
	if log := a.journal.String(); strings.Contains(log, `"panic"`) || strings.Contains(log, "operation failed") {
		t.Errorf("requests broke something, see the log")
	}
	t.Logf("%d requests; by status %v", attack.sent, attack.statuses)
}

// attack is an attacked agent with the operations of its document.
type attack struct {
	*agent
	t          *testing.T
	address    string
	operations []attackedOperation
	schemas    map[string]any

	mu       sync.Mutex
	sent     int
	statuses map[int]int
}

// attackedOperation is an operation of the document.
type attackedOperation struct {
	method, path, id, role string
	guarded, stream        bool
	body                   []byte // An example, nil for none.
	fields                 []string
}

// assailant is a kind of caller.
type assailant struct {
	name, address string
	header        http.Header
	host          string
	role          auth.Role
	guarded       bool // Whether guarded operations are for it.
	foreign       bool // Whether it is a page of another site.
	mayChange     bool
	mayRead       bool // What an administrator may read, without changing anything.
}

func newAttack(t *testing.T, a *agent) *attack {
	t.Helper()
	k := &attack{agent: a, t: t, address: a.Addr().String(), statuses: map[int]int{}}
	var document struct {
		Paths      map[string]map[string]map[string]any
		Components struct{ Schemas map[string]any }
	}
	decode(t, get(t, a.socket, "/openapi.json"), &document)
	k.schemas = document.Components.Schemas
	for path, item := range document.Paths {
		for method, op := range item {
			o := attackedOperation{method: strings.ToUpper(method), path: path}
			o.id, _ = op["operationId"].(string)
			o.role, _ = op["x-sysotel-role"].(string)
			o.guarded, _ = op["x-sysotel-guarded"].(bool)
			o.stream = op["x-sysotel-cost"] == "stream"
			if body, ok := op["requestBody"].(map[string]any); ok {
				schema := dig(body, "content", "application/json", "schema")
				o.body, _ = json.Marshal(k.example(schema))
				properties, _ := k.resolve(schema)["properties"].(map[string]any)
				o.fields = slices.Sorted(maps.Keys(properties))
			}
			k.operations = append(k.operations, o)
		}
	}
	// What is not in the document, and not a page that a link may open.
	for _, path := range []string{"/metrics", "/openapi.json", "/openapi.yaml", "/docs/style.css"} {
		k.operations = append(k.operations, attackedOperation{method: http.MethodGet, path: path, id: path, role: "public"})
	}
	for _, path := range []string{"query", "query_range", "series", "labels", "label/up/values", "rules", "alerts", "metadata", "status/buildinfo", "status/runtimeinfo", "status/tsdb", "status/tsdb/blocks", "parse_query", "query_exemplars", "features", "targets", "admin/tsdb/snapshot", "write", "nothing"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			o := attackedOperation{method: method, path: "/prometheus/api/v1/" + path, id: path, role: "viewer"}
			k.operations = append(k.operations, o)
		}
	}
	for _, path := range []string{"status/config", "status/flags"} {
		k.operations = append(k.operations, attackedOperation{method: http.MethodGet, path: "/prometheus/api/v1/" + path, id: path, role: "admin"})
	}
	slices.SortFunc(k.operations, func(x, y attackedOperation) int {
		return cmp.Or(cmp.Compare(x.path, y.path), cmp.Compare(x.method, y.method))
	})
	if len(k.operations) < 30 {
		t.Fatalf("the document has %d operations", len(k.operations))
	}
	return k
}

// dig returns a value inside of maps, nil if it is not there.
func dig(v any, path ...string) any {
	for _, key := range path {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	return v
}

// resolve returns a schema without its reference.
func (k *attack) resolve(schema any) map[string]any {
	m, _ := schema.(map[string]any)
	if ref, ok := m["$ref"].(string); ok {
		m, _ = k.schemas[ref[strings.LastIndexByte(ref, '/')+1:]].(map[string]any)
	}
	return m
}

// example makes a value of a schema: its example, or the simplest that is required.
func (k *attack) example(schema any) any {
	s := k.resolve(schema)
	if examples, ok := s["examples"].([]any); ok && len(examples) > 0 {
		return examples[0]
	}
	if enum, ok := s["enum"].([]any); ok && len(enum) > 0 {
		return enum[0]
	}
	kind, _ := s["type"].(string)
	if kinds, ok := s["type"].([]any); ok && len(kinds) > 0 {
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "object":
		object := map[string]any{}
		properties, _ := s["properties"].(map[string]any)
		required, _ := s["required"].([]any)
		for name, property := range properties {
			if _, ok := k.resolve(property)["examples"]; ok || slices.Contains(required, any(name)) {
				object[name] = k.example(property)
			}
		}
		return object
	case "array":
		return []any{k.example(s["items"])}
	case "integer", "number":
		return 1
	case "boolean":
		return true
	}
	return "x"
}

// callers are all kinds of callers.
func (k *attack) callers() []assailant {
	accounts := k.accounts.auth
	const password = "a sentence nobody guesses"
	session := func(name string, role auth.Role) auth.Grant {
		if _, err := accounts.AddUser(k.t.Context(), name, password, role); err != nil {
			k.t.Fatal(err)
		}
		g, err := accounts.Login(k.t.Context(), name, password)
		if err != nil {
			k.t.Fatal(err)
		}
		return g
	}
	token := func(name string, role auth.Role, ttl time.Duration) string {
		secret, _, err := accounts.NewToken(name, role, ttl)
		if err != nil {
			k.t.Fatal(err)
		}
		return secret
	}
	_, port, _ := net.SplitHostPort(k.address)
	cookies := func(g auth.Grant, more ...string) http.Header {
		h := http.Header{"Cookie": {"sysotel-" + port + "=" + g.Access + "; sysotel-refresh-" + port + "=" + g.Refresh}}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	viewer, admin := session("viewer", auth.Viewer), session("admin", auth.Admin)
	parts := strings.Split(admin.Access, ".")
	expired := token("expired", auth.Admin, time.Second)
	ownOrigin := "http://" + k.address
	all := []assailant{
		{name: "root's proxy", header: http.Header{"X-Forwarded-For": {"192.0.2.7"}}, role: auth.Viewer},
		{name: "root's other proxy", header: http.Header{"Forwarded": {"for=192.0.2.7"}}, role: auth.Viewer},
		{name: "a viewer's cookie", header: cookies(viewer, "Origin", ownOrigin, "Sec-Fetch-Site", "same-origin"), role: auth.Viewer},
		{name: "a viewer's cookie without a page", header: cookies(viewer), role: auth.Viewer},
		{name: "a viewer's token", header: bearer(token("viewer", auth.Viewer, 0)), role: auth.Viewer},
		{name: "a forged token", header: bearer(parts[0] + "." + parts[1] + "." + strings.Repeat("A", 43))},
		{name: "a token without a signature", header: bearer("eyJhbGciOiJub25lIn0." + parts[1] + ".")},
		{name: "a refresh token", header: bearer(admin.Refresh)},
		{name: "a broken header", header: http.Header{"Authorization": {"Bearer"}}},
		{name: "an administrator's password", header: http.Header{"Authorization": {"Basic YWRtaW46YSBzZW50ZW5jZSBub2JvZHkgZ3Vlc3Nlcw=="}}, role: auth.Viewer},
		{name: "another server's token", header: bearer("opaque"), role: auth.Viewer},
		{name: "another Host", host: "evil.example", foreign: true},
		{name: "a host whose name begins like ours", host: "127.0.0.1.evil.example", foreign: true},
		{name: "another Origin", header: http.Header{"Origin": {"http://evil.example"}}, foreign: true},
		{name: "no Origin", header: http.Header{"Origin": {"null"}}, foreign: true},
		{name: "another port", header: http.Header{"Origin": {"http://127.0.0.1:3000"}, "Sec-Fetch-Site": {"same-site"}}, foreign: true},
		{name: "an image", header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}, foreign: true},
		{name: "a frame", header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, foreign: true},
		{name: "a link", header: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Accept": {"text/html"}}, foreign: true},
		{name: "an old browser", header: http.Header{"Referer": {"http://evil.example/"}, "Accept": {"text/html"}}, foreign: true},
		{name: "a page with an administrator's cookie", header: cookies(admin, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"), foreign: true},
		{name: "an administrator's cookie without a page", header: cookies(admin), role: auth.Viewer, mayRead: true},
		{name: "an administrator's token", header: bearer(token("admin", auth.Admin, 0)), role: auth.Admin, guarded: true, mayChange: true},
		{name: "the agent's own user", role: auth.Admin, mayChange: true},
	}
	if os.Geteuid() == 0 {
		stranger := spawn(k.t, "stranger", "stranger", nil, "54321", k.address)
		stranger.send("address")
		var address string
		stranger.answer(&address)
		all = append([]assailant{
			{name: "another user of the machine", address: address, role: auth.Viewer},
			{name: "another user's page", address: address, header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://127.0.0.1"}}, host: "127.0.0.1", role: auth.Viewer},
		}, all...)
	} else {
		k.t.Log("NOT RUN for another user of the machine: only root can become one")
	}
	for await := time.NewTicker(50 * time.Millisecond); ; <-await.C { // The token expires by the clock.
		if _, err := accounts.Verify(expired); err != nil {
			await.Stop()
			break
		}
	}
	return append(all, assailant{name: "an expired token", header: bearer(expired)})
}

// state is what outlives requests, as an administrator sees it.
func (k *attack) state() string {
	var users struct {
		Users []struct{ ID, Name, Role string }
	}
	var tokens struct {
		Tokens []struct{ ID, Name, Role string }
	}
	var silences struct{ Silences []struct{ ID, State string } }
	var rules struct {
		Rules []struct {
			Name, Source, Expr string
			Enabled            bool
		}
	}
	decode(k.t, get(k.t, k.socket, "/api/v1/users"), &users)
	decode(k.t, get(k.t, k.socket, "/api/v1/tokens"), &tokens)
	decode(k.t, get(k.t, k.socket, "/api/v1/alerts/silences"), &silences)
	decode(k.t, get(k.t, k.socket, "/api/v1/alerts/rules"), &rules)
	return fmt.Sprintf("%v\n%v\n%v\n%v", users, tokens, silences, rules)
}

// form is one request.
type form struct {
	name, method, target, media string
	body                        []byte
	// own is set if the request is for the operation, whatever else it holds.
	own bool
}

// forms are the forms of an operation's request.
func (o attackedOperation) forms() []form {
	path := func(value string) string {
		return strings.NewReplacer("{id}", value, "{name}", value).Replace(o.path)
	}
	plain := path("HighCPUUsage") // A rule that there is.
	const media = "application/json"
	all := []form{{"the example", o.method, plain, media, o.body, false}}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "X"} {
		all = append(all, form{"method " + method, method, plain, media, o.body, false})
	}
	for _, other := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/json; charset=utf-16", "application/cbor", "*/*", "json"} {
		all = append(all, form{"media " + other, o.method, plain, other, o.body, false})
	}
	bodies := map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "an object": "{}", "a number": "1e999", "half": `{"name":`, "two": "{}{}", "zeros": strings.Repeat("\x00", 100),
		"deep": strings.Repeat("[", 20_000), "deep objects": strings.Repeat(`{"a":`, 20_000), "large": `{"name":"` + strings.Repeat("x", 900_000) + `"}`, "too large": strings.Repeat(" ", 1<<20+1),
		"not UTF-8": "{\"name\":\"\xff\xfe\"}", "surrogate": `{"name":"\ud800"}`, "unknown": `{"no such field":1}`,
	}
	for _, wrong := range []string{`null`, `-1`, `1e308`, `""`, `"\u0000\r\n"`, `[]`, `{}`, `true`, `"` + strings.Repeat("é", 5000) + `"`} {
		fields := make([]string, len(o.fields))
		for i, f := range o.fields {
			fields[i] = fmt.Sprintf("%q:%s", f, wrong)
		}
		bodies["fields "+wrong[:min(len(wrong), 8)]] = "{" + strings.Join(fields, ",") + "}"
	}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		all = append(all, form{"body " + name, o.method, plain, media, []byte(bodies[name]), false})
	}
	for _, query := range []string{"?x=1", "?%zz", "?start=now&start=now", "?start=" + strings.Repeat("9", 8000), "?start=%00%0d%0a", "?top=-1", "?start=-99999999999d", "?;", "?" + strings.Repeat("a=b&", 2000), "?match[]=up&agg=avg,min,max,avg&step=1ns"} {
		all = append(all, form{"query " + query[:min(len(query), 16)], o.method, plain + query, media, o.body, false})
	}
	if plain != o.path {
		for _, value := range []string{"..", "%2e%2e%2f%2e%2e", "%00", "%ff", "%0d%0a", strings.Repeat("x", 5000), "*", "%", "{id}", "a/b", ""} {
			all = append(all, form{"path " + value[:min(len(value), 8)], o.method, path(value), media, o.body, false})
		}
	}
	for _, target := range []string{plain + "/", "/" + plain, strings.ToUpper(plain), "/x/.." + plain, plain + "%2f", "http://evil.example" + plain} {
		all = append(all, form{"target", o.method, target, media, o.body, false})
	}
	for i := range all {
		f := &all[i]
		f.own = f.method == o.method && (f.target == plain || strings.HasPrefix(f.target, plain+"?"))
	}
	return all
}

// run sends a share of all forms as a caller, some at the same time.
func (k *attack) run(c assailant, random *rand.Rand, share float64) {
	address := cmp.Or(c.address, k.address)
	transport := &http.Transport{
		MaxIdleConnsPerHost: 4,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	type work struct {
		o attackedOperation
		f form
	}
	queue := make(chan work)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for w := range queue {
				k.send(client, c, w.o, w.f)
			}
		})
	}
	for _, o := range k.operations {
		for i, f := range o.forms() {
			// The example of every operation, and a share of the rest.
			if i > 0 && random.Float64() > share || !c.sends(o, f) {
				continue
			}
			queue <- work{o, f}
		}
	}
	close(queue)
	all.Wait()
}

// sends reports whether a caller sends a form: one that may do it does not write
// backups, end its session or remove the callers of this test.
func (c assailant) sends(o attackedOperation, f form) bool {
	switch o.id {
	case "make-backup":
		return !c.guarded || f.name != "the example" && !strings.HasPrefix(f.name, "m") && !strings.HasPrefix(f.name, "q") && f.name != "target"
	case "log-out":
		return !strings.Contains(c.name, "cookie")
	}
	return true
}

// send sends one request and checks the response.
func (k *attack) send(client *http.Client, c assailant, o attackedOperation, f form) {
	r, err := http.NewRequestWithContext(k.t.Context(), f.method, "http://"+k.address, bytes.NewReader(f.body))
	if err != nil {
		k.t.Errorf("%s: %v", f.name, err)
		return
	}
	r.URL = &url.URL{Scheme: "http", Host: k.address, Opaque: f.target}
	r.Host = cmp.Or(c.host, k.address)
	maps.Copy(r.Header, c.header)
	if f.media != "" {
		r.Header.Set("Content-Type", f.media)
	}
	cut := f.name == "body too large" || f.name == "body large" // It is cut off if it is not wanted.
	response, err := client.Do(r)
	if err != nil {
		if !cut {
			k.t.Errorf("%s: %s %s, %s: %v", c.name, f.method, o.path, f.name, err)
		}
		return
	}
	defer response.Body.Close()
	var body []byte
	if !o.stream || response.StatusCode != http.StatusOK {
		if body, err = io.ReadAll(response.Body); err != nil && cut {
			return
		} else if err != nil {
			k.t.Errorf("%s: %s %s, %s: %v", c.name, f.method, o.path, f.name, err)
		}
	}
	k.mu.Lock()
	k.sent++
	k.statuses[response.StatusCode]++
	k.mu.Unlock()
	if wrong := c.check(o, f, response, body); wrong != "" {
		k.t.Errorf("%s: %s %s (%s), %s: %s %s: %.300s", c.name, f.method, f.target[:min(len(f.target), 80)], o.id, f.name, wrong, response.Status, body)
	}
}

// check returns what is wrong with a response, empty for nothing.
func (c assailant) check(o attackedOperation, f form, response *http.Response, body []byte) string {
	status := response.StatusCode
	succeeded := status < 300
	switch {
	case status >= 500 && status != http.StatusServiceUnavailable && status != http.StatusNotImplemented:
		return "the agent broke:"
	case c.foreign && status != http.StatusForbidden && status != http.StatusBadRequest:
		return "another site is answered"
	case c.foreign && bytes.Contains(body, []byte("timestamp")):
		return "another site gets numbers"
	case response.Header.Get("Access-Control-Allow-Origin") != "":
		return "another site may read"
	case status >= 400 && !strings.Contains(strings.ToLower(f.target), "/prometheus/") && f.method != http.MethodHead && len(body) > 0 && !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") && status != http.StatusBadRequest && status != http.StatusNotFound:
		return "the error is no problem document"
	case f.own && !c.may(o) && status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusRequestEntityTooLarge:
		return "who may not is not refused"
	case !succeeded:
		return ""
	case c.role == auth.Public && (len(c.header["Authorization"]) > 0):
		return "wrong credentials are answered"
	}
	return ""
}

// may reports whether an operation is for a caller.
func (c assailant) may(o attackedOperation) bool {
	switch o.role {
	case "public":
		return true
	case "viewer":
		return c.role >= auth.Viewer
	}
	return c.role >= auth.Admin && (c.guarded || !o.guarded) || c.mayRead && o.method == http.MethodGet
}

// raw sends what is no request, or two: each gets a refusal or a closed connection.
func (k *attack) raw(random *rand.Rand) {
	const host = "Host: localhost\r\n"
	requests := []string{
		"\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n" + host + "\r\n", "GET  / HTTP/1.1\r\n" + host + "\r\n", "G\x00T / HTTP/1.1\r\n" + host + "\r\n",
		"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n" + host + host + "\r\n", "GET / HTTP/1.1\r\nHost: localhost\x00\r\n\r\n",
		"GET /\xff\xfe HTTP/1.1\r\n" + host + "\r\n", "GET http://evil.example/ HTTP/1.1\r\n" + host + "\r\n", "CONNECT evil.example:80 HTTP/1.1\r\n" + host + "\r\n",
		"POST /api/v1/alerts/silences HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"POST /api/v1/alerts/silences HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzzz\r\n",
		"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", "GET / HTTP/1.1\r\n" + host + "X: " + strings.Repeat("y", 1<<20) + "\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + strings.Repeat("X: y\r\n", 20_000) + "\r\n", "GET / HTTP/1.1\r\n" + host + " folded: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET / HTTP/1.1\r\n" + host + "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "GET / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
	}
	for range 20 {
		b := make([]byte, random.IntN(2000))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		requests = append(requests, string(b)+"\r\n\r\n")
	}
	for _, text := range requests {
		conn, err := net.Dial("tcp", k.address)
		if err != nil {
			k.t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, text)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		answer, _ := io.ReadAll(io.LimitReader(conn, 1<<20))
		_ = conn.Close()
		if status, ok := bytes.CutPrefix(answer, []byte("HTTP/1.1 5")); ok && !bytes.HasPrefix(status, []byte("01")) && !bytes.HasPrefix(status, []byte("05")) {
			k.t.Errorf("%.60q is answered %.100q", text, answer)
		}
	}
}

// runStranger becomes the user args[0] and forwards connections to args[1], so that
// these are that user's. It answers each line with its address.
func runStranger(args []string) error {
	var uid int
	if _, err := fmt.Sscan(args[0], &uid); err != nil {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setgid(uid); err != nil {
		return err
	}
	if err := syscall.Setuid(uid); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go forward(from, args[1])
		}
	}()
	return answerLines(func([]string) (any, error) { return l.Addr().String(), nil })
}

// forward forwards one connection.
func forward(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}
