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

// webPages are the addresses of the web app's own pages: the same document, which
// looks at its address itself.
func webPages() []string {
	return []string{"/{$}", "/processes", "/alerts", "/hosts", "/settings"}
}

const (
	// webIndex is that document.
	webIndex = "index.html"
	// webAssets is the folder whose files have a hash of what is in them in their
	// names: what has such a name never changes.
	webAssets = "assets/"
	// webPolicy lets the web app run its own scripts, ask its own server and nothing else.
	webPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// webMedia are the media types of what the web app is made of, by the ending of
// the name. Others are not served.
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

// addWeb adds the web app. Each of its files is a way of its own into the server,
// so that no path of a request is ever looked up among files.
func (s *Server) addWeb() error {
	if s.options.Web == nil {
		s.routes.page(http.MethodGet, "/{$}", Access{Role: Public, Cost: Cheap}, redirectTo("/docs"))
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
		s.routes.page(http.MethodGet, "/"+name, Access{Role: Public, Cost: Cheap}, s.webFile(name, map[string]string{"Cache-Control": keep}))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the files of the web app: %w", err)
	}
	// Who has not logged in is led to the log-in, and from there to where he wanted to go.
	index := s.webFile(webIndex, map[string]string{"Cache-Control": "no-cache", "Content-Security-Policy": webPolicy})
	for _, page := range webPages() {
		s.routes.page(http.MethodGet, page, Access{Role: Viewer, Cost: Cheap}, index)
	}
	return nil
}

// webFile answers with a file, compressed where the caller takes that. Both forms
// are made when somebody first asks, and kept.
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

// takesGzip tells whether a caller takes an answer compressed with gzip.
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
