package promql

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/template"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"
	promfeatures "github.com/prometheus/prometheus/util/features"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/query"
)

// prometheusVersion is the Prometheus version whose API and PromQL are implemented:
// clients choose features by it.
const prometheusVersion = "3.15.0"

// Setting is an option of the configuration.
type Setting struct {
	// Path is its full name, such as http.listen.
	Path string
	// Value has secrets masked.
	Value any
}

// Program is what the agent knows of itself.
type Program struct {
	Started time.Time
	// Configured is when the configuration was read that is in use; Valid is false if a
	// newer one was refused.
	Configured time.Time
	Valid      bool
	// Retention is how long the history is, for people.
	Retention string
}

// Storage is the embedded history.
type Storage interface {
	// Stats describes the newest samples of the finest tier, with limited lists.
	Stats(limit int) (*tsdb.Stats, error)
	// Blocks lists the blocks of all tiers.
	Blocks() ([]tsdb.BlockMeta, error)
}

// noStorage is the Storage of an API without one.
type noStorage struct{}

var errNoStorage = &query.Error{Type: query.Unavailable, Err: errors.New("there is no embedded history")}

func (noStorage) Stats(int) (*tsdb.Stats, error)    { return nil, errNoStorage }
func (noStorage) Blocks() ([]tsdb.BlockMeta, error) { return nil, errNoStorage }

// buildInfo returns the Prometheus version; the revision is the agent's version.
func (a *api) buildInfo(w http.ResponseWriter, _ *http.Request) error {
	return succeed(w, struct {
		Version   string `json:"version"`
		Revision  string `json:"revision"`
		Branch    string `json:"branch"`
		BuildUser string `json:"buildUser"`
		BuildDate string `json:"buildDate"`
		GoVersion string `json:"goVersion"`
	}{prometheusVersion, a.config.Version, "sysotel", "", "", runtime.Version()})
}

// settings writes the options as YAML.
func (a *api) settings(w http.ResponseWriter, _ *http.Request) error {
	tree := map[string]any{}
	for _, s := range a.config.Settings() {
		inner := tree
		names := strings.Split(s.Path, ".")
		for _, name := range names[:len(names)-1] {
			next, ok := inner[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				inner[name] = next
			}
			inner = next
		}
		inner[names[len(names)-1]] = s.Value
	}
	text, err := yaml.Marshal(tree)
	if err != nil {
		return err
	}
	return succeed(w, map[string]string{"yaml": string(text)})
}

// flags lists the options as flags: each has one of its name.
func (a *api) flags(w http.ResponseWriter, _ *http.Request) error {
	flags := map[string]string{}
	for _, s := range a.config.Settings() {
		text, ok := s.Value.(string)
		if !ok && s.Value != nil {
			written, err := json.Marshal(s.Value)
			if err != nil {
				return err
			}
			text = string(written)
		}
		flags[s.Path] = text
	}
	return succeed(w, flags)
}

// runtimeInfo describes the process. The working directory is not told, and damage is not
// counted: /api/v1/health has it.
func (a *api) runtimeInfo(w http.ResponseWriter, _ *http.Request) error {
	program := a.config.Program()
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	return succeed(w, struct {
		StartTime           time.Time `json:"startTime"`
		CWD                 string    `json:"CWD"`
		Hostname            string    `json:"hostname"`
		ServerTime          time.Time `json:"serverTime"`
		ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
		LastConfigTime      time.Time `json:"lastConfigTime"`
		CorruptionCount     *int64    `json:"corruptionCount"`
		GoroutineCount      int       `json:"goroutineCount"`
		GOMAXPROCS          int       `json:"GOMAXPROCS"`
		GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
		GOGC                string    `json:"GOGC"`
		GODEBUG             string    `json:"GODEBUG"`
		StorageRetention    string    `json:"storageRetention"`
	}{
		program.Started.UTC(), "", host, a.config.Now().UTC(), program.Valid, program.Configured.UTC(), nil,
		runtime.NumGoroutine(), runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1), os.Getenv("GOGC"), os.Getenv("GODEBUG"), program.Retention,
	})
}

// count is a name with a number.
type count struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

func counts(found []index.Stat) []count {
	listed := make([]count, 0, len(found))
	for _, s := range found {
		listed = append(listed, count{s.Name, s.Count})
	}
	return listed
}

// Bounds of the lists of storage, as in Prometheus.
const (
	defaultCounts = 10
	maxCounts     = 10_000
)

// storage describes the newest samples of the finest tier. The number of chunks is not
// known.
func (a *api) storage(w http.ResponseWriter, r *http.Request) error {
	limit := defaultCounts
	if text := r.FormValue("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 {
			return &query.Error{Type: query.BadData, Err: errors.New("limit must be a positive number")}
		}
		if limit > maxCounts {
			return &query.Error{Type: query.BadData, Err: fmt.Errorf("limit must not exceed %d", maxCounts)}
		}
	}
	stats, err := a.config.Storage.Stats(limit)
	if err != nil {
		return err
	}
	type head struct {
		NumSeries     uint64 `json:"numSeries"`
		NumLabelPairs int    `json:"numLabelPairs"`
		ChunkCount    *int64 `json:"chunkCount"`
		MinTime       int64  `json:"minTime"`
		MaxTime       int64  `json:"maxTime"`
	}
	postings := stats.IndexPostingStats
	return succeed(w, struct {
		HeadStats                   head    `json:"headStats"`
		SeriesCountByMetricName     []count `json:"seriesCountByMetricName"`
		LabelValueCountByLabelName  []count `json:"labelValueCountByLabelName"`
		MemoryInBytesByLabelName    []count `json:"memoryInBytesByLabelName"`
		SeriesCountByLabelValuePair []count `json:"seriesCountByLabelValuePair"`
	}{
		head{stats.NumSeries, postings.NumLabelPairs, nil, stats.MinTime, stats.MaxTime},
		counts(postings.CardinalityMetricsStats), counts(postings.CardinalityLabelStats), counts(postings.LabelValueStats), counts(postings.LabelValuePairsStats),
	})
}

// blocks lists the blocks of all tiers.
func (a *api) blocks(w http.ResponseWriter, _ *http.Request) error {
	found, err := a.config.Storage.Blocks()
	if err != nil {
		return err
	}
	if found == nil {
		found = []tsdb.BlockMeta{}
	}
	return succeed(w, map[string][]tsdb.BlockMeta{"blocks": found})
}

// features lists what of Prometheus' language and API is there.
func (a *api) features(w http.ResponseWriter, _ *http.Request) error {
	features := a.config.Querier.Features()
	features["api"] = map[string]bool{
		"admin": false, "exclude_alerts": true, "label_values_match": true, "lifecycle": false, "otlp_write_receiver": false, "query_stats": true, "query_warnings": true,
		"remote_write_receiver": false, "search": false, "time_range_labels": true, "time_range_series": true,
	}
	registry := promfeatures.NewRegistry()
	template.RegisterFeatures(registry)
	maps.Copy(features, registry.Get())
	features["rules"] = map[string]bool{"concurrent_rule_eval": false, "keep_firing_for": true, "query_offset": true}
	return succeed(w, features)
}
