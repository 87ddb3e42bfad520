package query

import (
	"context"
	"errors"
	"fmt"
	"sysotel/agent/store"

	"github.com/prometheus/prometheus/promql"
)

// ErrorType says whose fault a failed question is, in Prometheus' words.
type ErrorType string

const (
	// BadData is a question that nobody could answer.
	BadData ErrorType = "bad_data"
	// Execution is a question that failed on the way, such as one that needs too
	// many samples.
	Execution ErrorType = "execution"
	// Timeout is a question that took too long.
	Timeout ErrorType = "timeout"
	// Canceled is a question whose asker went away.
	Canceled ErrorType = "canceled"
	// Internal is a failure of the storage.
	Internal ErrorType = "internal"
	// Unavailable is a store that is not open yet.
	Unavailable ErrorType = "unavailable"
)

// Error is the error of every question.
type Error struct {
	Type ErrorType
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap is the error without its type.
func (e *Error) Unwrap() error { return e.Err }

// bad is the error of a question that breaks a rule.
func badData(format string, args ...any) *Error {
	return &Error{Type: BadData, Err: fmt.Errorf(format, args...)}
}

// typed gives an error of the engine or the storage its type, as Prometheus' API
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
	return &Error{Type: Execution, Err: err}
}
