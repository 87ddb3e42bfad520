package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/query"
	"sysotel/instruments"
	"sysotel/instruments/sanitize"
)

// Series is the response of /cpu, /memory, /disk and /network: metrics over time.
type Series struct {
	Host     string       `json:"host" doc:"Host name."`
	Start    time.Time    `json:"start" doc:"Start of the requested range."`
	End      time.Time    `json:"end" doc:"End of the requested range."`
	Step     float64      `json:"step" doc:"Seconds between two points. Points are farther apart where only a coarser tier reaches back."`
	Tiers    []SeriesTier `json:"tiers" nullable:"false" doc:"Tier used for each part of the range, oldest first."`
	Warnings []string     `json:"warnings,omitempty" nullable:"false" doc:"Warnings, such as that the data comes from the local cache because VictoriaMetrics does not respond. Absent if there are none."`
	Series   []SeriesRow  `json:"series" nullable:"false" doc:"One series for each metric and part of the machine; a series without labels is for the whole machine."`
}

// SeriesTier is the part of a time range that one tier covers.
type SeriesTier struct {
	Tier   string    `json:"tier" doc:"Resolution of the tier."`
	From   time.Time `json:"from" doc:"Time of its first point."`
	To     time.Time `json:"to" doc:"Time of its last point."`
	Source string    `json:"source,omitempty" enum:"local cache" doc:"local cache if VictoriaMetrics did not respond; otherwise absent."`
}

// SeriesRow is one metric of one part of the machine.
type SeriesRow struct {
	Metric string            `json:"metric" doc:"Name of the metric."`
	Unit   string            `json:"unit" doc:"Unit; empty if it has none."`
	Labels map[string]string `json:"labels" doc:"Part of the machine: core, device, mountpoint, type or interface. Untrusted text: a USB device, for example, brings its own name."`
	T      []float64         `json:"t" nullable:"false" doc:"Timestamps of the points in Unix seconds. Each point covers the step that ends there."`
	Avg    []number          `json:"avg,omitempty" nullable:"false" doc:"Mean of each step; null if nothing was measured."`
	Min    []number          `json:"min,omitempty" nullable:"false" doc:"Minimum of each step at the finest resolution."`
	Max    []number          `json:"max,omitempty" nullable:"false" doc:"Maximum of each step at the finest resolution."`
}

// SeriesQuery has the parameters common to all series endpoints. They are parsed
// by resolve, whose errors are more helpful than those of a schema.
type SeriesQuery struct {
	Metric    []string `query:"metric,explode" doc:"Name of a metric; may be repeated. Default: all metrics of this endpoint."`
	Agg       []string `query:"agg,explode" doc:"Aggregations to return per step: avg, min, max, or several separated by commas. Default: avg."`
	Host      string   `query:"host" maxLength:"255" doc:"Host name. Default: this machine. Other machines, listed by /hosts, are available if store.backend is victoriametrics."`
	Start     string   `query:"start" maxLength:"64" example:"-1h" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default: -1h."`
	End       string   `query:"end" maxLength:"64" doc:"End, in the format of start. Default: now."`
	Step      string   `query:"step" maxLength:"64" doc:"Time between two points: 30s, 5m, or seconds. Rounded up to fit the tiers. Default: derived from max_points."`
	MaxPoints int      `query:"max_points" minimum:"1" maximum:"11000" example:"3" doc:"Maximum number of points per series; cannot be combined with step. Default: 500. Downsampling preserves minimum and maximum values."`
}

// Limits of one response.
const (
	defaultPoints = 500
	maxPoints     = 11_000
	// maxValues is the maximum number of values, 8 bytes each.
	maxValues = 2_000_000
)

// seriesGroup is one of the paths with its metrics.
type seriesGroup struct {
	name     string
	prefixes []string
	// labels are the labels of its series in the order of the CSV columns; filters
	// are those that can be filtered by.
	labels, filters []string
	words           string
}

var (
	cpuSeries = seriesGroup{
		"cpu",
		[]string{"cpu_", "load_"},
		[]string{"core"},
		[]string{"core"},
		"`cpu_usage_per_core` and `cpu_frequency_current` have one series per logical processor, with the label `core`; all others are for the whole machine.",
	}
	memorySeries = seriesGroup{
		"memory",
		[]string{"memory_", "swap_"},
		nil, nil,
		"All are for the whole machine.",
	}
	diskSeries = seriesGroup{
		"disk",
		[]string{"disk_"},
		[]string{"device", "mountpoint", "type"},
		[]string{"device", "mountpoint"},
		"Space is given in total and per file system, with the labels `mountpoint`, `device` and `type`; I/O in total of all physical disks and per disk, with the label `device`.",
	}
	networkSeries = seriesGroup{
		"network",
		[]string{"net_"},
		[]string{"interface"},
		[]string{"interface"},
		"Each is given in total of all physical interfaces and per interface, with the label `interface`.",
	}
)

// quantities are the metrics of the group.
func (f *seriesGroup) quantities() []instruments.Quantity {
	return slices.DeleteFunc(instruments.Quantities(), func(q instruments.Quantity) bool {
		return q.Metric == nil || !slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(q.Name, p) })
	})
}

// Series registers the operations of this file.
func (operations) Series(s *Server) {
	addSeries(s, cpuSeries, func(q *struct {
		SeriesQuery
		Core []string `query:"core,explode" doc:"Return only this logical processor: cpu0 or 0; may be repeated."`
	},
	) (SeriesQuery, map[string][]string) {
		return q.SeriesQuery, map[string][]string{"core": q.Core}
	})
	addSeries(s, memorySeries, func(q *SeriesQuery) (SeriesQuery, map[string][]string) { return *q, nil })
	addSeries(s, diskSeries, func(q *struct {
		SeriesQuery
		Device     []string `query:"device,explode" doc:"Return only this device: sda, or /dev/sda1 for a file system; may be repeated."`
		Mountpoint []string `query:"mountpoint,explode" doc:"Return only the file system mounted here; may be repeated."`
	},
	) (SeriesQuery, map[string][]string) {
		return q.SeriesQuery, map[string][]string{"device": q.Device, "mountpoint": q.Mountpoint}
	})
	addSeries(s, networkSeries, func(q *struct {
		SeriesQuery
		Interface []string `query:"interface,explode" doc:"Return only this interface; may be repeated."`
	},
	) (SeriesQuery, map[string][]string) {
		return q.SeriesQuery, map[string][]string{"interface": q.Interface}
	})
}

// addSeries registers the operation of one group.
func addSeries[I any](s *Server, f seriesGroup, read func(*I) (SeriesQuery, map[string][]string)) {
	var names []string
	for _, q := range f.quantities() {
		names = append(names, "`"+q.Name+"`")
	}
	register(s, Operation{
		ID: "get-" + f.name, Method: http.MethodGet, Path: "/api/v1/metrics/" + f.name,
		Summary: "Get " + f.name + " metrics over time",
		Description: "Returns these metrics over a time range: " + strings.Join(names, ", ") + ". " + f.words + "\n\n" +
			"Points are aligned to multiples of the step. They are `null` where nothing was measured; nothing is interpolated. " +
			"In every tier, `min` and `max` are those of the finest resolution. " +
			"With `format=csv`, or `Accept: text/csv`, the response is a table with one line per point.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleSeries(f.name),
		Table:   "series",
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *I) (*streamOutput, error) {
		if s.options.History == nil {
			return nil, notKept("series", "keeps no history")
		}
		query, filters := read(in)
		plan, invalid := s.resolve(f, query, filters)
		if len(invalid) > 0 {
			return nil, problem(http.StatusUnprocessableEntity, invalidQuery, invalid...)
		}
		response, err := s.selectSeries(ctx, plan)
		if err != nil {
			return nil, historyProblem(err)
		}
		if len(response.series) == 0 && plan.host != s.options.Hostname {
			if err := s.unknownHost(ctx, plan.host); err != nil {
				return nil, err
			}
		}
		return &streamOutput{response.write}, nil
	})
}

// notKept is the problem if the agent keeps no history.
func notKept(what, why string) error {
	return problem(http.StatusServiceUnavailable, fmt.Sprintf("There are no %s: this agent %s (see store.backend in its configuration).", what, why))
}

// historyProblem converts a query error to a problem; internal errors are returned
// unchanged.
func historyProblem(err error) error {
	var failed *query.Error
	if !errors.As(err, &failed) {
		return err
	}
	later := func(detail, seconds string) error {
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, detail), http.Header{"Retry-After": {seconds}})
	}
	switch failed.Type {
	case query.BadData, query.Execution:
		return problem(http.StatusUnprocessableEntity, "The query cannot be answered: "+sanitize.ValidUTF8(failed.Error())+".")
	case query.Timeout, query.Canceled:
		return later("The query took too long; ask for less, or try again later.", "5")
	case query.Unavailable:
		if errors.Is(failed, query.ErrDown) || errors.Is(failed, query.ErrBusy) {
			return later("The query cannot be answered now: "+sanitize.ValidUTF8(failed.Error())+".", "5")
		}
		return later("The history is still being opened; try again in a moment.", "1")
	case query.Internal:
	}
	return err
}
