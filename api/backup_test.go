package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestBackup: only administrators can make one, and errors say what is wrong.
func TestBackup(t *testing.T) {
	var asked []string
	s := newTestServer(t, ticked(), func(o *Options) {
		o.Backup = func(_ context.Context, dir string, _ bool) error {
			asked = append(asked, dir)
			switch dir {
			case "/full":
				return fmt.Errorf("%w: /full is not empty", ErrBackupRefused)
			case "/early":
				return fmt.Errorf("%w: the store is opening", ErrBackupNotYet)
			case "/breaks":
				return errors.New("write /secret/path: input/output error")
			}
			return nil
		}
	})
	post := func(caller Role, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/backup", strings.NewReader(body))
		r.Host = "localhost:8080"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), Caller{Role: caller})))
		return w
	}
	for _, caller := range []Role{Public, Viewer} {
		problemOf(t, post(caller, `{"directory":"/good"}`), http.StatusForbidden)
	}
	if w := post(Admin, `{"directory":"/good"}`); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"directory":"/good"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	detail, invalid := problemOf(t, post(Admin, `{"directory":"/full"}`), http.StatusUnprocessableEntity)
	if !strings.Contains(detail, "/full is not empty") || invalid["body.directory"] == "" {
		t.Errorf("%s %v", detail, invalid)
	}
	if detail, _ := problemOf(t, post(Admin, `{"directory":"/breaks"}`), http.StatusInternalServerError); strings.Contains(detail, "secret") {
		t.Errorf("the problem says %s", detail)
	}
	if detail, _ := problemOf(t, post(Admin, `{"directory":"/early"}`), http.StatusServiceUnavailable); !strings.Contains(detail, "the store is opening") {
		t.Errorf("the problem says %s", detail)
	}
	problemOf(t, post(Admin, `{}`), http.StatusUnprocessableEntity)
	if got := strings.Join(asked, " "); got != "/good /full /breaks /early" {
		t.Errorf("asked for %s", got)
	}
	without := newTestServer(t, ticked(), nil)
	s = without
	problemOf(t, post(Admin, `{"directory":"/good"}`), http.StatusServiceUnavailable)
}
