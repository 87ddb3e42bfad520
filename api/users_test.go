package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestUsersOverHTTP(t *testing.T) {
	d := newAuthServer(t, nil)
	admin := bearer(d.user("ada", Admin).Access)
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		return send(d.Server, remote, method, "/api/v1/users"+path, body, admin)
	}
	w := ask("POST", "", `{"name":"grace","password":"`+testPassword+`"}`)
	var grace User
	if err := json.Unmarshal(w.Body.Bytes(), &grace); err != nil || w.Code != 200 || grace.Role != Viewer || grace.ID == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	problemOf(t, ask("POST", "", `{"name":"GRACE","password":"`+testPassword+`"}`), 409)
	problemOf(t, ask("POST", "", `{"name":"<img>","password":"`+testPassword+`"}`), 422)
	problemOf(t, ask("POST", "", `{"name":"x","password":"`+testPassword+`","role":"god"}`), 422)
	problemOf(t, ask("PATCH", "/none", `{"role":"admin"}`), 404)
	problemOf(t, ask("DELETE", "/none", ""), 404)
	session := d.login("grace")
	if w := send(d.Server, remote, "GET", "/api/v1/config", "", bearer(session)); w.Code != 403 {
		t.Errorf("a viewer gets %d", w.Code)
	}
	if w := ask("PATCH", "/"+grace.ID, `{"role":"admin"}`); w.Code != 200 || !strings.Contains(w.Body.String(), `"role":"admin"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := send(d.Server, remote, "GET", "/api/v1/config", "", bearer(session)); w.Code != 200 {
		t.Errorf("another role does not count at once: %d", w.Code)
	}
	if w := ask("PATCH", "/"+grace.ID, `{"password":"another good passphrase"}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	problemOf(t, send(d.Server, remote, "GET", "/api/v1/config", "", bearer(session)), 401)
	if w := ask("DELETE", "/"+grace.ID, ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	ada, _ := d.auth.UserNamed("ada")
	problemOf(t, ask("DELETE", "/"+ada.ID, ""), 409)
	problemOf(t, ask("PATCH", "/"+ada.ID, `{"role":"viewer"}`), 409)
	if w := ask("GET", "", ""); strings.Count(w.Body.String(), `"id"`) != 1 {
		t.Errorf("%s", w.Body)
	}
}

// login logs a user in and returns their access token.
func (d *authServer) login(name string) string {
	d.t.Helper()
	g, err := d.auth.Login(d.t.Context(), name, testPassword)
	if err != nil {
		d.t.Fatal(err)
	}
	return g.Access
}

func TestTokensOverHTTP(t *testing.T) {
	d := newAuthServer(t, nil)
	admin := bearer(d.user("ada", Admin).Access)
	w := send(d.Server, remote, "POST", "/api/v1/tokens", `{"name":"grafana","expires_in_seconds":3600}`, admin)
	var made NewToken
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != 200 || made.Token.Role != Viewer || made.Token.Expires.IsZero() {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := send(d.Server, remote, "GET", "/metrics", "", basic("grafana", made.Secret)); w.Code != 200 {
		t.Errorf("as a password: %d", w.Code)
	}
	list := send(d.Server, remote, "GET", "/api/v1/tokens", "", admin)
	if strings.Contains(list.Body.String(), made.Secret) || !strings.Contains(list.Body.String(), `"name":"grafana"`) {
		t.Errorf("%s", list.Body)
	}
	for _, body := range []string{`{"name":""}`, `{"name":"x","expires_in_seconds":-1}`, `{"name":"x","role":"public"}`, `{"name":"x","expires_in_seconds":1e30}`} {
		problemOf(t, send(d.Server, remote, "POST", "/api/v1/tokens", body, admin), 422)
	}
	problemOf(t, send(d.Server, remote, "POST", "/api/v1/tokens", `{"name":"grafana"}`, admin), 409)
	problemOf(t, send(d.Server, remote, "DELETE", "/api/v1/tokens/none", "", admin), 404)
	if w := send(d.Server, remote, "DELETE", "/api/v1/tokens/"+made.Token.ID, "", admin); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	problemOf(t, send(d.Server, remote, "GET", "/metrics", "", bearer(made.Secret)), 401)
}

// TestBodiesAreNotEchoed: a password in a misspelt field, or in a body that is not
// JSON, is in no response.
func TestBodiesAreNotEchoed(t *testing.T) {
	d := newAuthServer(t, nil)
	d.user("ada", Admin)
	for _, body := range []string{
		`{"name":"ada","pasword":"` + testPassword + `"}`,
		`{"name":"ada","password":["` + testPassword + `"]}`,
		`{"name":"ada","password":"` + testPassword + `"`,
		`{"name":"ada","password":"` + testPassword + `","cookie":"` + testPassword + `"}`,
		testPassword,
	} {
		w := send(d.Server, remote, http.MethodPost, authPath+"/login", body, nil)
		if w.Code < 400 || strings.Contains(w.Body.String(), testPassword) || strings.Contains(w.Body.String(), "kettles") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
