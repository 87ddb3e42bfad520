package api

import (
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
)

// Every route was added by register or page: the document has no other operations
// and the mux no other patterns.
func TestEveryRouteHasAnAccess(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	listed := map[string]Route{}
	for _, route := range s.Routes() {
		listed[route.Method+" "+route.Path] = route
	}
	operations := 0
	for path, item := range s.api.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete, "HEAD": item.Head, "OPTIONS": item.Options} {
			if op == nil {
				continue
			}
			operations++
			route, ok := listed[method+" "+path]
			if !ok {
				t.Errorf("%s %s is in the document and was not added by register", method, path)
			}
			if op.Extensions["x-sysotel-role"] != route.Access.Role.String() || op.Extensions["x-sysotel-cost"] != route.Access.Cost.String() || len(op.Security) == 0 {
				t.Errorf("%s %s: the document says %v and the check %v", method, path, op.Extensions, route.Access)
			}
			if op.Summary == "" || op.Description == "" || op.Responses["200"] == nil || op.Responses["403"] == nil || op.Responses["500"] == nil {
				t.Errorf("%s %s is not described", method, path)
			}
		}
	}
	if operations < 4 {
		t.Errorf("%d operations are in the document", operations)
	}
	for _, path := range []string{"/", "/docs", "/docs/style.css", "/openapi.json", "/openapi.yaml", "/metrics", "/api/v1/metrics/current", "/api/v1/metrics/processes", "/api/v1/metrics/stream", "/api/v1/health", "/debug/pprof/", "/schemas/Current.json"} {
		_, pattern := s.routes.mux.Handler(httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if _, ok := listed[pattern]; !ok && pattern != "/" {
			t.Errorf("%s is answered by %q, which was not added by page", path, pattern)
		}
	}
}

// Every Operation literal of this package is registered by a method of operations.
func TestEveryOperationIsRegistered(t *testing.T) {
	registered := map[string]bool{}
	for _, item := range newTestServer(t, ticked(), nil).api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				registered[op.OperationID] = true
			}
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	written := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for id := range operationIDs(parsed) {
			written++
			if !registered[id] {
				t.Errorf("%s: the operation %s is not registered; register it in a method of the type operations: func (operations) NAME(s *Server)", file, id)
			}
		}
	}
	if written < 10 {
		t.Errorf("%d operations are found in the code", written)
	}
}

// operationIDs yields the constant ID of each Operation literal of a file.
func operationIDs(file *ast.File) iter.Seq[string] {
	return func(yield func(string) bool) {
		for node := range ast.Preorder(file) {
			literal, ok := node.(*ast.CompositeLit)
			if !ok {
				continue
			}
			if name, ok := literal.Type.(*ast.Ident); !ok || name.Name != "Operation" {
				continue
			}
			for _, element := range literal.Elts {
				pair, ok := element.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				key, _ := pair.Key.(*ast.Ident)
				value, ok := pair.Value.(*ast.BasicLit)
				if key == nil || key.Name != "ID" || !ok {
					continue
				}
				if id, err := strconv.Unquote(value.Value); err == nil && !yield(id) {
					return
				}
			}
		}
	}
}

func TestAnOperationPastRegisterIsRefused(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	defer func() {
		if recover() == nil {
			t.Error("an operation without an Access was added")
		}
	}()
	huma.Get(s.api, "/past", streamOnly)
}

func TestRoles(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for _, c := range []struct {
		caller Role
		path   string
		want   int
	}{
		{Public, "/api/v1/health", 200},
		{Public, "/docs", 403},
		{Public, "/login", 200},
		{Public, "/api/v1/metrics/current", 403},
		{Public, "/api/v1/metrics/processes", 403},
		{Public, "/metrics", 403},
		{Viewer, "/api/v1/metrics/current", 200},
		{Viewer, "/metrics", 200},
		{Admin, "/api/v1/metrics/current", 200},
	} {
		w := askAs(s, c.caller, http.MethodGet, c.path, nil)
		if w.Code != c.want {
			t.Errorf("%s asks for %s: %d, want %d", c.caller, c.path, w.Code, c.want)
		}
		if c.want == 403 {
			if detail, _ := problemOf(t, w, 403); !strings.Contains(detail, "viewer") {
				t.Errorf("%q does not say which role is needed", detail)
			}
		}
	}
	s.routes.page(http.MethodGet, "/admins", Access{Role: Admin}, func(http.ResponseWriter, *http.Request) { t.Error("a viewer came through") })
	if detail, _ := problemOf(t, askAs(s, Viewer, http.MethodGet, "/admins", nil), 403); !strings.Contains(detail, "Unix socket") {
		t.Errorf("%q does not say how to be admin", detail)
	}
}

func TestBadQueries(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	const processes, current = "/api/v1/metrics/processes?", "/api/v1/metrics/current?"
	for _, c := range []struct{ target, location, says string }{
		{processes + "top=0", "query.top", "from 1 to 1000"},
		{processes + "top=1001", "query.top", "from 1 to 1000"},
		{processes + "top=-1", "query.top", "from 1 to 1000"},
		{processes + "top=99999999999999999999", "query.top", "from 1 to 1000"},
		{processes + "top=ten", "query.top", "whole number"},
		{processes + "top=1.5", "query.top", "whole number"},
		{processes + "top=", "query.top", "whole number"},
		{processes + "top=1&top=2", "query.top", "once"},
		{processes + "sort=beauty", "query.sort", "cpu, memory, io"},
		{processes + "sort=", "query.sort", "cpu, memory, io"},
		{processes + "sort=CPU", "query.sort", "cpu, memory, io"},
		{processes + "q=" + strings.Repeat("x", 101), "query.q", "at most 100"},
		{processes + "at=2026-01-01", "query.at", "RFC 3339"},
		{processes + "Top=3", "query.Top", "q, sort, start, top"},
		{current + "pretty", "query.pretty", "it has none"},
		{"/api/v1/health?x=1", "query.x", "it has format"},
		{"/api/v1/metrics/stream?x=1", "query.x", "it has none"},
		{processes + "q=%zz", "query", "%XX"},
		{processes + "a=1;b=2", "query", "joined by &"},
	} {
		_, invalid := problemOf(t, ask(s, http.MethodGet, c.target, nil), http.StatusUnprocessableEntity)
		if !strings.Contains(invalid[c.location], c.says) {
			t.Errorf("%s: %v, want %s: …%s…", c.target, invalid, c.location, c.says)
		}
	}
	_, invalid := problemOf(t, ask(s, http.MethodGet, processes+"top=0&sort=x&z=1", nil), http.StatusUnprocessableEntity)
	if len(invalid) != 3 {
		t.Errorf("%v, want all three invalid at once", invalid)
	}
	w := ask(s, http.MethodGet, processes+"q="+url.QueryEscape("\x1b[2J<img>\xff"), nil)
	if w.Code != http.StatusOK {
		t.Errorf("any text can be searched for, and this gave %d", w.Code)
	}
}

func TestLost(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	for _, path := range []string{"/api", "/api/v1/", "/api/v2/metrics/current", "/api/v1/metrics/current/", "/favicon.ico", "/docs/../secret", "/openapi-3.0.json", "/schemas/Current.json", "/%2e%2e/etc/passwd"} {
		w := ask(s, http.MethodGet, path, nil)
		if w.Code == http.StatusMovedPermanently || w.Code == http.StatusTemporaryRedirect {
			w = ask(s, http.MethodGet, w.Header().Get("Location"), nil) // A path with dots is redirected first.
		}
		if detail, _ := problemOf(t, w, http.StatusNotFound); !strings.Contains(detail, "/docs") {
			t.Errorf("%s: %q does not say where to look", path, detail)
		}
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
		for _, path := range []string{"/api/v1/metrics/current", "/docs", "/"} {
			w := ask(s, method, path, nil)
			problemOf(t, w, http.StatusMethodNotAllowed)
			if got := w.Header().Get("Allow"); got != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", method, path, got)
			}
		}
	}
}

func TestInnerErrorsStayInside(t *testing.T) {
	var logged strings.Builder
	s := newTestServer(t, ticked(), func(o *Options) { o.Logger = textLogger(&logged) })
	register(s, Operation{ID: "fail", Method: http.MethodGet, Path: "/api/v1/health/fail", Summary: "Fails", Description: "It fails.", Access: Access{Role: Public}, Example: "x"}, failing)
	s.routes.page(http.MethodGet, "/panic", Access{}, func(http.ResponseWriter, *http.Request) { panic("open /etc/secret") })
	for _, path := range []string{"/api/v1/health/fail", "/panic"} {
		w := ask(s, http.MethodGet, path, nil)
		problemOf(t, w, http.StatusInternalServerError)
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s exposes an internal error: %s", path, w.Body)
		}
	}
	if strings.Count(logged.String(), "open /etc/secret") != 2 {
		t.Errorf("the log does not say what went wrong: %s", logged.String())
	}
}

func TestAPanicInHalfAnAnswerBreaksTheConnection(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	s.routes.page(http.MethodGet, "/half", Access{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"half":`))
		panic("now")
	})
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // As net/http compares it.
			t.Errorf("recovered %v, want http.ErrAbortHandler", p)
		}
	}()
	ask(s, http.MethodGet, "/half", nil)
}
