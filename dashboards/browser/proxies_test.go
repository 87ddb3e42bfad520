package browser

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"sysotel/otel-collector/programs"
)

// These tests put the real proxies, with the configurations of api/PROXIES.md, before
// the real agent.

// example returns a block of a language in the guide, the first being 0, with pairs of
// texts replaced, each of which must be there.
func example(t *testing.T, language string, number int, pairs ...string) string {
	t.Helper()
	guide, err := os.ReadFile("../../api/PROXIES.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if number >= len(blocks) {
		t.Fatalf("the guide has %d examples in %s", len(blocks), language)
	}
	text := blocks[number][1]
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the example in %s has no %q, which this test replaces", language, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// way is how to an agent: where the proxy listens, and where the agent does.
type way struct {
	*agent
	dir            string
	port           int
	cert, key, pem string
}

// newWay chooses the ports and makes the certificate of a proxy. The agent does not run
// yet.
func newWay(t *testing.T, flags ...string) *way {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &way{dir: dir, port: programs.FreePort(t)}
	w.agent = newAgent(t, append([]string{guarded, "--http.behind-proxy", "--http.external-url=" + w.site() + "/sysotel/"}, flags...)...)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
	w.cert, w.key, w.pem = w.write(t, "cert.pem", cert), w.write(t, "key.pem", key), w.write(t, "both.pem", append(cert, key...))
	return w
}

// write writes a file of the proxy and returns its path.
func (w *way) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// site is the origin of the proxy.
func (w *way) site() string { return "https://127.0.0.1:" + strconv.Itoa(w.port) }

// listens is the address of the agent.
func (w *way) listens() string { return strings.TrimPrefix(w.url, "http://") }

// system finds a program of the system.
func system(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		missing(t, "there is no "+name+"; Debian's package of that name has it")
	}
	return path
}

// replacements are the directives of a go.mod that count in the main module only.
var replacements = regexp.MustCompile(`(?ms)^(?:replace|exclude) (?:\(.*?^\)|[^(\n]+$)`)

// goProgram builds a program from its module, in a module of its own with the
// replacements of the former. What cannot be had or built skips the test.
func goProgram(t *testing.T, pkg, module, version string) string {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	run := func(args ...string) []byte {
		limited, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(limited, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off", "CGO_ENABLED=0")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		output, err := cmd.Output()
		if err != nil {
			lines := strings.Split(strings.TrimSpace(errs.String()), "\n")
			t.Skipf("%s %s cannot be built here: go %s: %v: %s", module, version, args[0], err, lines[len(lines)-1])
		}
		return output
	}
	var found struct{ GoMod string }
	if err := json.Unmarshal(run("mod", "download", "-json", module+"@"+version), &found); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(found.GoMod)
	if err != nil {
		t.Fatal(err)
	}
	text := "module proxies\n\ngo 1.26\n\n" + strings.Join(replacements.FindAllString(string(theirs), -1), "\n") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("get", pkg+"@"+version)
	run("build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", program, pkg)
	return program
}

// startNginx starts nginx with servers.
func (w *way) startNginx(t *testing.T, servers string) {
	t.Helper()
	text := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr;\nevents { worker_connections 256; }\nhttp {\naccess_log off;\n", w.dir)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += fmt.Sprintf("%s_temp_path %s/%s;\n", kind, w.dir, kind)
	}
	programs.Start(t, exec.CommandContext(t.Context(), system(t, "nginx"), "-c", w.write(t, "nginx.conf", []byte(text+servers+"}\n")), "-e", "stderr"))
}

// nginxPairs are what a test replaces in the examples for nginx.
func (w *way) nginxPairs() []string {
	return []string{
		"listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", w.port), "/etc/ssl/host.example.pem", w.cert, "/etc/ssl/host.example.key", w.key,
		"host.example", "127.0.0.1", "127.0.0.1:8080", w.listens(),
	}
}

// servers are the proxies, each by how a test starts it.
var servers = []struct {
	name  string
	start func(*testing.T, *way)
}{
	{"nginx", func(t *testing.T, w *way) { w.startNginx(t, example(t, "nginx", 0, w.nginxPairs()...)) }},
	{"nginx that cuts the path off", func(t *testing.T, w *way) {
		w.startNginx(t, example(t, "nginx", 0, append(w.nginxPairs(), "proxy_pass http://"+w.listens()+";", "proxy_pass http://"+w.listens()+"/;")...))
	}},
	{"nginx without headers", func(t *testing.T, w *way) {
		w.startNginx(t, fmt.Sprintf("server { listen 127.0.0.1:%d ssl; ssl_certificate %s; ssl_certificate_key %s; location /sysotel/ { proxy_pass http://%s/; } }\n", w.port, w.cert, w.key, w.listens()))
	}},
	{"HAProxy", func(t *testing.T, w *way) {
		text := example(t, "haproxy", 0, "bind :443 ssl", fmt.Sprintf("bind 127.0.0.1:%d ssl", w.port), "/etc/ssl/host.example.pem", w.pem, "127.0.0.1:8080", w.listens())
		programs.Start(t, exec.CommandContext(t.Context(), system(t, "haproxy"), "-db", "-f", w.write(t, "haproxy.cfg", []byte("global\n    maxconn 200\n\n"+text))))
	}},
	{"Caddy", func(t *testing.T, w *way) {
		program := goProgram(t, "github.com/caddyserver/caddy/v2/cmd/caddy", "github.com/caddyserver/caddy/v2", "v2.11.9")
		text := example(t, "caddyfile", 0, "host.example {", fmt.Sprintf("%s {\n    tls %s %s", w.site(), w.cert, w.key), "127.0.0.1:8080", w.listens())
		file := w.write(t, "Caddyfile", []byte("{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}\n"+text))
		cmd := exec.CommandContext(t.Context(), program, "run", "--adapter", "caddyfile", "--config", file)
		cmd.Env = append(os.Environ(), "HOME="+w.dir, "XDG_DATA_HOME="+w.dir, "XDG_CONFIG_HOME="+w.dir)
		programs.Start(t, cmd)
	}},
	{"Traefik", func(t *testing.T, w *way) {
		if os.Getenv("SYSOTEL_TEST_PROXIES") != "all" {
			t.Skip("building Traefik takes longer than all other tests; SYSOTEL_TEST_PROXIES=all does it")
		}
		program := goProgram(t, "github.com/traefik/traefik/v3/cmd/traefik", "github.com/traefik/traefik/v3", "v3.6.12")
		file := w.write(t, "sysotel.toml", []byte(example(t, "toml", 0, "host.example", "127.0.0.1", "http://127.0.0.1:8080", "http://"+w.listens())))
		programs.Start(t, exec.CommandContext(t.Context(), program, "--entryPoints.websecure.address=127.0.0.1:"+strconv.Itoa(w.port), "--providers.file.filename="+file,
			"--global.checkNewVersion=false", "--global.sendAnonymousUsage=false"))
	}},
}

// visitor is a client of a proxy, with its cookies. It follows no redirects.
type visitor struct {
	t    *testing.T
	http *http.Client
	way  *way
}

func (w *way) visit(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true} //nolint:gosec // The test's own certificate.
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t: t, way: w, http: &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// send sends a request to the proxy. Headers are in pairs; a body is JSON unless they say
// otherwise.
func (v *visitor) send(method, path, body string, headers ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.way.site()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "gzip")
	if method != http.MethodGet {
		r.Header.Set("Origin", v.way.site())
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return v.http.Do(r)
}

// want sends a request and returns the header and the body of its response, which must
// have a status.
func (v *visitor) want(status int, method, path, body string, headers ...string) (http.Header, string) {
	v.t.Helper()
	response, err := v.send(method, path, body, headers...)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	var content io.Reader = response.Body
	if response.Header.Get("Content-Encoding") == "gzip" {
		if content, err = gzip.NewReader(response.Body); err != nil {
			v.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	text, err := io.ReadAll(content)
	if err != nil || response.StatusCode != status {
		v.t.Errorf("%s %s: %d, want %d: %.300s %v", method, path, response.StatusCode, status, text, err)
	}
	return response.Header, string(text)
}

// ready waits until the agent answers through the proxy.
func (v *visitor) ready() {
	v.t.Helper()
	await(v.t, func() error {
		response, err := v.send(http.MethodGet, "/sysotel/-/ready", "")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	})
}

// setupCode waits for the link to set up the agent and returns its code.
func (w *way) setupCode(t *testing.T) string {
	t.Helper()
	var found []string
	await(t, func() error {
		if found = regexp.MustCompile(regexp.QuoteMeta(w.site()) + `/sysotel/setup#(\S+)`).FindStringSubmatch(w.Output()); found == nil {
			return errors.New("the agent printed no link")
		}
		return nil
	})
	return found[1]
}

// streamTime is how long a stream is followed.
func streamTime(t *testing.T) time.Duration {
	t.Helper()
	long := os.Getenv("SYSOTEL_TEST_SOAK")
	if long == "" {
		return 6 * time.Second
	}
	d, err := time.ParseDuration(long)
	if err != nil {
		t.Fatal(err)
	}
	return min(d, 5*time.Minute)
}

const proxyPassword = "a sentence nobody guesses"

func TestThroughProxies(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			w := newWay(t)
			server.start(t, w)
			w.start()
			v := w.visit(t)
			v.ready()

			v.want(200, "GET", "/sysotel/setup", "")
			if h, _ := v.anyStatus("GET", "/sysotel"); !strings.HasSuffix(h.Get("Location"), "/sysotel/") {
				t.Errorf("/sysotel leads to %q", h.Get("Location"))
			}

			// Log in.
			body := fmt.Sprintf(`{"code":%q,"name":"ada","password":%q,"cookie":true}`, w.setupCode(t), proxyPassword)
			h, _ := v.want(200, "POST", "/sysotel/api/v1/auth/setup", body)
			for _, c := range (&http.Response{Header: h}).Cookies() {
				if !strings.HasPrefix(c.Path, "/sysotel/") || !c.Secure || !c.HttpOnly || !strings.HasPrefix(c.Name, "__Secure-sysotel") {
					t.Errorf("the cookie %s", c)
				}
			}
			if _, text := v.want(200, "GET", "/sysotel/api/v1/auth/me", ""); !strings.Contains(text, `"name":"ada","role":"admin"`) {
				t.Errorf("the caller is %s", text)
			}
			// Pages, and what they load and link to.
			for _, page := range []string{"/sysotel/", "/sysotel/setup", "/sysotel/alerts", "/sysotel/docs", "/sysotel/docs/proxies", "/sysotel/login"} {
				h, text := v.want(200, "GET", page, "", "Accept", "text/html")
				v.loads(page, text)
				if page == "/sysotel/" && h.Get("Content-Encoding") != "gzip" {
					t.Errorf("%s is not compressed: %v", page, h)
				}
			}
			var document struct{ Servers []struct{ URL string } }
			if _, text := v.want(200, "GET", "/sysotel/openapi.json", ""); json.Unmarshal([]byte(text), &document) != nil || len(document.Servers) != 1 || document.Servers[0].URL != "/sysotel" {
				t.Errorf("the document's servers are %v", document.Servers)
			}

			// The Prometheus API, its doorbells and the page.
			if _, text := v.want(200, "POST", "/sysotel/prometheus/api/v1/query", "query=1%2B1", "Content-Type", "application/x-www-form-urlencoded"); !strings.Contains(text, `"2"`) {
				t.Errorf("1+1 is %s", text)
			}
			v.want(200, "GET", "/sysotel/prometheus/-/healthy", "")
			if h, text := v.want(200, "GET", "/sysotel/metrics", ""); h.Get("Content-Encoding") != "gzip" || !strings.Contains(text, "system_cpu_time") {
				t.Errorf("the page is %.100s %v", text, h)
			}

			// A big body arrives whole.
			big := fmt.Sprintf(`{"name":"ada","password":%q,"cookie":true}`, strings.Repeat("x", 900_000))
			if h, text := v.want(401, "POST", "/sysotel/api/v1/auth/login", big); h.Get("Content-Type") != "application/problem+json" {
				t.Errorf("a big body: %.200s", text)
			}

			v.follow(streamTime(t))

			v.want(200, "POST", "/sysotel/api/v1/auth/logout", "")
			if h, _ := v.want(303, "GET", "/sysotel/docs/alerts?a=b", "", "Accept", "text/html"); !strings.HasSuffix(h.Get("Location"), "/sysotel/login?next=%2Fdocs%2Falerts%3Fa%3Db") {
				t.Errorf("without a login %v", h)
			}
		})
	}
}

// anyStatus sends a request and returns the header and the status of the response.
func (v *visitor) anyStatus(method, path string) (http.Header, int) {
	v.t.Helper()
	response, err := v.send(method, path, "")
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.Header, response.StatusCode
}

// loads requests everything that a page loads or links to on its own site.
func (v *visitor) loads(page, text string) {
	v.t.Helper()
	at, err := url.Parse(v.way.site() + page)
	if err != nil {
		v.t.Fatal(err)
	}
	found := 0
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"#]+)"`).FindAllStringSubmatch(text, -1) {
		to, err := at.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
		if err != nil {
			v.t.Fatal(err)
		}
		if to.Host != at.Host || strings.Contains(to.Path, "/api/v1/") { // Another site, data, or an example.
			continue
		}
		if !strings.HasPrefix(to.Path, "/sysotel/") {
			v.t.Errorf("%s links to %s", page, m[1])
			continue
		}
		if _, status := v.anyStatus("GET", to.RequestURI()); status != http.StatusOK {
			v.t.Errorf("%s links to %s: %d", page, m[1], status)
		}
		found++
	}
	if found < 2 {
		v.t.Errorf("%s links to %d addresses", page, found)
	}
}

// follow follows the live stream, in which every second must come in its second.
func (v *visitor) follow(long time.Duration) {
	v.t.Helper()
	response, err := v.send("GET", "/sysotel/api/v1/metrics/stream", "")
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Encoding") != "" {
		v.t.Fatalf("the stream: %s %v", response.Status, response.Header)
	}
	watchdog := time.AfterFunc(long+patience, func() { _ = response.Body.Close() })
	defer watchdog.Stop()
	begin, events := time.Now(), 0
	lines := bufio.NewReader(response.Body)
	for time.Since(begin) < long {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			v.t.Fatalf("the stream ends after %s with %d events: %v", time.Since(begin).Round(time.Second), events, err)
		}
		if bytes.HasPrefix(line, []byte("event: reading")) {
			events++
		}
	}
	// On a busy machine readings may be late, but a proxy that keeps them back has none.
	if want := int(long/time.Second) / 2; events < want {
		v.t.Errorf("%d events in %s", events, long)
	}
	v.t.Logf("%d events in %s", events, long)
}

// TestBehindNginx uses the dashboard below a path.
func TestBehindNginx(t *testing.T) {
	w := newWay(t)
	w.startNginx(t, example(t, "nginx", 0, w.nginxPairs()...))
	browser := startBrowser(t, chromedp.Flag("ignore-certificate-errors", true))
	w.start()
	w.visit(t).ready()
	b := open(browser, t, w.site(), desktop(), "status of 401", "status of 403", "status of 409")
	b.visit("/sysotel/setup#" + w.setupCode(t))
	b.do(chromedp.WaitVisible("#setup"))
	b.fill("#name", "ada")
	b.fill("#password", proxyPassword)
	b.fill("#again", proxyPassword)
	b.do(click("#setup button"))
	b.waitFor(`location.pathname === '/sysotel/' && document.querySelectorAll('.meter').length >= 7`)

	// The charts move.
	first := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
	b.drawn("cpu", func(c *chart) bool { return c.Newest > first.Newest })
	b.photograph("behind-nginx")

	// Links lead to pages below the path.
	const outside = `[...document.querySelectorAll('a[href], link[href], script[src], img[src]')].map((e) => e.href || e.src).filter((a) => a.startsWith(location.origin) && !new URL(a).pathname.startsWith('/sysotel/'))`
	lost := func() {
		t.Helper()
		var found []string
		b.eval(outside, &found)
		if len(found) > 0 {
			t.Errorf("at %s links leave the path: %v", b.address(), found)
		}
	}
	lost()
	b.do(click("nav a[href='/sysotel/alerts']"))
	b.waitFor(`location.pathname === '/sysotel/alerts' && document.querySelector('#tab-rules')`)
	lost()
	b.visit("/sysotel/alerts") // As a bookmark.
	b.waitFor(`document.querySelector('#tab-rules')`)
	b.do(chromedp.NavigateBack())
	b.visit("/sysotel/processes?range=6h")
	b.waitFor(`document.querySelectorAll('main table tbody tr').length > 3`)
	lost()
	for _, page := range []string{"hosts", "settings"} {
		b.visit("/sysotel/" + page)
		b.waitFor(`document.querySelector('main table, main h2') && !document.querySelector('main').innerText.includes('Loading')`)
		lost()
	}
	b.photograph("settings-behind-nginx")
	b.do(click("footer a[href='/sysotel/docs']"))
	b.waitFor(`location.pathname === '/sysotel/docs' && document.querySelector('#account b')?.textContent === 'ada' && document.styleSheets.length === 1 && document.styleSheets[0].cssRules.length > 10`)
	lost()
	b.visit("/sysotel/docs/proxies")
	b.waitFor(`document.querySelector('#account b')?.textContent === 'ada'`)
	lost()

	// Log out, and back to where one was.
	b.do(click("#account button"))
	b.waitFor(`location.pathname === '/sysotel/login'`)
	b.visit("/sysotel/alerts?range=6h")
	b.waitFor(`location.pathname === '/sysotel/login' && document.activeElement.id === 'name'`)
	b.fill("#name", "ada")
	b.fill("#password", proxyPassword)
	b.do(click("#login button"))
	b.waitFor(`location.pathname + location.search === '/sysotel/alerts?range=6h' && document.querySelector('#tab-rules')`)
}
