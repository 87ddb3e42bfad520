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

// entranceFiles are the pages to log in and to make the first administrator,
// with their style and scripts. Each is a way of its own into the server, so
// that no path of a request is ever looked up among files.
//
//go:embed entrance
var entranceFiles embed.FS

const (
	loginPath    = "/login"
	setupPath    = "/setup"
	entrancePath = "/entrance/"
	// entrancePolicy lets the pages run their own script, ask their own server and
	// nothing else. No form is sent by the browser itself: a password in an address
	// would stay in a log.
	entrancePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// entranceMedia are the media types of the files that are served as they are.
var entranceMedia = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

// addEntrance adds the pages. They are there without authentication too, for who
// wants the rights of a log-in on the machine.
func (s *Server) addEntrance() {
	access := Access{Role: Public, Cost: Cheap, BeforeSetup: true}
	policy := map[string]string{"Content-Security-Policy": entrancePolicy}
	s.routes.page(http.MethodGet, setupPath, access, func(w http.ResponseWriter, _ *http.Request) { s.writeSetupPage(w, http.StatusOK) })
	s.routes.page(http.MethodGet, loginPath, Access{Role: Public, Cost: Cheap},
		s.made("text/html; charset=utf-8", func() ([]byte, error) { return s.renderEntrance("login.html") }, policy))
	for _, name := range []string{"entrance.css", "ask.js", "login.js", "setup.js", "session.js"} {
		media := entranceMedia[path.Ext(name)]
		s.routes.page(http.MethodGet, entrancePath+name, access,
			s.made(media, func() ([]byte, error) { return entranceFiles.ReadFile("entrance/" + name) }, map[string]string{"Cache-Control": "no-cache"}))
	}
}

// writeSetupPage answers with the page that makes the first administrator.
func (s *Server) writeSetupPage(w http.ResponseWriter, status int) {
	page, err := s.renderEntrance("setup.html")
	if err != nil {
		s.log.Error("cannot render page", "page", setupPath, "err", err)
		writeProblem(w, http.StatusInternalServerError, internalError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", entrancePolicy)
	h.Set("Content-Length", strconv.Itoa(len(page)))
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="sysotel"`)
	}
	w.WriteHeader(status)
	_, _ = w.Write(page)
}

// renderEntrance makes one of the pages.
func (s *Server) renderEntrance(name string) ([]byte, error) {
	t, err := template.ParseFS(entranceFiles, "entrance/"+name)
	if err != nil {
		return nil, err
	}
	style, err := entranceFiles.ReadFile("entrance/entrance.css")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(style)
	var b bytes.Buffer
	err = t.Execute(&b, struct{ Hostname, Style string }{s.options.Hostname, entrancePath + "entrance.css?v=" + hex.EncodeToString(sum[:6])})
	if err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// SetupLink is where the first administrator is made. The code stands after the
// #, which a browser keeps to itself, so that no log on the way has it.
func (s *Server) SetupLink(code string) string {
	return fmt.Sprintf("%s%s#%s", s.baseURL(), setupPath, code)
}
