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

// bodyTime is how long a caller may take to send a body, lateTime what is left of
// it once the answer is there: nobody wants the body then.
const (
	bodyTime = 10 * time.Second
	lateTime = time.Second
)

// The headers of every answer, made once: setting them costs no memory.
var (
	contentPolicy  = []string{"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}
	noSniff        = []string{"nosniff"}
	noReferrer     = []string{"no-referrer"}
	noFrame        = []string{"DENY"}
	noStore        = []string{"no-store"}
	ownOriginsOnly = []string{"same-origin"}
)

// shield gives every answer its security headers, bounds bodies, and turns a
// panic into a problem that tells the caller nothing and the log everything.
func shield(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"] = contentPolicy
		h["X-Content-Type-Options"] = noSniff
		h["Referrer-Policy"] = noReferrer
		h["X-Frame-Options"] = noFrame
		h["Cache-Control"] = noStore
		h["Cross-Origin-Resource-Policy"] = ownOriginsOnly
		answer := &answer{ResponseWriter: w}
		if r.ContentLength != 0 {
			r.Body = http.MaxBytesReader(answer, r.Body, maxBody)
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
			if answer.begun {
				// Half an answer is out: only a broken connection tells the caller.
				panic(http.ErrAbortHandler)
			}
			writeProblem(answer, http.StatusInternalServerError, internalError)
		}()
		next.ServeHTTP(answer, r)
	})
}

// answer knows whether an answer has begun, with which status, and who gets it.
type answer struct {
	http.ResponseWriter
	begun  bool
	status int
	caller Caller
}

func (a *answer) WriteHeader(status int) {
	a.begun, a.status = true, status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Flush implements http.Flusher for handlers that ask by type.
func (a *answer) Flush() {
	a.begun = true
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
