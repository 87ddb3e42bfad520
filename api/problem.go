package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// problemType is the media type of every error response, RFC 9457.
const problemType = "application/problem+json"

// The details of problems that many operations have.
const (
	internalError = "Internal error; see the agent log."
	invalidQuery  = "The query has invalid parameters; see errors."
	invalidBody   = "The body has invalid fields; see errors."
)

// maxEcho is the maximum length of a client's value in a problem, in bytes.
const maxEcho = 200

// invalidValue is an invalid value in a request: where it is, the value, and the
// rule it violates.
func invalidValue(location, value, rule string) error {
	detail := &huma.ErrorDetail{Location: location, Message: rule}
	if value != "" {
		detail.Value = echo(value)
	}
	return detail
}

// echo shortens a client's value for an error message.
func echo(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	return s[:maxEcho] + "…"
}

// problem is an error response for an operation's handler to return.
func problem(status int, detail string, invalid ...error) huma.StatusError {
	return huma.NewError(status, detail, invalid...)
}

// withoutBodies removes values of the request body from a problem: they may be
// passwords, even in unknown fields. Location and rule remain.
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

// writeProblem writes a problem outside of operations, such as in middleware.
func writeProblem(w http.ResponseWriter, status int, detail string, invalid ...error) {
	body, err := json.Marshal(problem(status, detail, invalid...))
	if err != nil { // Strings and numbers only: cannot fail.
		body = fmt.Appendf(nil, `{"status":%d}`, status)
	}
	h := w.Header()
	h["Content-Type"] = []string{problemType}
	h["Content-Length"] = []string{strconv.Itoa(len(body) + 1)}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
