package query

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sysotel/agent/store"

	"github.com/prometheus/prometheus/promql"
)

// ErrorType classifies an error in the terms of Prometheus' API.
type ErrorType string

const (
	// BadData is an invalid query.
	BadData ErrorType = "bad_data"
	// Execution is a query that failed, for example because it needs too many samples.
	Execution ErrorType = "execution"
	// Timeout is a query that took too long.
	Timeout ErrorType = "timeout"
	// Canceled is a query whose client disconnected.
	Canceled ErrorType = "canceled"
	// Internal is a failure of the storage.
	Internal ErrorType = "internal"
	// Unavailable is a store that is not open yet, or a node that is down.
	Unavailable ErrorType = "unavailable"
)

// Error is the error of every query.
type Error struct {
	Type ErrorType
	Err  error
	// Expr is set if the expression itself is wrong, whatever the limits.
	Expr bool
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the error without its type.
func (e *Error) Unwrap() error { return e.Err }

// badData returns an error of type BadData.
func badData(format string, args ...any) *Error {
	return &Error{Type: BadData, Err: fmt.Errorf(format, args...)}
}

// badExpr returns the error of an expression that is wrong.
func badExpr(err error) *Error { return &Error{Type: BadData, Err: err, Expr: true} }

// withType gives an error of the engine or the storage its type, as Prometheus' API
// does.
func withType(err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	var canceled promql.ErrQueryCanceled
	var timeout promql.ErrQueryTimeout
	var broken promql.ErrStorage
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, store.ErrOpening):
		return &Error{Type: Unavailable, Err: err}
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return &Error{Type: Timeout, Err: err}
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return &Error{Type: Canceled, Err: err}
	case errors.As(err, &broken):
		return &Error{Type: Internal, Err: err}
	}
	return &Error{Type: Execution, Err: shortened(err)}
}

// maxError is the maximum length of an error of the engine, which may quote labels.
const maxError = 4 << 10

// shortened cuts the text of a long error.
func shortened(err error) error {
	text := err.Error()
	if len(text) <= maxError {
		return err
	}
	return errors.New(strings.ToValidUTF8(strings.Clone(text[:maxError]), "") + "…")
}
