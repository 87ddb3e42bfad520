package app

import (
	"fmt"
	"maps"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/tsdb"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/api"
	"sysotel/api/promql"
	"sysotel/instruments"
	"sysotel/instruments/exposition"
)

// addPrometheus adds Prometheus' API over the history.
func (a *App) addPrometheus(o *api.Options) {
	h := &a.history
	if h.store == nil {
		return
	}
	o.PromQL = promql.New(promql.Config{
		Querier: h.answers, Version: o.Version, Log: o.Logger, Now: o.Now,
		Metadata: a.metadata, Rules: h.groups,
		Settings: a.promSettings, Program: a.program, Storage: embedded{h.store},
	})
}

// metadata describes all metrics that can be asked: ours, custom ones, those that rules
// make, and the extremes of all.
func (a *App) metadata() map[string]promql.Metadata {
	all := maps.Clone(a.history.metadata)
	reading, _ := a.readings.sampler.Newest("custom")
	if custom, ok := reading.(*instruments.Custom); ok {
		for _, f := range custom.Families {
			all[f.GetName()] = promql.Metadata{Type: typeOf(f), Help: f.GetHelp(), Unit: f.GetUnit()}
		}
	}
	for name, kind := range a.history.store.Rollups().OfCollector(store.Rules) {
		if _, measured := all[name]; measured {
			continue
		}
		made := promql.Metadata{Type: string(model.MetricTypeGauge), Help: "Recorded by a rule."}
		if kind == store.Counter {
			made.Type = string(model.MetricTypeCounter)
		}
		if strings.HasPrefix(name, "ALERTS") {
			made.Help = "State of alerts, as Prometheus keeps it."
		}
		all[name] = made
	}
	for name, rollup := range a.history.store.Rollups().All() {
		raw, ok := all[rollup.Raw]
		if !ok {
			continue // A part of a histogram, or not measured now.
		}
		extreme, unit := "Minimum", raw.Unit
		if rollup.Extreme == store.Max {
			extreme = "Maximum"
		}
		of := rollup.Raw
		if rollup.Rate {
			of = "the rate per second of " + of
			if unit != "" {
				unit += "/s"
			}
		}
		all[name] = promql.Metadata{Type: "gauge", Help: extreme + " of " + of + " since the point before. " + raw.Help, Unit: unit}
	}
	return all
}

// typeOf is the type of a custom metric in Prometheus' words; without one, what it is kept
// as.
func typeOf(f *dto.MetricFamily) string {
	switch {
	case exposition.IsCounter(f):
		return string(model.MetricTypeCounter)
	case f.GetType() == dto.MetricType_UNTYPED:
		return string(model.MetricTypeUnknown)
	}
	return strings.ToLower(f.GetType().String())
}

// promSettings are the options without secrets.
func (a *App) promSettings() []promql.Setting {
	var all []promql.Setting
	for _, s := range a.settings() {
		all = append(all, promql.Setting{Path: s.Path, Value: s.Value})
	}
	return all
}

// program describes the process and its configuration.
func (a *App) program() promql.Program {
	var kept []string
	for _, t := range a.history.store.Tiers() {
		kept = append(kept, fmt.Sprintf("%s of %s", store.TierName(t.Retention()), t.Name()))
	}
	configured, failed := a.reloaded.newest()
	return promql.Program{Started: a.started, Configured: configured, Valid: !failed, Retention: strings.Join(kept, ", ")}
}

// embedded is the store as Prometheus' API describes it.
type embedded struct{ store *store.Store }

// Stats implements promql.Storage.
func (d embedded) Stats(limit int) (*tsdb.Stats, error) {
	stats, err := d.store.Tiers()[0].HeadStats(limit)
	if err != nil {
		return nil, &query.Error{Type: query.Unavailable, Err: err}
	}
	return stats, nil
}

// Blocks implements promql.Storage.
func (d embedded) Blocks() ([]tsdb.BlockMeta, error) {
	all := []tsdb.BlockMeta{}
	for _, t := range d.store.Tiers() {
		blocks, err := t.Blocks()
		if err != nil {
			return nil, &query.Error{Type: query.Unavailable, Err: err}
		}
		all = append(all, blocks...)
	}
	return all, nil
}
