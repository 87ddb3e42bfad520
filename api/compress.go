package api

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
)

const (
	// minCompressed is the size in bytes from which answers are compressed: a smaller one
	// fits into one packet as it is.
	minCompressed = 1400
	// jitter is the most bytes by which the size of an answer varies, so that it reports
	// nothing of a secret beside what a stranger put there (BREACH, 2013).
	jitter = 64
)

// compressedMedia are the media types of answers that are made for each request. Files of
// the web app and the Prometheus page are compressed by themselves.
var compressedMedia = []string{"application/json", "application/problem+json", "application/yaml", "text/csv", "text/html", "text/markdown", "text/plain"}

// compress compresses answers for clients that accept gzip, at the lowest level: it
// brings most of what there is to save. A stream sends each reading at once and is left
// alone.
func compress(next http.Handler) (http.Handler, error) {
	wrap, err := gzhttp.NewWrapper(
		gzhttp.EnableZstd(false), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.MinSize(minCompressed),
		gzhttp.ContentTypes(compressedMedia), gzhttp.SetContentType(false), gzhttp.RandomJitter(jitter, 0, false),
	)
	if err != nil {
		return nil, err
	}
	compressed := wrap(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == streamPath {
			next.ServeHTTP(w, r)
			return
		}
		compressed(w, r)
	}), nil
}
