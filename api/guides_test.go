package api

import (
	"net/http"
	"strings"
	"testing"
)

// TestGuidePages: a guide is a page with tables, code and links to other guides;
// HTML in it is not passed on.
func TestGuidePages(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Guides = []Guide{
			{File: "agent/store/HISTORY.md", Text: "# History\n\n| a | b |\n|---|---|\n| 1 second | `x`<br>y |\n\nSee [alerts](../alerting/ALERTS.md).\n\n<script>alert(1)</script>\n"},
			{File: "agent/alerting/ALERTS.md", Text: "# Alerts\n\n```sh\ncurl 'a<b'\n```\n"},
		}
	})
	page := ask(s, http.MethodGet, "/docs/history", nil)
	body := page.Body.String()
	if page.Code != http.StatusOK || page.Header().Get("Content-Type") != "text/html; charset=utf-8" || page.Header().Get("Content-Security-Policy") != docsPolicy {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	for _, want := range []string{
		"<title>History", "<td>1 second</td>", "<code>x</code><br>\ny", `<a href="/docs/alerts">alerts</a>`,
		`<a href="/docs/history" aria-current="page">History</a>`, `<a href="/docs/alerts">Alerts</a>`, `<a href="/docs">`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s:\n%s", want, body)
		}
	}
	if strings.Contains(body, "<script>alert") {
		t.Error("HTML of the Markdown is on the page")
	}
	if body := ask(s, http.MethodGet, "/docs/alerts", nil).Body.String(); !strings.Contains(body, "curl 'a&lt;b'") {
		t.Errorf("the code block is missing:\n%s", body)
	}
	if body := ask(s, http.MethodGet, "/docs", nil).Body.String(); !strings.Contains(body, `<a href="/docs/history">History</a>`) {
		t.Error("/docs does not list the guides")
	}
	if w := ask(s, http.MethodGet, "/docs/nothing", nil); w.Code != http.StatusNotFound {
		t.Errorf("/docs/nothing: %d", w.Code)
	}
}
