package api

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestStorage(t *testing.T) {
	oldest := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Storage = func() Storage {
			return Storage{
				Backend: "embedded", Bytes: 30, MaxBytes: 100,
				Tiers:   []StoredTier{{Tier: "1s", Step: 1, Retention: 86400, Oldest: oldest, Newest: oldest.Add(time.Hour), Bytes: 20}, {Tier: "1h", Step: 3600, Retention: 31536000}},
				Records: StoredRecords{Bytes: 10, Tiers: []RecordTier{{Step: 5, Retention: 86400}}},
				Folded:  []FoldedNames{{Collector: "process", Names: 3}},
			}
		}
	})
	w := ask(s, http.MethodGet, "/api/v1/storage", nil)
	got := validated(t, s, "/api/v1/storage", w.Body.Bytes())
	if tiers, _ := got["tiers"].([]any); w.Code != http.StatusOK || len(tiers) != 2 || got["max_bytes"] != 100.0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A tier that is not open has no times, rather than those of the year 1.
	if body := w.Body.String(); strings.Count(body, `"oldest"`) != 1 || !strings.Contains(body, `{"tier":"1h","step_seconds":3600,"retention_seconds":31536000,"bytes":0}`) {
		t.Errorf("%s", body)
	}
	if w := askAs(s, Public, http.MethodGet, "/api/v1/storage", nil); w.Code == http.StatusOK {
		t.Errorf("without a role: %d %s", w.Code, w.Body)
	}
	none := newTestServer(t, ticked(), nil)
	if w := ask(none, http.MethodGet, "/api/v1/storage", nil); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "There are no readings: this agent keeps no history") {
		t.Errorf("without a history: %d %s", w.Code, w.Body)
	}
}
