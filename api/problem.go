package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// problemType is the media type of every error answer, RFC 9457.
const problemType = "application/problem+json"

// The details of problems that many operations have.
const (
	internalError = "Internal error; see the agent log."
	invalidQuery  = "The query has invalid parameters; see errors."
	invalidBody   = "The body has invalid fields; see errors."
)

// maxEcho is how much of what a caller sent is said back in a problem.
const maxEcho = 200

// mistake is one thing that is wrong in a request: where it stands, what it is
// and what would be right.
func mistake(location, value, rule string) error {
	detail := &huma.ErrorDetail{Location: location, Message: rule}
	if value != "" {
		detail.Value = echo(value)
	}
	return detail
}

// echo cuts what a caller sent to a length that is safe to say back.
func echo(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	return s[:maxEcho] + "…"
}

// problem is an error answer that an operation's handler returns.
func problem(status int, detail string, mistakes ...error) huma.StatusError {
	return huma.NewError(status, detail, mistakes...)
}

// withoutBodies takes out of a problem what stood in the request's body: it may
// have been a password, in its own place or in a misspelt one. Where it stood and
// what is allowed remains.
func withoutBodies(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	for _, detail := range model.Errors {
		if strings.HasPrefix(detail.Location, "body") {
			detail.Value = nil
		}
	}
	return model, nil
}

// writeProblem answers with a problem where no operation is at work: in the
// checks before it, and where there is none.
func writeProblem(w http.ResponseWriter, status int, detail string, mistakes ...error) {
	body, err := json.Marshal(problem(status, detail, mistakes...))
	if err != nil { // Strings and numbers only: cannot fail.
		body = fmt.Appendf(nil, `{"status":%d}`, status)
	}
	h := w.Header()
	h["Content-Type"] = []string{problemType}
	h["Content-Length"] = []string{strconv.Itoa(len(body) + 1)}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
