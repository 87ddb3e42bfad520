package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
)

func webFiles() fstest.MapFS {
	return fstest.MapFS{
		"index.html":            {Data: []byte("<!doctype html><title>sysotel</title>")},
		"assets/index-Ab12.js":  {Data: []byte("console.log('" + strings.Repeat("web ", 100) + "')")},
		"assets/index-Cd34.css": {Data: []byte("body{}")},
		"icon.svg":              {Data: []byte("<svg/>")},
		"manifest.webmanifest":  {Data: []byte("{}")},
		".gitkeep":              {Data: []byte("")},
		"secret.key":            {Data: []byte("secret")},
	}
}

func TestWeb(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) { o.Web = webFiles() })
	f := func(path, media, keep string) {
		t.Helper()
		w := ask(s, http.MethodGet, path, nil)
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != media || h.Get("Cache-Control") != keep {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
		if strings.HasPrefix(media, "text/html") && h.Get("Content-Security-Policy") != webPolicy {
			t.Errorf("%s: %s", path, h.Get("Content-Security-Policy"))
		}
	}
	for _, page := range []string{"/", "/?range=6h", "/processes", "/alerts?from=1&to=2", "/hosts", "/settings"} {
		f(page, "text/html; charset=utf-8", "no-cache")
	}
	const forever = "public, max-age=31536000, immutable"
	f("/assets/index-Ab12.js", "text/javascript; charset=utf-8", forever)
	f("/assets/index-Cd34.css", "text/css; charset=utf-8", forever)
	f("/icon.svg", "image/svg+xml", "no-cache")
	f("/manifest.webmanifest", "application/manifest+json", "no-cache")
	for _, path := range []string{"/index.html", "/.gitkeep", "/secret.key", "/assets/", "/assets", "/assets/index-old.js", "/processes/"} {
		if w := ask(s, http.MethodGet, path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestWebIsCompressed(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) { o.Web = webFiles() })
	f := func(accepts string, want bool) {
		t.Helper()
		w := ask(s, http.MethodGet, "/assets/index-Ab12.js", http.Header{"Accept-Encoding": {accepts}})
		if w.Header().Get("Vary") != "Accept-Encoding" || (w.Header().Get("Content-Encoding") == "gzip") != want {
			t.Fatalf("%q: %v", accepts, w.Header())
		}
		var body io.Reader = w.Body
		if want {
			z, err := gzip.NewReader(w.Body)
			if err != nil {
				t.Fatal(err)
			}
			body = z
		}
		if text, err := io.ReadAll(body); err != nil || string(text) != string(webFiles()["assets/index-Ab12.js"].Data) {
			t.Errorf("%q: %.40s %v", accepts, text, err)
		}
	}
	f("", false)
	f("br, deflate", false)
	f("gzip;q=0", false)
	f("identity, GZIP", true)
	f("gzip, deflate, br", true)
	f("br;q=1.0, gzip;q=0.8", true)
}

// TestWebRequiresALogin: the pages redirect to the login page and back; their assets
// are public.
func TestWebRequiresALogin(t *testing.T) {
	d := newAuthServer(t, func(o *Options) { o.Web = webFiles() })
	visit := http.Header{"Accept": {"text/html"}}
	if w := send(d.Server, remote, "GET", "/", "", visit); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "/login/setup.js") {
		t.Errorf("before there is an administrator: %d", w.Code)
	}
	session := http.Header{"Cookie": {"sysotel-8080=" + d.user("ada", Admin).Access}, "Accept": {"text/html"}}
	if w := send(d.Server, remote, "GET", "/alerts?range=6h", "", visit); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/login?next=%2Falerts%3Frange%3D6h" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := send(d.Server, remote, "GET", "/alerts", "", session); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
	if w := send(d.Server, remote, "GET", "/assets/index-Ab12.js", "", nil); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}
