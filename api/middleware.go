package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// maxBody is the largest request body; operations that take one are small forms.
const maxBody = 1 << 20

// bodyTime is how long a client may take to send a body, counted from when it is read;
// lateTime is what is left of it after the response, when the body is no longer needed.
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
			body := &timedBody{ReadCloser: r.Body, connection: http.NewResponseController(w)}
			r.Body = http.MaxBytesReader(response, body, maxBody)
			body.within(bodyTime)
			defer body.within(lateTime)
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

// timedBody is a request body that must arrive within a time. There is no limit once
// it is read: net/http then reads on to see whether the client hangs up, takes a
// deadline that passes, while a slow client reads the response, for that, and cancels
// all further requests of the connection. A body that came too late is not given more
// time, in which the rest might come: the connection counts as dead by then.
type timedBody struct {
	io.ReadCloser
	connection   *http.ResponseController
	begun, ended bool
}

// within sets how long the rest of the body may take, if there is one. Connections
// without support for deadlines keep their own.
func (b *timedBody) within(limit time.Duration) {
	if !b.ended {
		_ = b.connection.SetReadDeadline(time.Now().Add(limit))
	}
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	if !b.begun { // It may have waited for its turn.
		b.begun = true
		b.within(bodyTime)
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && !b.ended { //nolint:errorlint // Of net/http, as it is.
		_ = b.connection.SetReadDeadline(time.Time{})
	}
	b.ended = b.ended || err != nil
	return n, err
}

// responseWriter records whether the response has begun, its status and the caller.
// The client has responseTime to read the response from when it begins, however long
// it took to make.
type responseWriter struct {
	http.ResponseWriter
	begun  bool
	status int
	caller Caller
	// base goes before redirects, see below.
	base string
}

// begin notes that the response begins. Connections without support for deadlines keep
// their own.
func (w *responseWriter) begin() {
	if !w.begun {
		w.begun = true
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(responseTime))
	}
}

func (w *responseWriter) WriteHeader(status int) {
	w.begin()
	w.status = status
	rebase(w.base, w.Header())
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) Write(b []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(b)
}

// Flush implements http.Flusher for handlers that ask by type.
func (w *responseWriter) Flush() {
	w.begin()
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
