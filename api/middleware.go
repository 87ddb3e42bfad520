package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// maxBody is the largest request body; operations that take one are small forms.
const maxBody = 1 << 20

// bodyTime is how long a client may take to send a body; lateTime is what is left
// of it after the response, when the body is no longer needed.
const (
	bodyTime = 10 * time.Second
	lateTime = time.Second
)

// The headers of every response, allocated once.
var (
	contentPolicy  = []string{"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}
	noSniff        = []string{"nosniff"}
	noReferrer     = []string{"no-referrer"}
	noFrame        = []string{"DENY"}
	noStore        = []string{"no-store"}
	ownOriginsOnly = []string{"same-origin"} // Also of the opener: a page that opens ours gets no hold of its window.
)

// secure is the outermost middleware: it sets the security headers, limits request
// bodies, and recovers from panics, with details only in the log.
func secure(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"] = contentPolicy
		h["X-Content-Type-Options"] = noSniff
		h["Referrer-Policy"] = noReferrer
		h["X-Frame-Options"] = noFrame
		h["Cache-Control"] = noStore
		h["Cross-Origin-Resource-Policy"] = ownOriginsOnly
		h["Cross-Origin-Opener-Policy"] = ownOriginsOnly
		response := &responseWriter{ResponseWriter: w}
		if r.ContentLength != 0 {
			r.Body = http.MaxBytesReader(response, r.Body, maxBody)
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
			defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lateTime)) }()
		}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // A panic's value, compared as net/http does.
				panic(p)
			}
			log.Error("request failed", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if response.begun {
				// The response has begun: only a broken connection can signal the failure.
				panic(http.ErrAbortHandler)
			}
			writeProblem(response, http.StatusInternalServerError, internalError)
		}()
		next.ServeHTTP(response, r)
	})
}

// responseWriter records whether the response has begun, its status and the caller.
type responseWriter struct {
	http.ResponseWriter
	begun  bool
	status int
	caller Caller
}

func (w *responseWriter) WriteHeader(status int) {
	w.begun, w.status = true, status
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher for handlers that ask by type.
func (w *responseWriter) Flush() {
	w.begun = true
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
