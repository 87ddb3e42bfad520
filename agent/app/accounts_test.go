package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/api"
)

// A password that no log may contain.
const secretPassword = "brown kettles sing on tuesdays"

// printed is what an agent prints.
type printed struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// guarded starts an agent that requires login. It returns its URL, what it printed
// and its log.
func guarded(t *testing.T, c config.Config) (base string, out *printed, log *printed) {
	t.Helper()
	out, log = &printed{}, &printed{}
	a, err := New(Options{Config: c, Version: "test", Out: out, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
	return "http://" + a.Addr().String(), out, log
}

// person is a browser, with its cookies.
type person struct {
	t    *testing.T
	http *http.Client
	base string
}

// visit is a person without cookies.
func visit(t *testing.T, base string) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &person{t: t, base: base, http: &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// do sends a document, nil for none, and returns the response.
func (p *person) do(method, path string, body any) (status int, header http.Header, text string) {
	p.t.Helper()
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			p.t.Fatal(err)
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, content)
	if err != nil {
		p.t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Origin", p.base)
	if !strings.HasPrefix(path, "/api/") {
		r.Header.Set("Accept", "text/html")
	}
	response, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}

// want is do with an expected status.
func (p *person) want(status int, method, path string, body any) string {
	p.t.Helper()
	got, _, text := p.do(method, path, body)
	if got != status {
		p.t.Errorf("%s %s: %d, want %d: %.300s", method, path, got, status, text)
	}
	return text
}

// TestFromSetupToLogout uses an account as a browser does, from setup to logout.
func TestFromSetupToLogout(t *testing.T) {
	c := configure(t, "--auth.mode=always")
	base, out, log := guarded(t, c)
	link := regexp.MustCompile(`^sysotel: make the first administrator within 15 minutes: ` + regexp.QuoteMeta(base) + `/setup#(\S+)\n$`).FindStringSubmatch(out.String())
	if link == nil {
		t.Fatalf("the agent printed %q", out)
	}
	code := link[1]
	browser := visit(t, base)

	// Before there is an administrator.
	browser.want(200, "GET", "/setup", nil)
	browser.want(401, "GET", "/docs", nil)
	browser.want(401, "GET", "/api/v1/metrics/current", nil)
	browser.want(401, "POST", "/api/v1/auth/login", map[string]any{"name": "ada", "password": secretPassword})
	if got := strings.TrimSpace(browser.want(200, "GET", "/api/v1/health", nil)); got != `{"status":"ok"}` {
		t.Errorf("health says %s", got)
	}

	// Setup, first with an invalid password, which must not use up the link.
	setup := map[string]any{"code": code, "name": "ada", "password": "short", "cookie": true}
	browser.want(422, "POST", "/api/v1/auth/setup", setup)
	setup["password"] = secretPassword
	browser.want(200, "POST", "/api/v1/auth/setup", setup)
	visit(t, base).want(409, "POST", "/api/v1/auth/setup", setup)
	if page := browser.want(200, "GET", "/docs", nil); !strings.Contains(page, "Log out") {
		t.Error("the page does not show who is logged in")
	}
	var me api.Me
	if err := json.Unmarshal([]byte(browser.want(200, "GET", "/api/v1/auth/me", nil)), &me); err != nil || me.Name != "ada" || me.Role != api.Admin {
		t.Errorf("%+v, %v", me, err)
	}

	// What an administrator sees and others do not.
	settings := browser.want(200, "GET", "/api/v1/config", nil)
	if !strings.Contains(settings, `"path":"auth.mode","value":"always","where":"--auth.mode"`) {
		t.Errorf("the configuration is %s", settings)
	}
	browser.want(200, "POST", "/api/v1/users", map[string]any{"name": "grace", "password": secretPassword})
	viewer := visit(t, base)
	viewer.want(200, "POST", "/api/v1/auth/login", map[string]any{"name": "grace", "password": secretPassword, "cookie": true})
	viewer.want(200, "GET", "/api/v1/metrics/processes", nil)
	viewer.want(403, "GET", "/api/v1/config", nil)
	viewer.want(403, "POST", "/api/v1/backup", map[string]any{"directory": "/tmp/never"})
	if health := viewer.want(200, "GET", "/api/v1/health", nil); !strings.Contains(health, `"name":"accounts"`) || !strings.Contains(health, `"name":"audit"`) {
		t.Errorf("health says %s", health)
	}

	// A program, with a token.
	var made api.NewToken
	if err := json.Unmarshal([]byte(browser.want(200, "POST", "/api/v1/tokens", map[string]any{"name": "prometheus"})), &made); err != nil {
		t.Fatal(err)
	}
	scrape, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	scrape.SetBasicAuth("prometheus", made.Secret)
	response, err := visit(t, base).http.Do(scrape)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("a scrape with the token gets %s", response.Status)
	}

	// Logout: the cookies are gone and no longer valid.
	browser.want(200, "POST", "/api/v1/auth/refresh", map[string]any{"cookie": true})
	browser.want(200, "POST", "/api/v1/auth/logout", nil)
	browser.want(401, "GET", "/api/v1/auth/me", nil)
	if status, header, _ := browser.do("GET", "/docs", nil); status != http.StatusSeeOther || header.Get("Location") != "/login?next=%2Fdocs" {
		t.Errorf("/docs after the logout: %d %v", status, header)
	}
	viewer.want(200, "GET", "/api/v1/auth/me", nil)

	audit, err := os.ReadFile(filepath.Join(c.DataDir, auditDir, auditFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"set-up", "log-in", "add user as viewer", "add token as viewer", "log-out"} {
		if !strings.Contains(string(audit), fmt.Sprintf(`"action":%q,"outcome":"done"`, action)) {
			t.Errorf("the audit log lacks %s:\n%s", action, audit)
		}
	}
	for name, text := range map[string]string{"the log": log.String(), "the audit log": string(audit), "/config": settings} {
		for _, secret := range []string{secretPassword, code, made.Secret} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret:\n%s", name, text)
			}
		}
	}
	if info, err := os.Stat(filepath.Join(c.DataDir, auditDir, auditFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the audit log: %v, %v", info.Mode(), err)
	}
}

// TestNoLinkIsPrinted: neither without required login nor with an administrator.
func TestNoLinkIsPrinted(t *testing.T) {
	_, out, _ := guarded(t, configure(t))
	if out.String() != "" {
		t.Errorf("the agent printed %q", out)
	}
}

// TestAuditThatCannotBeWritten: the agent goes on and reports it.
func TestAuditThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	a := openAudit(filepath.Join(dir, auditDir))
	if got := a.health(); got.Status != health.OK {
		t.Errorf("%+v before the first line", got)
	}
	// The test may run as root, who can write everywhere except below a file.
	at := filepath.Join(dir, auditDir)
	if err := os.WriteFile(at, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.log.Info("audit")
	if got := a.health(); got.Status != health.Degraded || !strings.Contains(got.Reason, at) || got.Since.IsZero() {
		t.Errorf("%+v", got)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	a.log.Info("audit")
	if got := a.health(); got.Status != health.OK {
		t.Errorf("%+v after it can be written again", got)
	}
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	a.log.Info("audit", "after", "deletion")
	if text, err := os.ReadFile(filepath.Join(at, auditFile)); err != nil || !strings.Contains(string(text), "deletion") {
		t.Errorf("after it was deleted it holds %q (%v)", text, err)
	}
	if err := a.file.Close(); err != nil {
		t.Error(err)
	}
}
