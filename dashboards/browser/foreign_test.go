package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"sysotel/otel-collector/programs"
)

// recorder is a way to an agent that keeps what was asked and how it was answered. It
// has a port of its own and passes everything as it is, so to the browser it is the
// agent.
type recorder struct {
	*httptest.Server
	forwarded bool // Whether it says that it is a proxy.

	mu      sync.Mutex
	answers []answer
}

// answer is a response, with what the browser said of the request.
type answer struct {
	method, path, origin, site, mode, to string
	status                               int
}

func record(t *testing.T, agent string) *recorder {
	t.Helper()
	target, err := url.Parse(agent)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
			if r.forwarded {
				p.Out.Header.Set("Via", "1.1 test")
			}
		},
		ModifyResponse: func(w *http.Response) error {
			h := w.Request.Header
			r.mu.Lock()
			defer r.mu.Unlock()
			r.answers = append(r.answers, answer{
				w.Request.Method, w.Request.URL.Path, h.Get("Origin"), h.Get("Sec-Fetch-Site"), h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest"), w.StatusCode,
			})
			return nil
		},
	}
	r.Server = httptest.NewServer(proxy)
	t.Cleanup(r.Close)
	return r
}

// take returns what was recorded since the last call.
func (r *recorder) take() []answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	answers := r.answers
	r.answers = nil
	return answers
}

// TestForeignPages: pages of another site, and of another port of the same host, try
// every way that a browser has to send a request without asking first. Nothing but a
// page that a link opens is answered, and nothing changes.
func TestForeignPages(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t)
	a.ticks(2)
	front := record(t, a.url)
	evil := httptest.NewServer(http.HandlerFunc(serveEvil))
	t.Cleanup(evil.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(evil.URL, "http://"), ":")
	before := a.changeable()
	for _, site := range []string{"http://127.0.0.1:" + port, "http://localhost:" + port, "http://evil.localhost:" + port} {
		t.Run(strings.TrimPrefix(site, "http://"), func(t *testing.T) {
			b := open(browser, t, site, desktop(), "")
			b.anywhere = true
			front.take()
			b.visit("/?agent=" + url.QueryEscape(front.URL))
			b.waitFor(`document.title === 'done'`)
			tried := map[string]bool{}
			for _, got := range front.take() {
				if got.site == "same-origin" {
					continue // The page of the test before, which is still closing.
				}
				if got.status != http.StatusForbidden {
					t.Errorf("answered: %+v", got)
				}
				tried[got.method+" "+got.mode+" "+got.to] = true
			}
			for _, way := range []string{
				"GET no-cors image", "GET no-cors script", "GET cors script", "GET no-cors style", "GET no-cors audio", "GET navigate iframe", "GET navigate object",
				"GET no-cors empty", "GET cors empty", "POST no-cors empty", "OPTIONS cors empty",
				"GET  ", // The WebSocket says only its Origin.
			} {
				if !tried[way] {
					t.Errorf("the browser did not send %s, only %v", way, tried)
				}
			}
			// Forms leave the page.
			for _, method := range []string{"get", "post"} {
				b.visit("/form?method=" + method + "&agent=" + url.QueryEscape(front.URL))
				b.waitFor(fmt.Sprintf(`location.origin === %q && /another site|may not call/.test(document.body?.innerText)`, front.URL))
			}
			// A link opens a page, and no numbers.
			b.visit("/link?to=" + url.QueryEscape(front.URL+"/prometheus/api/v1/query?query=up"))
			b.do(click("#link"))
			b.waitFor(fmt.Sprintf(`location.origin === %q && document.body?.innerText.includes('another site')`, front.URL))
			front.take()
			b.visit("/link?to=" + url.QueryEscape(front.URL+"/alerts"))
			b.do(click("#link"))
			b.waitFor(`document.querySelector('#tab-rules')`)
			if got := front.take(); len(got) == 0 || got[0].site == "same-origin" || got[0].status != http.StatusOK {
				t.Errorf("the link: %+v", got)
			}
			if after := a.changeable(); after != before {
				t.Errorf("something changed: %s, before %s", after, before)
			}
		})
	}
}

// changeable returns what a foreign page would like to change.
func (a *agent) changeable() string {
	a.tb.Helper()
	var silences any
	a.get("/api/v1/alerts/silences", &silences)
	var all struct {
		Rules []struct {
			Name    string
			Enabled bool
		}
	}
	a.get("/api/v1/alerts/rules", &all)
	return fmt.Sprint(silences, all)
}

// serveEvil serves the foreign pages.
func serveEvil(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	q := r.URL.Query()
	switch r.URL.Path {
	case "/form":
		_, _ = fmt.Fprintf(w, `<form id=f method=%s action="%s/prometheus/api/v1/query"><input name=query value="1+1"></form><script>f.submit()</script>`, q.Get("method"), q.Get("agent"))
	case "/link":
		_, _ = fmt.Fprintf(w, `<a id=link href="%s">link</a>`, q.Get("to"))
	default:
		_, _ = fmt.Fprintf(w, evilPage, q.Get("agent"))
	}
}

// evilPage tries everything at once.
const evilPage = `<!doctype html><meta charset=utf-8><title>busy</title><body><script>
const agent = %q
const numbers = agent + '/api/v1/metrics/current', query = agent + '/prometheus/api/v1/query?query=1%%2B1', change = agent + '/api/v1/alerts/silences'
const settled = (e) => new Promise((resolve) => { for (const on of ['onload', 'onerror', 'onopen', 'onmessage', 'oncanplay']) e[on] = resolve })
const part = (name, set) => { const e = Object.assign(document.createElement(name), set); document.body.append(e); return settled(e) }
const late = new Promise((resolve) => setTimeout(resolve, 15000))
Promise.race([late, Promise.allSettled([
	part('img', { src: query }), part('img', { src: agent + '/icon.svg' }),
	part('script', { src: numbers }), part('script', { src: query, type: 'module' }),
	part('link', { href: agent + '/docs/style.css', rel: 'stylesheet' }), part('audio', { src: agent + '/metrics' }),
	part('iframe', { src: agent + '/' }), part('iframe', { src: numbers }), part('object', { data: agent + '/docs', type: 'text/html' }),
	fetch(numbers), fetch(query, { mode: 'no-cors' }), fetch(change, { mode: 'no-cors', method: 'POST', body: '{}' }),
	fetch(change, { mode: 'no-cors', method: 'POST', body: new Blob(['{}']) }), fetch(change, { method: 'DELETE' }),
	settled(new EventSource(agent + '/api/v1/metrics/stream')), settled(new WebSocket(agent.replace('http', 'ws') + '/api/v1/metrics/stream')),
])]).then(() => { navigator.sendBeacon(change, '{}'); return new Promise((resolve) => setTimeout(resolve, 500)) }).then(() => { document.title = 'done' })
</script>`

// TestTwoTabs: in two tabs of one session the access token expires at the same moment.
// Both go on, with one refresh, and nobody speaks of a theft.
func TestTwoTabs(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, guarded)
	a.addUser("ada", goodPassword)
	front := record(t, a.url)
	tabs := make([]*tab, 2)
	for i := range tabs { // The first is hidden as soon as there is the second.
		tabs[i] = open(browser, t, front.URL, desktop(), "status of 401", "status of 409", "EventSource")
		if i == 0 {
			tabs[i].visit("/login")
			tabs[i].logIn("ada", goodPassword)
		} else {
			tabs[i].visit("/")
		}
		tabs[i].waitFor(`location.pathname === '/' && document.querySelectorAll('.meter').length >= 7`)
	}
	_, port, _ := strings.Cut(strings.TrimPrefix(front.URL, "http://"), ":")
	expire := network.DeleteCookies("sysotel-" + port).WithURL(front.URL + "/")
	inBoth := func(script string, results []int) {
		t.Helper()
		var all sync.WaitGroup
		for i, b := range tabs {
			all.Go(func() { b.do(chromedp.Evaluate(script, &results[i], awaitPromise)) })
		}
		all.Wait()
	}
	front.take()
	tabs[0].do(expire)
	inBoth(`document.querySelector('nav a[href^="/alerts"]').click(), 0`, make([]int, 2))
	for _, b := range tabs {
		b.waitFor(`location.pathname === '/alerts' && document.querySelector('#tab-rules') && document.querySelector('#tab-content').innerText.length > 5 && !document.querySelector('#tab-content').innerText.includes('Loading')`)
	}
	refreshes := 0
	for _, got := range front.take() {
		if got.path == "/api/v1/auth/refresh" {
			refreshes++
		}
	}
	if refreshes != 1 {
		t.Errorf("%d refreshes for both tabs", refreshes)
	}
	// Two that know nothing of each other send the same token.
	tabs[0].do(expire)
	statuses := make([]int, 2)
	inBoth(`fetch('/api/v1/auth/refresh', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"cookie":true}' }).then((r) => r.status)`, statuses)
	for _, status := range statuses {
		if status != http.StatusOK && status != http.StatusConflict {
			t.Errorf("refreshes at once: %v", statuses)
		}
	}
	var me struct{ Name string }
	tabs[1].do(chromedp.Evaluate(`fetch('/api/v1/auth/me').then((r) => r.json())`, &me, awaitPromise))
	if me.Name != "ada" {
		t.Errorf("after that it is %+v", me)
	}
	if log, err := os.ReadFile(filepath.Join(a.dir, "log", "audit.jsonl")); err != nil || strings.Contains(string(log), "used twice") {
		t.Errorf("%v, and a theft was reported:\n%s", err, log)
	}
}

// TestAgentsOnOneHost: sessions with two agents on two ports of one host do not end
// each other.
func TestAgentsOnOneHost(t *testing.T) {
	browser := startBrowser(t)
	agents := []*agent{startAgent(t, guarded), startAgent(t, guarded)}
	var tabs []*tab
	for _, a := range agents {
		a.addUser("ada", goodPassword)
		b := open(browser, t, a.url, desktop(), "status of 401", "EventSource")
		b.anywhere = true
		b.visit("/login")
		b.logIn("ada", goodPassword)
		b.waitFor(`location.pathname === '/' && document.querySelector('.status strong')`)
		tabs = append(tabs, b)
	}
	for _, b := range tabs {
		b.visit("/settings")
		b.waitFor(`document.querySelector('main').innerText.includes('Logged in as ada')`)
		b.do(chromedp.Navigate("about:blank")) // It must not ask an agent that has ended.
	}
}

// goodPassword is that of the users of these tests.
const goodPassword = "a sentence nobody guesses"

// addUser adds an administrator as root does.
func (a *agent) addUser(name, password string) {
	a.tb.Helper()
	cmd := a.command("user", "add", name, "--role", "admin", "--data-dir="+a.dir)
	cmd.Stdin = strings.NewReader(password + "\n")
	if output, err := cmd.CombinedOutput(); err != nil {
		a.tb.Fatalf("add a user: %v\n%s", err, output)
	}
}

// TestViewerOnTheMachine: where nobody needs a login, a browser of another user may
// only view; it is told so, and a login in it makes an administrator of it, also after
// its access token has expired.
func TestViewerOnTheMachine(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t)
	a.addUser("ada", goodPassword)
	own := open(browser, t, a.url, desktop())
	own.visit("/alerts?tab=rules")
	own.waitFor(`[...document.querySelectorAll('main button')].some((b) => b.innerText === 'New rule')`)
	// The proxy of the recorder is this process; a header of proxies makes it somebody else.
	front := record(t, a.url)
	front.forwarded = true
	b := open(browser, t, front.URL, desktop(), "status of 403", "status of 401")
	b.visit("/alerts?tab=rules")
	b.waitFor(`document.querySelector('main a[href^="/login"]')?.innerText === 'Log in to make changes' && document.querySelector('[aria-label=Rules] .list') && !document.querySelector('main .toggle')`)
	b.photograph("rules")
	b.visit("/settings")
	b.waitFor(`document.querySelector('main').innerText.includes('sudo sysotel user add')`)
	b.accessible(false)
	b.photograph("settings")
	b.do(click(`main a[href^="/login"]`))
	b.logIn("ada", goodPassword)
	b.waitFor(`location.pathname === '/settings' && document.querySelector('main').innerText.includes('Logged in as ada, administrator')`)
	_, port, _ := strings.Cut(strings.TrimPrefix(front.URL, "http://"), ":")
	b.do(network.DeleteCookies("sysotel-" + port).WithURL(front.URL + "/"))
	b.visit("/alerts?tab=rules")
	b.waitFor(`[...document.querySelectorAll('main button')].some((b) => b.innerText === 'New rule')`)
	b.do(network.DeleteCookies("sysotel-" + port).WithURL(front.URL + "/"))
	b.do(click("//main//label[@class='toggle']/input"))
	b.waitFor(`[...document.querySelectorAll('main .list li')].some((l) => /\boff\b/.test(l.innerText)) && !document.querySelector('main [role=alert]')`)
}

// TestNextPage: after the login one comes to the page that was asked for, whatever
// its address looks like, and never to another server.
func TestNextPage(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, guarded)
	a.addUser("ada", goodPassword)
	elsewhere := fmt.Sprintf("127.0.0.1:%d", programs.FreePort(t))
	b := open(browser, t, a.url, desktop(), "status of 401", "status of 404", "status of 403")
	b.visit("/login")
	b.waitFor(`document.activeElement.id === 'name'`)
	for next, want := range map[string]string{
		"/alerts?tab=rules":           "/alerts?tab=rules",
		a.url + "/alerts":             "/alerts",
		"/":                           "/",
		"":                            "/",
		"/login":                      "/",
		"/setup":                      "/",
		"//" + elsewhere:              "/",
		"http://" + elsewhere + "/":   "/",
		"http:" + elsewhere:           "/" + elsewhere, // Relative to a page of the same scheme.
		"\\\\" + elsewhere:            "/",
		"/\\" + elsewhere:             "/",
		"/\t/" + elsewhere:            "/",
		"\t//" + elsewhere:            "/",
		"/\n/" + elsewhere + "/":      "/",
		"/.//" + elsewhere:            "//" + elsewhere,
		"/x/..//" + elsewhere:         "//" + elsewhere,
		"/%2e//" + elsewhere:          "//" + elsewhere,
		"/.\\\\" + elsewhere:          "//" + elsewhere,
		"javascript:alert(1)":         "/",
		"data:text/html,x":            "/",
		"blob:" + a.url + "/x":        "/",
		"http://a:b@" + elsewhere:     "/",
		"///" + elsewhere + "/alerts": "/",
	} {
		var went string
		b.do(chromedp.Evaluate(fmt.Sprintf(`(async () => {
			history.replaceState(null, '', '/login?next=' + encodeURIComponent(%q))
			const { next } = await import('/login/ask.js')
			return new URL(next(), location.origin).href
		})()`, next), &went, awaitPromise))
		if went != a.url+want {
			t.Errorf("next=%q leads to %s, want %s", next, went, a.url+want)
		}
	}
	// And really.
	b.visit("/login?next=" + url.QueryEscape("/.//"+elsewhere))
	b.logIn("ada", goodPassword)
	b.waitFor(fmt.Sprintf(`location.origin === %q && location.pathname !== '/login'`, a.url))
}
