package api

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sysotel/agent/auth"
)

// ownPage has the headers that browsers send for our pages.
var ownPage = http.Header{"Origin": {"http://localhost:8080"}}

// sessionOf decodes the response of a login.
func sessionOf(t *testing.T, w *httptest.ResponseRecorder) Session {
	t.Helper()
	var s Session
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetupOverHTTP(t *testing.T) {
	d := newAuthServer(t, nil)
	const path = authPath + "/setup"
	body := func(code, password string) string {
		b, _ := json.Marshal(SetupRequest{Code: code, Name: "ada", Password: password})
		return string(b)
	}
	problemOf(t, send(d.Server, remote, "POST", path, body("guess", testPassword), nil), 401)
	code, _, err := d.auth.NewSetupCode()
	if err != nil {
		t.Fatal(err)
	}
	if link := d.SetupLink(code); !strings.HasSuffix(link, "/setup#"+code) {
		t.Errorf("the link is %s", link)
	}
	if detail, _ := problemOf(t, send(d.Server, remote, "POST", path, body(code, "short"), nil), 422); strings.Contains(detail, "short ") && !strings.Contains(detail, "12") {
		t.Errorf("%q does not say the rule", detail)
	}
	s := sessionOf(t, send(d.Server, remote, "POST", path, body(code, testPassword), nil))
	if s.User.Name != "ada" || s.User.Role != Admin || s.AccessToken == "" || s.RefreshToken == "" {
		t.Errorf("%+v", s)
	}
	if w := send(d.Server, remote, "GET", "/api/v1/config", "", bearer(s.AccessToken)); w.Code != 200 {
		t.Errorf("the administrator gets %d", w.Code)
	}
	problemOf(t, send(d.Server, remote, "POST", path, body(code, testPassword), nil), 409)
	if n := len(d.auth.Users()); n != 1 {
		t.Errorf("%d users", n)
	}
}

func TestLogIn(t *testing.T) {
	d := newAuthServer(t, nil)
	d.user("ada", Admin)
	login := func(name, password string) *httptest.ResponseRecorder {
		b, _ := json.Marshal(LoginRequest{Name: name, Password: password})
		return send(d.Server, remote, "POST", authPath+"/login", string(b), nil)
	}
	wrong, _ := problemOf(t, login("ada", "not the password"), 401)
	unknown, _ := problemOf(t, login("nobody", "not the password"), 401)
	if wrong != unknown {
		t.Errorf("%q and %q tell users from others", wrong, unknown)
	}
	if got := login("ada", "x").Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
		t.Errorf("WWW-Authenticate %q", got)
	}
	s := sessionOf(t, login("ADA", testPassword))
	if w := login("ada", testPassword); len(w.Header().Values("Set-Cookie")) > 0 {
		t.Errorf("unexpected cookies: %v", w.Header())
	}
	var me Me
	w := send(d.Server, remote, "GET", authPath+"/me", "", bearer(s.AccessToken))
	if err := json.Unmarshal(w.Body.Bytes(), &me); err != nil || me.Kind != "user" || me.Name != "ada" || me.Role != Admin {
		t.Errorf("%+v, %v", me, err)
	}
}

// TestRefreshOverHTTP: a refresh token can be used once; a second use ends the session.
func TestRefreshOverHTTP(t *testing.T) {
	d := newAuthServer(t, nil)
	g := d.user("ada", Admin)
	refresh := func(token string) *httptest.ResponseRecorder {
		b, _ := json.Marshal(RefreshRequest{RefreshToken: token})
		return send(d.Server, remote, "POST", authPath+"/refresh", string(b), nil)
	}
	problemOf(t, refresh("guess"), 401)
	problemOf(t, refresh(""), 401)
	second := sessionOf(t, refresh(g.Refresh))
	third := sessionOf(t, refresh(second.RefreshToken))
	// The token before the newest comes from another tab: no secret, and no harm.
	w := refresh(second.RefreshToken)
	if detail, _ := problemOf(t, w, 409); !strings.Contains(detail, "newer tokens") || len(w.Header().Values("Set-Cookie")) > 0 {
		t.Errorf("%q %v", detail, w.Header())
	}
	if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", bearer(third.AccessToken)); w.Code != 200 {
		t.Errorf("the session ended: %d", w.Code)
	}
	if detail, _ := problemOf(t, refresh(g.Refresh), 401); !strings.Contains(detail, "already used") {
		t.Errorf("%q", detail)
	}
	for name, token := range map[string]string{"first": g.Access, "second": second.AccessToken, "third": third.AccessToken} {
		if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", bearer(token)); w.Code != 401 {
			t.Errorf("the %s access token is still taken: %d", name, w.Code)
		}
	}
	problemOf(t, refresh(third.RefreshToken), 401)
}

func TestLogOut(t *testing.T) {
	d := newAuthServer(t, nil)
	g, other := d.user("ada", Admin), d.user("grace", Viewer)
	if w := send(d.Server, remote, "POST", authPath+"/logout", "", bearer(g.Access)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	problemOf(t, send(d.Server, remote, "GET", "/api/v1/metrics/current", "", bearer(g.Access)), 401)
	b, _ := json.Marshal(RefreshRequest{RefreshToken: g.Refresh})
	problemOf(t, send(d.Server, remote, "POST", authPath+"/refresh", string(b), nil), 401)
	if w := send(d.Server, remote, "GET", "/api/v1/metrics/current", "", bearer(other.Access)); w.Code != 200 {
		t.Errorf("another's session ended too: %d", w.Code)
	}
	problemOf(t, send(d.Server, remote, "POST", authPath+"/logout", "", bearer(d.token("probe", Viewer))), 409)
}

// TestCookies: attributes, names with and without TLS, and tokens only in the
// cookies.
func TestCookies(t *testing.T) {
	for _, c := range []struct {
		name            string
		external        string
		tls             bool
		origin          string
		access, refresh string
		secure          bool
	}{
		{"loopback", "", false, "http://localhost:8080", "sysotel-8080", "sysotel-refresh-8080", false},
		{"TLS", "", true, "https://localhost:8080", "__Host-sysotel-8080", "__Secure-sysotel-refresh-8080", true},
		{"behind a proxy", "https://sysotel.example", false, "https://sysotel.example", "__Host-sysotel-8080", "__Secure-sysotel-refresh-8080", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newAuthServer(t, func(o *Options) { o.Config.ExternalURL = c.external })
			if _, err := d.auth.AddUser(t.Context(), "ada", testPassword, Admin); err != nil {
				t.Fatal(err)
			}
			post := func(path, body string, cookies []*http.Cookie) *http.Response {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, authPath+path, strings.NewReader(body))
				r.Host = "localhost:8080"
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Origin", c.origin)
				if c.tls {
					r.TLS = &tls.ConnectionState{}
				}
				for _, one := range cookies {
					r.AddCookie(one)
				}
				w := httptest.NewRecorder()
				d.Handler().ServeHTTP(w, r.WithContext(withCaller(r.Context(), remote)))
				if w.Code != 200 {
					t.Fatalf("%s: %d %s", path, w.Code, w.Body)
				}
				if strings.Contains(w.Body.String(), "_token") {
					t.Errorf("%s returns the tokens: %s", path, w.Body)
				}
				return w.Result()
			}
			in := post("/login", `{"name":"ada","password":"`+testPassword+`","cookie":true}`, nil)
			cookies := in.Cookies()
			if len(cookies) != 2 {
				t.Fatalf("%v", cookies)
			}
			for i, want := range []struct {
				name, path string
				age        time.Duration
			}{{c.access, "/", 15 * time.Minute}, {c.refresh, authPath, time.Hour}} {
				got := cookies[i]
				age := time.Duration(got.MaxAge) * time.Second
				if got.Name != want.name || got.Path != want.path || got.Domain != "" || !got.HttpOnly || got.Secure != c.secure || got.SameSite != http.SameSiteStrictMode || age > want.age || age < want.age-time.Minute {
					t.Errorf("%s", got.Raw)
				}
			}
			again := post("/refresh", `{"cookie":true}`, cookies)
			out := post("/logout", "", again.Cookies())
			for _, got := range out.Cookies() {
				if got.MaxAge >= 0 || got.Value != "" {
					t.Errorf("after the log-out: %s", got.Raw)
				}
			}
			if _, err := d.auth.Verify(again.Cookies()[0].Value); err == nil {
				t.Error("the session lives on after the log-out")
			}
		})
	}
}

// TestStaleCookie: a browser with an expired cookie still reaches the login page.
func TestStaleCookie(t *testing.T) {
	d := newAuthServer(t, nil)
	d.user("ada", Admin)
	stale := http.Header{"Cookie": {"sysotel-8080=stale"}, "Accept": {"text/html"}}
	if w := send(d.Server, remote, "GET", "/login", "", stale); w.Code != 200 {
		t.Errorf("/login: %d", w.Code)
	}
	if w := send(d.Server, remote, "GET", "/docs?a=b&c", "", stale); w.Code != 303 || w.Header().Get("Location") != "/login?next=%2Fdocs%3Fa%3Db%26c" {
		t.Errorf("/docs: %d %v", w.Code, w.Header())
	}
	problemOf(t, send(d.Server, remote, "GET", "/docs", "", http.Header{"Cookie": stale["Cookie"]}), 401)
	header := ownPage.Clone()
	header["Cookie"] = stale["Cookie"]
	sessionOf(t, send(d.Server, remote, "POST", authPath+"/login", `{"name":"ada","password":"`+testPassword+`","cookie":true}`, header))
}

func TestOwnPassword(t *testing.T) {
	d := newAuthServer(t, nil)
	g := d.user("ada", Viewer)
	d.user("root", Admin)
	const path = authPath + "/password"
	change := func(old, password string) string {
		b, _ := json.Marshal(PasswordRequest{OldPassword: old, NewPassword: password})
		return string(b)
	}
	problemOf(t, send(d.Server, remote, "POST", path, change("wrong", testPassword+"!"), bearer(g.Access)), 403)
	problemOf(t, send(d.Server, remote, "POST", path, change(testPassword, "short"), bearer(g.Access)), 422)
	problemOf(t, send(d.Server, remote, "POST", path, change(testPassword, testPassword+"!"), bearer(d.token("probe", Admin))), 409)
	after := sessionOf(t, send(d.Server, remote, "POST", path, change(testPassword, testPassword+"!"), bearer(g.Access)))
	problemOf(t, send(d.Server, remote, "GET", authPath+"/me", "", bearer(g.Access)), 401)
	if w := send(d.Server, remote, "GET", authPath+"/me", "", bearer(after.AccessToken)); w.Code != 200 {
		t.Errorf("the new session gets %d", w.Code)
	}
}

// TestCookiesLastByTheClock: sessions are by the clock that is believed, which need not be
// the wall clock; a browser counts for itself.
func TestCookiesLastByTheClock(t *testing.T) {
	now := time.Date(2020, 1, 1, 0, 0, 30, 0, time.UTC)
	d := newAuthServer(t, func(o *Options) { o.Now = func() time.Time { return now } })
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, authPath+"/login", nil)
	grant := auth.Grant{Access: "a", AccessUntil: now.Add(15 * time.Minute), Refresh: "r", RefreshUntil: now.Add(time.Hour)}
	for i, want := range []int{900, 3600} {
		if got := d.cookies(r, grant)[i]; got.MaxAge != want || got.Value == "" {
			t.Errorf("%s lasts %d s, want %d", got.Name, got.MaxAge, want)
		}
	}
}
