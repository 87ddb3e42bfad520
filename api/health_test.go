package api

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHealth(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))
	for _, c := range []struct {
		parts  []Part
		status Status
		code   int
	}{
		{nil, OK, 200},
		{[]Part{{Name: "a", Status: OK}}, OK, 200},
		{[]Part{{Name: "a", Status: OK}, {Name: "b", Status: Degraded, Reason: "slow", Since: since}, {Name: "c", Status: OK}}, Degraded, 200},
		{[]Part{{Name: "a", Status: Failed, Reason: "gone"}, {Name: "b", Status: Degraded}}, Failed, 503},
	} {
		s := newTestServer(t, ticked(), func(o *Options) { o.Health = func() []Part { return append([]Part(nil), c.parts...) } })
		w := ask(s, http.MethodGet, "/api/v1/health", nil)
		got := validated(t, s, "/api/v1/health", w.Body.Bytes())
		parts, _ := got["parts"].([]any)
		if w.Code != c.code || got["status"] != string(c.status) || len(parts) != len(c.parts) {
			t.Errorf("%v: %d %s", c.parts, w.Code, w.Body)
		}
		if c.status == Degraded && !strings.Contains(w.Body.String(), `{"name":"b","status":"degraded","reason":"slow","since":"2026-01-02T02:04:05Z"}`) {
			t.Errorf("%s", w.Body)
		}
		public := askAs(s, Public, http.MethodGet, "/api/v1/health", nil)
		if public.Code != c.code || strings.TrimSpace(public.Body.String()) != `{"status":"`+string(c.status)+`"}` {
			t.Errorf("without rights: %d %s", public.Code, public.Body)
		}
	}
}
