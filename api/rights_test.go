package api

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// harmless are the operations that are not GET and that others than administrators may
// call. Each change of this list is a decision.
var harmless = []string{
	"change-password", // The caller's own, with the current one.
	"log-in", "log-out", "refresh", "set-up",
	"preview-alert", // It only evaluates.
}

// TestOnlyAdministratorsMakeChanges: by the document, whatever is not read requires
// the role admin, or is on the list with a reason in its Access.
func TestOnlyAdministratorsMakeChanges(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	text, err := s.documentJSON()
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			ID   string `json:"operationId"`
			Role string `json:"x-sysotel-role"`
		}
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	changes, seen := 0, map[string]bool{}
	for path, item := range document.Paths {
		for method, op := range item {
			if method == "get" {
				continue
			}
			seen[op.ID] = true
			if op.Role == "admin" {
				changes++
			} else if !slices.Contains(harmless, op.ID) {
				t.Errorf("%s %s (%s) is for the role %s", method, path, op.ID, op.Role)
			}
		}
	}
	if changes < 10 {
		t.Errorf("the document has %d changes", changes)
	}
	for _, id := range harmless {
		if !seen[id] {
			t.Errorf("%s is on the list, and there is no such operation", id)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a change for everybody was accepted")
		}
	}()
	s.routes.page(http.MethodPost, "/everybody", Access{Role: Viewer}, nil)
}

// TestRefusedOnTheMachine: who is not root reads why, in one sentence.
func TestRefusedOnTheMachine(t *testing.T) {
	off := newAuthServer(t, func(o *Options) { o.Authenticate = false; o.Config.CORS = []string{"https://home.example"} })
	pipe, other := net.Pipe() // Not a connection that the kernel knows.
	defer pipe.Close()
	defer other.Close()
	for why, c := range map[string]struct {
		caller Caller
		header http.Header
	}{
		"this connection is user 54321's":                   {localUser(54321), nil},
		"whose connection this is, is unknown":              {Caller{Role: Viewer, Local: true}, nil},
		"the system does not tell whose connection this is": {Caller{Role: Viewer, Local: true, holder: &holder{conn: pipe}}, nil},
		"this request came through a proxy":                 {localUser(0), http.Header{"X-Forwarded-For": {"192.0.2.7"}}},
		"this request comes from a page of another site":    {localUser(0), http.Header{"Origin": {"https://home.example"}}},
	} {
		w := send(off.Server, c.caller, "GET", "/api/v1/config", "", c.header)
		if detail, _ := problemOf(t, w, http.StatusForbidden); !strings.Contains(detail, why+"; log in, send an API token, or use the Unix socket") {
			t.Errorf("%q does not say %q", detail, why)
		}
	}
}

// TestMeOnTheMachine: the page is told the role that the kernel gives, and whether
// there is a session to refresh.
func TestMeOnTheMachine(t *testing.T) {
	off := newAuthServer(t, func(o *Options) { o.Authenticate = false })
	g := off.user("ada", Admin)
	for _, c := range []struct {
		caller Caller
		header http.Header
		want   string
	}{
		{localUser(0), nil, `{"kind":"local","name":"uid 0","role":"admin"}`},
		{localUser(54321), nil, `{"kind":"local","role":"viewer"}`},
		{localUser(54321), http.Header{"Cookie": {"sysotel-refresh-8080=" + g.Refresh}}, `{"kind":"local","role":"viewer","can_refresh":true}`},
		{localUser(54321), own(g), `{"kind":"user","id":"` + g.Identity.ID + `","name":"ada","role":"admin"}`},
	} {
		w := send(off.Server, c.caller, "GET", "/api/v1/auth/me", "", c.header)
		if got := strings.TrimSpace(w.Body.String()); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
