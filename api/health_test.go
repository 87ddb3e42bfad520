package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sysotel/agent/health"
)

func TestHealth(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))
	for _, c := range []struct {
		parts  []health.Component
		status health.Status
		code   int
	}{
		{nil, health.OK, 200},
		{[]health.Component{{Name: "a", Status: health.OK}}, health.OK, 200},
		{[]health.Component{{Name: "a", Status: health.OK}, {Name: "b", Status: health.Degraded, Reason: "slow", Since: since}, {Name: "c", Status: health.OK}}, health.Degraded, 200},
		{[]health.Component{{Name: "a", Status: health.Failed, Reason: "gone"}, {Name: "b", Status: health.Degraded}}, health.Failed, 503},
	} {
		s := newTestServer(t, ticked(), func(o *Options) {
			o.Health = func() []health.Component { return append([]health.Component(nil), c.parts...) }
		})
		w := ask(s, http.MethodGet, "/api/v1/health", nil)
		got := validated(t, s, "/api/v1/health", w.Body.Bytes())
		parts, _ := got["parts"].([]any)
		if w.Code != c.code || got["status"] != string(c.status) || len(parts) != len(c.parts) {
			t.Errorf("%v: %d %s", c.parts, w.Code, w.Body)
		}
		if c.status == health.Degraded && !strings.Contains(w.Body.String(), `{"name":"b","status":"degraded","reason":"slow","since":"2026-01-02T02:04:05Z"}`) {
			t.Errorf("%s", w.Body)
		}
		public := askAs(s, Public, http.MethodGet, "/api/v1/health", nil)
		if public.Code != c.code || strings.TrimSpace(public.Body.String()) != `{"status":"`+string(c.status)+`"}` {
			t.Errorf("without rights: %d %s", public.Code, public.Body)
		}
	}
}
