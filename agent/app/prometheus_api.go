package app

import (
	"fmt"
	"strings"

	"github.com/prometheus/prometheus/tsdb"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/api"
	"sysotel/api/promql"
)

// addPrometheus adds Prometheus' API over the history.
func (a *App) addPrometheus(o *api.Options) {
	h := &a.history
	if h.store == nil {
		return
	}
	o.PromQL = promql.New(promql.Config{
		Querier: h.answers, Version: o.Version, Log: o.Logger, Now: o.Now,
		Metadata: func() map[string]promql.Metadata { return h.metadata }, Rules: h.groups,
		Settings: a.promSettings, Program: a.program, Storage: embedded{h.store},
	})
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
