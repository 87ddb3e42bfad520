package api

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestLoginPages: the pages load nothing from other servers and have no inline
// scripts, as their policy demands.
func TestLoginPages(t *testing.T) {
	d := newAuthServer(t, func(o *Options) { o.Hostname = `<script>alert("x")</script>` })
	d.user("ada", Admin)
	for _, path := range []string{"/login", "/setup"} {
		w := send(d.Server, remote, "GET", path, "", nil)
		page := w.Body.String()
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" || w.Header().Get("Content-Security-Policy") != loginPagePolicy {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		for _, bad := range []string{"<script>", "style=", "onclick", "onsubmit", "javascript:", "http://localhost", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
		for _, m := range regexp.MustCompile(`(?:src|href)="(/[^"]*)"`).FindAllStringSubmatch(page, -1) {
			if w := send(d.Server, remote, "GET", m[1], "", nil); w.Code != 200 {
				t.Errorf("%s asks for %s: %d", path, m[1], w.Code)
			}
		}
		for _, m := range regexp.MustCompile(`<input id="([a-z]+)"`).FindAllStringSubmatch(page, -1) {
			if !strings.Contains(page, `<label for="`+m[1]+`"`) {
				t.Errorf("%s: the field %s has no label", path, m[1])
			}
		}
	}
	style := send(d.Server, remote, "GET", "/login/login.css", "", nil).Body.String()
	if !strings.Contains(style, "prefers-color-scheme: dark") || strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the style has no dark side, or asks for more")
	}
	for _, name := range []string{"ask.js", "login.js", "setup.js", "session.js"} {
		w := send(d.Server, remote, "GET", loginAssetPath+name, "", nil)
		if w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" || strings.Contains(w.Body.String(), "innerHTML") || strings.Contains(w.Body.String(), "://") {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

// TestDocsShowWhoIsLoggedIn: the page has a script only if logins are required.
func TestDocsShowWhoIsLoggedIn(t *testing.T) {
	d := newAuthServer(t, nil)
	session := http.Header{"Cookie": {"sysotel-8080=" + d.user("ada", Admin).Access}}
	w := send(d.Server, remote, "GET", "/docs", "", session)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "/login/session.js") || !strings.Contains(w.Body.String(), "Log out") {
		t.Errorf("%d", w.Code)
	}
	if policy := w.Header().Get("Content-Security-Policy"); policy != docsLoginPolicy {
		t.Errorf("%s", policy)
	}
}

// TestPathTraversal: no path of a request is looked up in a file system.
func TestPathTraversal(t *testing.T) {
	d := newAuthServer(t, nil)
	viewer := bearer(d.user("ada", Admin).Access)
	for _, dots := range []string{"..", "%2e%2e", ".%2e", "%2E.", "..%2f..", "..%5c..", "%252e%252e", "..%00", "....//"} {
		for _, base := range []string{"/login/", "/docs/", "/login_pages/", "/setup/", "/prometheus/api/v1/", "/"} {
			for _, end := range []string{"/login.go", "/login/login.html", "/etc/passwd", "/docs.html"} {
				target := base + dots + end
				for range 3 { // A path with dots is redirected to the clean path first.
					w := send(d.Server, remote, "GET", target, "", viewer)
					if w.Code != http.StatusMovedPermanently && w.Code != http.StatusTemporaryRedirect && w.Code != http.StatusPermanentRedirect {
						if w.Code < 400 {
							t.Errorf("%s: %d %.80s", target, w.Code, w.Body)
						}
						break
					}
					if target = w.Header().Get("Location"); !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") {
						t.Fatalf("it leads to %s", target)
					}
				}
			}
		}
	}
	for _, path := range []string{"/login/login.html", "/login/setup.html", "/login/", "/login_pages", "/docs.html", "/docs/"} {
		problemOf(t, send(d.Server, remote, "GET", path, "", viewer), http.StatusNotFound)
	}
}
