package api

import (
	"context"
	"time"

	"sysotel/agent/query"
	"sysotel/agent/records"
	"sysotel/instruments"
)

// History answers how series went. Its errors are of type *store.QueryError.
type History interface {
	Select(ctx context.Context, query query.SeriesQuery) (query.SeriesResult, error)
}

var _ History = (*query.Querier)(nil)

// Records answers which processes ran and what happened.
type Records interface {
	ProcessesAt(ctx context.Context, at time.Time) (*records.Processes, error)
	ProcessesBetween(ctx context.Context, start, end time.Time, by records.Order, top int, query string) (*records.Processes, error)
	Events(ctx context.Context, start, end time.Time, kinds []records.Kind, limit int, cursor string) (*records.EventPage, error)
}

var _ Records = (*records.Records)(nil)

// SeriesNames is how History calls what package instruments measures.
type SeriesNames struct {
	// Conventions are those of the attributes that became labels.
	Conventions instruments.Conventions
	// Metric is the Prometheus name of a metric; empty where the conventions have
	// none.
	Metric func(*instruments.Metric) string
}
