package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
)

// loginPageFiles are the pages to log in and to create the first administrator,
// with their style and scripts. Each has its own route, so that no path of a
// request is ever looked up in a file system.
//
//go:embed login_pages
var loginPageFiles embed.FS

const (
	loginPath      = "/login"
	setupPath      = "/setup"
	loginAssetPath = "/login/"
	// loginPagePolicy allows the pages to run their own scripts and call their own
	// server, nothing else. Browsers must not submit the forms themselves: a password
	// in a URL would end up in logs.
	loginPagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// loginAssetMedia are the media types of styles and scripts.
var loginAssetMedia = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

// addLoginPages adds the pages. They exist without authentication too: a login
// grants more than being on the machine.
func (s *Server) addLoginPages() {
	access := Access{Role: Public, Cost: Cheap, BeforeSetup: true}
	setup := access
	setup.Page = true
	policy := map[string]string{"Content-Security-Policy": loginPagePolicy}
	s.routes.page(http.MethodGet, setupPath, setup, func(w http.ResponseWriter, _ *http.Request) { s.writeSetupPage(w, http.StatusOK) })
	s.routes.page(http.MethodGet, loginPath, Access{Role: Public, Cost: Cheap, Page: true},
		s.generated("text/html; charset=utf-8", func() ([]byte, error) { return s.renderLoginPage("login.html") }, policy))
	for _, name := range []string{"login.css", "ask.js", "login.js", "setup.js", "session.js"} {
		media := loginAssetMedia[path.Ext(name)]
		s.routes.page(http.MethodGet, loginAssetPath+name, access,
			s.generated(media, func() ([]byte, error) { return loginPageFiles.ReadFile("login_pages/" + name) }, map[string]string{"Cache-Control": "no-cache"}))
	}
}

// writeSetupPage responds with the page that creates the first administrator.
func (s *Server) writeSetupPage(w http.ResponseWriter, status int) {
	page, err := s.renderLoginPage("setup.html")
	if err != nil {
		s.log.Error("cannot render page", "page", setupPath, "err", err)
		writeProblem(w, http.StatusInternalServerError, internalError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", loginPagePolicy)
	h.Set("Content-Length", strconv.Itoa(len(page)))
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="sysotel"`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// renderLoginPage renders one of the pages.
func (s *Server) renderLoginPage(name string) ([]byte, error) {
	t, err := template.ParseFS(loginPageFiles, "login_pages/"+name)
	if err != nil {
		return nil, err
	}
	style, err := loginPageFiles.ReadFile("login_pages/login.css")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(style)
	var b bytes.Buffer
	err = t.Execute(&b, struct{ Hostname, Root, Style string }{s.options.Hostname, s.base(), s.base() + loginAssetPath + "login.css?v=" + hex.EncodeToString(sum[:6])})
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// SetupLink is the link that creates the first administrator. The code follows
// the #, which browsers do not send, so that it is not logged anywhere.
func (s *Server) SetupLink(code string) string {
	return fmt.Sprintf("%s%s#%s", s.baseURL(), setupPath, code)
}
