package browser

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"
)

// fault breaks a response, and reports whether it did.
type fault func(w http.ResponseWriter, r *http.Request) bool

// spoiled is an agent behind a proxy that can break responses.
type spoiled struct {
	*httptest.Server
	fault atomic.Pointer[fault]
}

func spoil(t *testing.T, a *agent) *spoiled {
	t.Helper()
	to, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1 // The live stream.
	s := &spoiled{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := s.fault.Load(); f != nil && (*f)(w, r) {
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *spoiled) set(f fault) { s.fault.Store(&f) }

func isQuery(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/query_range") }

// TestFaults: whatever the agent responds, the page stays usable, shows the error and
// recovers if it can.
func TestFaults(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t)
	a.ticks(3)
	s := spoil(t, a)
	const resource = "Failed to load resource"

	f := func(name string, spoiling fault, says string) {
		t.Run(name, func(t *testing.T) {
			s.set(spoiling)
			b := open(browser, t, s.URL, desktop(), resource)
			b.visit("/?range=5m")
			b.waitFor(`document.querySelector('#panel-cpu .over')?.innerText.includes(` + quoted(says) + `)`)
			// The rest of the page works.
			b.waitFor(`document.querySelectorAll('.meter').length >= 7 && document.querySelector('.page-footer .lag')`)
			b.photograph("fault")
			s.set(func(http.ResponseWriter, *http.Request) bool { return false })
			b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		})
	}
	answer := func(status int, media, body string, headers ...string) fault {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !isQuery(r) {
				return false
			}
			w.Header().Set("Content-Type", media)
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	f("500", answer(500, "application/problem+json", `{"title":"Internal Server Error","status":500,"detail":"Internal error; see the agent log."}`), "agent log")
	f("429", answer(429, "application/problem+json", `{"detail":"This client sends too many requests."}`, "Retry-After", "1"), "too many requests")
	f("half an answer", answer(200, "application/json", `{"status":"success","data":{"resultType":"matrix","result":[`), "incomplete response")
	f("a page of a proxy", answer(502, "text/html", `<h1>Bad <script>alert(1)</script> Gateway</h1>`), "incomplete response")
	f("nothing", func(w http.ResponseWriter, r *http.Request) bool {
		if isQuery(r) {
			panic(http.ErrAbortHandler) // The connection is cut.
		}
		return false
	}, "not responding")

	t.Run("logged out", func(t *testing.T) {
		b := open(browser, t, s.URL, desktop(), resource)
		s.set(func(http.ResponseWriter, *http.Request) bool { return false })
		b.visit("/alerts?range=6h")
		b.waitFor(`document.querySelector('.page-footer .lag')`)
		s.set(func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.URL.Path, "/api/") || isQuery(r) {
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return false
		})
		// The login page leads back.
		b.waitFor(`location.pathname === '/login' && new URLSearchParams(location.search).get('next') === '/alerts?range=6h'`)
		b.do(chromedp.WaitVisible("#password"))
	})

	// A process name, which any local user can choose, is only text.
	t.Run("hostile name", func(t *testing.T) {
		const name = `<img src=x onerror=document.title='owned'>`
		startSpike(t, name)
		a.awaitSpike(name)
		b := open(browser, t, a.url, desktop())
		b.visit("/processes")
		b.waitFor(`document.querySelector('table tbody')?.innerText.includes('<img src')`)
		var images int
		b.eval(`document.querySelectorAll('main img').length`, &images)
		var title string
		b.eval(`document.title`, &title)
		if images > 0 || strings.Contains(title, "owned") {
			t.Errorf("%d images, title %q", images, title)
		}
	})
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `\'`) + "'" }
