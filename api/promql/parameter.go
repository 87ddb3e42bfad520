package promql

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
)

// badParameter is the error of a parameter, worded like Prometheus.
func badParameter(name string, err error) error {
	return &query.Error{Type: query.BadData, Err: fmt.Errorf("invalid parameter %q: %w", name, err)}
}

// badQuery adds the parameter name if the expression is invalid.
func badQuery(err error) error {
	if known, ok := errors.AsType[*query.Error](err); ok && known.Expr {
		return badParameter("query", err)
	}
	return err
}

var errTruncated = errors.New("results truncated due to limit")

// truncate cuts a result at the limit; 0 is no limit.
func truncate(value parser.Value, limit int) (parser.Value, bool) {
	if limit == 0 {
		return value, false
	}
	switch v := value.(type) {
	case promql.Matrix:
		if len(v) > limit {
			return v[:limit], true
		}
	case promql.Vector:
		if len(v) > limit {
			return v[:limit], true
		}
	}
	return value, false
}

// limitOf parses the limit of a result; 0 is no limit.
func limitOf(r *http.Request) (int, error) {
	text := r.FormValue("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil {
		return 0, badParameter("limit", err)
	}
	if limit < 0 {
		return 0, badParameter("limit", errors.New("limit must be non-negative"))
	}
	return limit, nil
}

// requestContext is the context of a request with the timeout and the look-back that the
// client chose.
func requestContext(r *http.Request) (context.Context, context.CancelFunc, error) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if text := r.FormValue("timeout"); text != "" {
		timeout, err := parseDuration(text)
		if err != nil {
			return nil, nil, badParameter("timeout", err)
		}
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	if text := r.FormValue("lookback_delta"); text != "" {
		asked, err := parseDuration(text)
		switch {
		case err != nil:
			err = fmt.Errorf("error parsing lookback delta duration: %w", err)
		case asked > query.MaxLookBack:
			err = badParameter("lookback_delta", fmt.Errorf("must be at most %s", query.MaxLookBack))
		default:
			return query.WithLookBack(ctx, asked), cancel, nil
		}
		cancel()
		return nil, nil, &query.Error{Type: query.BadData, Err: err}
	}
	return ctx, cancel, nil
}

// The default range of lookups: the extremes that fit into milliseconds.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()
)

// timeOf parses an optional time.
func timeOf(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	text := r.FormValue(name)
	if text == "" {
		return otherwise, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return time.Time{}, badParameter(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// parseTime parses Unix seconds or RFC 3339.
func parseTime(text string) (time.Time, error) {
	if t, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(t) <= float64(maxTime.Unix()) {
		whole, fraction := math.Modf(t)
		fraction = math.Round(fraction*1000) / 1000
		return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	switch text { // Clients send these, which time.Parse rejects.
	case minTime.Format(time.RFC3339Nano):
		return minTime, nil
	case maxTime.Format(time.RFC3339Nano):
		return maxTime, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
}

// parseDuration parses seconds or a Prometheus duration such as 5m.
func parseDuration(text string) (time.Duration, error) {
	if d, err := strconv.ParseFloat(text, 64); err == nil {
		ns := d * float64(time.Second)
		// Negated, so that NaN is rejected too.
		if !(ns < float64(math.MaxInt64) && ns > float64(math.MinInt64)) {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", text)
		}
		return time.Duration(ns), nil
	}
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
}
