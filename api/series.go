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
)

// Series is the answer of /cpu, /memory, /disk and /network: the course of
// metrics over a time.
type Series struct {
	Host     string       `json:"host" doc:"Name of the machine."`
	Start    time.Time    `json:"start" doc:"Start of the time asked for."`
	End      time.Time    `json:"end" doc:"End of the time asked for."`
	Step     float64      `json:"step" doc:"Seconds between two points. Where only a coarser tier reaches back, the points of that time lie further apart."`
	Tiers    []SeriesTier `json:"tiers" nullable:"false" doc:"Which tier answered for which part of the time, the oldest part first."`
	Warnings []string     `json:"warnings,omitempty" nullable:"false" doc:"What there is to know of the answer, such as that it is from the local cache since VictoriaMetrics does not answer. Left out where there is nothing."`
	Series   []SeriesRow  `json:"series" nullable:"false" doc:"One for each metric and each part of the machine that has it; without labels is the whole machine."`
}

// SeriesTier is a part of the time that one tier answered for.
type SeriesTier struct {
	Tier   string    `json:"tier" doc:"Resolution of the tier."`
	From   time.Time `json:"from" doc:"Its first point."`
	To     time.Time `json:"to" doc:"Its last point."`
	Source string    `json:"source,omitempty" enum:"local cache" doc:"local cache where VictoriaMetrics was to answer and did not; left out else."`
}

// SeriesRow is the course of one metric of one part of the machine.
type SeriesRow struct {
	Metric string            `json:"metric" doc:"Name of the metric."`
	Unit   string            `json:"unit" doc:"Its unit; empty where it has none."`
	Labels map[string]string `json:"labels" doc:"Which part of the machine it is of: core, device, mountpoint, type or interface. Whoever plugs in a device chooses its name."`
	T      []float64         `json:"t" nullable:"false" doc:"Unix seconds of the points. A point tells of the step that ends there."`
	Avg    []number          `json:"avg,omitempty" nullable:"false" doc:"Mean over each step; null where nothing was measured."`
	Min    []number          `json:"min,omitempty" nullable:"false" doc:"Least value of each step at the finest resolution."`
	Max    []number          `json:"max,omitempty" nullable:"false" doc:"Greatest value of each step at the finest resolution."`
}

// SeriesQuery is what a caller asks of every family. The texts are read by
// resolve, which says more about what is wrong with them than a schema can.
type SeriesQuery struct {
	Metric    []string `query:"metric,explode" doc:"Name of a metric; may be repeated. All metrics of the family where it is left out."`
	Agg       []string `query:"agg,explode" doc:"What is told of each step: avg, min, max, or several with commas between them. Default avg."`
	Host      string   `query:"host" maxLength:"255" doc:"Name of the machine; this one where it is left out. Others can be asked for where store.backend is victoriametrics; /hosts lists them."`
	Start     string   `query:"start" maxLength:"64" example:"-1h" doc:"Start: RFC 3339, Unix seconds, or relative to now such as -15m or -7d. Default -1h."`
	End       string   `query:"end" maxLength:"64" doc:"End, written like the start. Default now."`
	Step      string   `query:"step" maxLength:"64" doc:"Time between two points: 30s, 5m, or seconds. It is made longer where it does not fit the tiers. Default: as long as max_points asks for."`
	MaxPoints int      `query:"max_points" minimum:"1" maximum:"11000" example:"3" doc:"The most points of each series; instead of step. Default 500. Fewer points keep the least and the greatest value."`
}

// Bounds of one answer.
const (
	defaultPoints = 500
	maxPoints     = 11_000
	// maxValues is how many numbers an answer may hold, 8 bytes each.
	maxValues = 2_000_000
)

// seriesFamily is one of the paths and what is found there.
type seriesFamily struct {
	name     string
	prefixes []string
	// labels are those of its series in the order of CSV columns; filters those of
	// them that can be asked for.
	labels, filters []string
	words           string
}

var (
	cpuFamily = seriesFamily{
		"cpu",
		[]string{"cpu_", "load_"},
		[]string{"core"},
		[]string{"core"},
		"`cpu_usage_per_core` and `cpu_frequency_current` are told of each logical processor under the label `core`, all others of the whole machine.",
	}
	memoryFamily = seriesFamily{
		"memory",
		[]string{"memory_", "swap_"},
		nil, nil,
		"All are of the whole machine.",
	}
	diskFamily = seriesFamily{
		"disk",
		[]string{"disk_"},
		[]string{"device", "mountpoint", "type"},
		[]string{"device", "mountpoint"},
		"Space is told in all and of each file system, under `mountpoint`, `device` and `type`; traffic of all physical disks together and of each disk, under `device`.",
	}
	networkFamily = seriesFamily{
		"network",
		[]string{"net_"},
		[]string{"interface"},
		[]string{"interface"},
		"Each is told of all physical interfaces together and of each interface, under `interface`.",
	}
)

// quantities are the family's metrics.
func (f *seriesFamily) quantities() []instruments.Quantity {
	return slices.DeleteFunc(instruments.Quantities(), func(q instruments.Quantity) bool {
		return q.Metric == nil || !slices.ContainsFunc(f.prefixes, func(p string) bool { return strings.HasPrefix(q.Name, p) })
	})
}

func (s *Server) registerSeries() {
	addSeries(s, cpuFamily, func(q *struct {
		SeriesQuery
		Core []string `query:"core,explode" doc:"Only of this logical processor: cpu0 or 0; may be repeated."`
	},
	) (SeriesQuery, map[string][]string) {
		return q.SeriesQuery, map[string][]string{"core": q.Core}
	})
	addSeries(s, memoryFamily, func(q *SeriesQuery) (SeriesQuery, map[string][]string) { return *q, nil })
	addSeries(s, diskFamily, func(q *struct {
		SeriesQuery
		Device     []string `query:"device,explode" doc:"Only of this device: sda, or /dev/sda1 for a file system; may be repeated."`
		Mountpoint []string `query:"mountpoint,explode" doc:"Only of the file system that is mounted here; may be repeated."`
	},
	) (SeriesQuery, map[string][]string) {
		return q.SeriesQuery, map[string][]string{"device": q.Device, "mountpoint": q.Mountpoint}
	})
	addSeries(s, networkFamily, func(q *struct {
		SeriesQuery
		Interface []string `query:"interface,explode" doc:"Only of this interface; may be repeated."`
	},
	) (SeriesQuery, map[string][]string) {
		return q.SeriesQuery, map[string][]string{"interface": q.Interface}
	})
}

// addSeries registers the operation of one family.
func addSeries[I any](s *Server, f seriesFamily, read func(*I) (SeriesQuery, map[string][]string)) {
	var names []string
	for _, q := range f.quantities() {
		names = append(names, "`"+q.Name+"`")
	}
	register(s, Operation{
		ID: "get-" + f.name, Method: http.MethodGet, Path: "/api/v1/metrics/" + f.name,
		Summary: "The course of the " + f.name + " metrics",
		Description: "How metrics went over a time: " + strings.Join(names, ", ") + ". " + f.words + "\n\n" +
			"Points lie on whole multiples of the step. Where nothing was measured they are `null`; nothing is interpolated. " +
			"`min` and `max` are those of the finest resolution, from every tier. " +
			"With `Accept: text/csv` the answer is a table with a line for each point.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleSeries(f.name),
		Also:    csvMedia,
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, in *I) (*streamOutput, error) {
		if s.options.History == nil {
			return nil, notKept("series", "keeps no history")
		}
		query, filters := read(in)
		plan, mistakes := s.resolve(f, query, filters)
		if len(mistakes) > 0 {
			return nil, problem(http.StatusUnprocessableEntity, "The request has a mistake in its query; errors says where.", mistakes...)
		}
		answer, err := s.selectSeries(ctx, plan)
		if err != nil {
			return nil, historyProblem(err)
		}
		if len(answer.series) == 0 && plan.host != s.options.Hostname {
			if err := s.unknownHost(ctx, plan.host); err != nil {
				return nil, err
			}
		}
		return &streamOutput{answer.write}, nil
	})
}

// notKept is the answer where there is nothing that could be asked.
func notKept(what, why string) error {
	return problem(http.StatusServiceUnavailable, fmt.Sprintf("There are no %s: this agent %s (store.backend in its configuration).", what, why))
}

// historyProblem turns an error of the store into a problem; what went wrong
// inside stays an error for the log.
func historyProblem(err error) error {
	var failed *query.QueryError
	if !errors.As(err, &failed) {
		return err
	}
	later := func(detail, seconds string) error {
		return huma.ErrorWithHeaders(problem(http.StatusServiceUnavailable, detail), http.Header{"Retry-After": {seconds}})
	}
	switch failed.Type {
	case query.BadData, query.Execution:
		return problem(http.StatusUnprocessableEntity, "This cannot be answered: "+printable(failed.Error())+".")
	case query.Timeout, query.Canceled:
		return later("The answer took too long; ask for less, or again when the agent has less to do.", "5")
	case query.Unavailable:
		if errors.Is(failed, query.ErrAway) {
			return later("This cannot be answered now: "+printable(failed.Error())+".", "5")
		}
		return later("The history is being opened; it answers in a moment.", "1")
	case query.Internal:
	}
	return err
}
