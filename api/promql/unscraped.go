package promql

import (
	"errors"
	"net/http"
	"strconv"

	"sysotel/agent/query"
)

// constant are the responses that are the same for every agent: it scrapes nothing, and
// sends no alerts through Prometheus' notifier.
var constant = map[string]string{
	"scrape_pools":  `{"scrapePools":[]}`,
	"targets":       `{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}`,
	"alertmanagers": `{"activeAlertmanagers":[],"droppedAlertmanagers":[]}`,
	"notifications": `[]`,
	// A tier that is opened answers nothing, and one that is open has nothing to replay.
	"status/walreplay": `{"min":0,"max":0,"current":0}`,
}

// refused are Prometheus' other paths, with the reason why they are not here.
var refused = map[string]string{
	"GET scrape_pools/config":          "no scrape pool: the agent measures itself and scrapes nothing",
	"GET targets/relabel_steps":        "no scrape pool: the agent measures itself and scrapes nothing",
	"GET status/self_metrics":          "the agent's own metrics are those of its scrape page and of queries, named sysotel_*",
	"GET notifications/live":           "the health of the agent is at /api/v1/health",
	"POST read":                        "remote read is not supported; use query_range",
	"POST write":                       "remote write is not supported; the agent keeps what it measures only",
	"POST otlp/v1/metrics":             "the OTLP receiver is not supported; the agent keeps what it measures only",
	"GET search/metric_names":          "search API disabled, as in Prometheus by default",
	"POST search/metric_names":         "search API disabled, as in Prometheus by default",
	"GET search/label_names":           "search API disabled, as in Prometheus by default",
	"POST search/label_names":          "search API disabled, as in Prometheus by default",
	"GET search/label_values":          "search API disabled, as in Prometheus by default",
	"POST search/label_values":         "search API disabled, as in Prometheus by default",
	"POST admin/tsdb/delete_series":    "admin APIs disabled; the retention is in the configuration",
	"POST admin/tsdb/clean_tombstones": "admin APIs disabled; the retention is in the configuration",
	"POST admin/tsdb/snapshot":         "admin APIs disabled; use /api/v1/backup",
	"GET openapi.yaml":                 "this API is documented by Prometheus; that of the agent is at /openapi.yaml",
}

// always responds with the same text always.
func always(text string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		e := newEncoder(w)
		defer e.free()
		e.raw(text)
		e.end(nil, "")
		return nil
	}
}

// targetMetadata lists the metadata of scraped targets, of which there are none; what it is
// asked for must be valid nevertheless.
func (a *api) targetMetadata(w http.ResponseWriter, r *http.Request) error {
	if limit := r.FormValue("limit"); limit != "" {
		if _, err := strconv.Atoi(limit); err != nil {
			return &query.Error{Type: query.BadData, Err: errors.New("limit must be a number")}
		}
	}
	if selector := r.FormValue("match_target"); selector != "" {
		if _, err := a.config.Querier.Matchers(r.Context(), []string{selector}); err != nil {
			return badParameter("match_target", err)
		}
	}
	return always(`[]`)(w, r)
}

// refuse responds with the reason why a path is not here.
func refuse(why string) func(http.ResponseWriter, *http.Request) error {
	return func(http.ResponseWriter, *http.Request) error {
		return &query.Error{Type: notFound, Err: errors.New(why)}
	}
}
