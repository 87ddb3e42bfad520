package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// webPages are the paths of the web app's pages. All serve the same document.
func webPages() []string {
	return []string{"/{$}", "/processes", "/alerts", "/hosts", "/settings"}
}

const (
	// webIndex is that document.
	webIndex = "index.html"
	// webAssets is the folder whose file names contain a hash of the content: they
	// never change.
	webAssets = "assets/"
	// webPolicy allows the web app to run its own scripts and call its own server.
	webPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// workerPolicy allows a worker, which has the policy of its own file, to call its own server.
	workerPolicy = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// webMedia returns the media type of a file of the web app by its extension; empty
// for files that are not served.
func webMedia(name string) (media string, compressible bool) {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8", true
	case ".css":
		return "text/css; charset=utf-8", true
	case ".js":
		return "text/javascript; charset=utf-8", true
	case ".svg":
		return "image/svg+xml", true
	case ".webmanifest":
		return "application/manifest+json", true
	case ".png":
		return "image/png", false
	}
	return "", false
}

// addWeb adds the web app. Each of its files has its own route, so that no path of
// a request is ever looked up in a file system.
func (s *Server) addWeb() error {
	if s.options.Web == nil {
		s.routes.page(http.MethodGet, "/{$}", Access{Role: Public, Cost: Cheap, Page: true}, redirectTo("/docs"))
		return nil
	}
	err := fs.WalkDir(s.options.Web, ".", func(name string, entry fs.DirEntry, err error) error {
		media, _ := webMedia(name)
		if err != nil || entry.IsDir() || media == "" || name == webIndex {
			return err
		}
		keep := "no-cache"
		if strings.HasPrefix(name, webAssets) {
			keep = "public, max-age=31536000, immutable"
		}
		headers := map[string]string{"Cache-Control": keep}
		if path.Ext(name) == ".js" {
			headers["Content-Security-Policy"] = workerPolicy
		}
		s.routes.page(http.MethodGet, "/"+name, Access{Role: Public, Cost: Cheap}, s.webFile(name, headers))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the files of the web app: %w", err)
	}
	// Users who are not logged in are redirected to the login page and back.
	index := s.webFile(webIndex, map[string]string{"Cache-Control": "no-cache", "Content-Security-Policy": webPolicy})
	for _, page := range webPages() {
		s.routes.page(http.MethodGet, page, Access{Role: Viewer, Cost: Cheap, Page: true}, index)
	}
	return nil
}

// webFile serves a file, compressed if the client accepts gzip. Both forms are
// built on the first request and kept.
func (s *Server) webFile(name string, headers map[string]string) http.HandlerFunc {
	media, compressible := webMedia(name)
	plain := sync.OnceValues(func() ([]byte, error) { return fs.ReadFile(s.options.Web, name) })
	compressed := sync.OnceValues(func() ([]byte, error) {
		text, err := plain()
		if err != nil {
			return nil, err
		}
		return gzipped(text)
	})
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		form := plain
		if compressible {
			h.Set("Vary", "Accept-Encoding")
			if takesGzip(r) {
				form = compressed
			}
		}
		body, err := form()
		if err != nil {
			s.log.Error("cannot read web app file", "file", name, "err", err)
			writeProblem(w, http.StatusInternalServerError, internalError)
			return
		}
		if compressible && takesGzip(r) {
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("Content-Type", media)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		for header, value := range headers {
			h.Set(header, value)
		}
		_, _ = w.Write(body)
	}
}

// takesGzip reports whether the client accepts gzip.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}

func gzipped(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
