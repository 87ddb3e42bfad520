package api

import (
	"context"
	"time"

	"sysotel/agent/query"
	"sysotel/agent/records"
	"sysotel/instruments"
)

// History returns series. Its errors are of type *query.Error.
type History interface {
	Select(ctx context.Context, query query.SeriesQuery) (query.SeriesResult, error)
}

var _ History = (*query.Querier)(nil)

// Records returns past processes and events.
type Records interface {
	ProcessesAt(ctx context.Context, at time.Time) (*records.Processes, error)
	ProcessesBetween(context.Context, records.ProcessQuery) (*records.Processes, error)
	Events(context.Context, records.EventQuery) (*records.EventPage, error)
}

var _ Records = (*records.Records)(nil)

// SeriesNames maps the metrics of package instruments to the names in History.
type SeriesNames struct {
	// Conventions are the conventions of the labels.
	Conventions instruments.Conventions
	// Metric returns the Prometheus name of a metric; empty if the conventions have
	// none.
	Metric func(*instruments.Metric) string
}
