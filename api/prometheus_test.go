package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"sysotel/api/promql"
)

func TestPrometheusIsMounted(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.PromQL = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(promql.TierHeader, "1s")
			_, _ = fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, r.FormValue("query"))
		})
	})
	post := func(caller Role, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/prometheus/api/v1/query", strings.NewReader(url.Values{"query": {"up"}}.Encode()))
		r.Host = "localhost:8080"
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), Caller{Role: caller})))
		return w
	}
	if w := post(Viewer, ""); w.Body.String() != "POST /api/v1/query up" || w.Header().Get(promql.TierHeader) != "1s" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := post(Public, ""); w.Code != http.StatusForbidden {
		t.Errorf("the public gets %d", w.Code)
	}
	if w := post(Viewer, "https://evil.example"); w.Code != http.StatusForbidden {
		t.Errorf("another origin gets %d", w.Code)
	}
	for _, path := range []string{"config", "flags"} {
		for caller, want := range map[Role]int{Viewer: http.StatusForbidden, Admin: http.StatusOK} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/prometheus/api/v1/status/"+path, nil)
			r.Host = "localhost:8080"
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), Caller{Role: caller})))
			if w.Code != want {
				t.Errorf("%s for the role %v: %d, want %d", path, caller, w.Code, want)
			}
		}
	}
	for target, want := range map[string]string{
		"/prometheus/api/v1/query_range?query=up": "GET /api/v1/query_range up",
		"/prometheus/api/v1/label/a%2Fb/values":   "GET /api/v1/label/a/b/values ",
		"/prometheus/api/v1/nothing":              "GET /api/v1/nothing ",
	} {
		if w := ask(s, http.MethodGet, target, nil); w.Body.String() != want {
			t.Errorf("%s: %d %s, want %s", target, w.Code, w.Body, want)
		}
	}
	problemOf(t, ask(s, http.MethodDelete, "/prometheus/api/v1/series", nil), http.StatusMethodNotAllowed)
	problemOf(t, ask(s, http.MethodGet, "/prometheus/classic", nil), http.StatusNotFound)
}

func TestWithoutHistoryPrometheusSaysSo(t *testing.T) {
	w := ask(newTestServer(t, ticked(), nil), http.MethodGet, "/prometheus/api/v1/query?query=up", nil)
	var answer struct{ Status, ErrorType, Error string }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusServiceUnavailable {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if answer.Status != "error" || answer.ErrorType != "unavailable" || !strings.Contains(answer.Error, "store.backend") {
		t.Errorf("%+v", answer)
	}
}
