package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/alerting"
	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/agent/pipeline"
	"sysotel/agent/query"
	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/records"
	"sysotel/agent/store"
	"sysotel/api"
	"sysotel/api/promql"
	"sysotel/instruments"
)

// history is what the agent remembers: series in the store, process tables and
// events in the records. Both are absent where nothing is kept.
type history struct {
	store   *store.Store
	records *records.Records
	querier *query.Querier
	// groups are the alert rules for Prometheus' API, nil where there are none.
	groups func() []alerting.PrometheusGroup
	// alerts are what the backup takes along, nil where there are none.
	alerts interface {
		Backup(ctx context.Context, dir string) error
	}
	// answers is what the API asks: the querier, or one that asks VictoriaMetrics,
	// whose nodes are then the tiers, finest first.
	answers *query.Querier
	nodes   []*victoriametrics.Node
	// hosts are the machines that push to the nodes, nil where there are none.
	hosts *hosts
	// most is what the records may hold in bytes.
	most int64
	// dir is the data directory.
	dir string
}

// The folders of the data directory.
const (
	storeDir   = "store"
	recordsDir = "records"
)

// recordsShare is the part of store.max_bytes that the records may take: the
// store gives way to them, and they must not drive it out.
const recordsShare = 4

// openHistory opens the store and the records. The store opens its databases in
// the background, so that nothing waits for it.
func (a *App) openHistory(o Options, hostName string) error {
	c := o.Config.Store
	if c.Backend != store.Embedded && c.Backend != store.VictoriaMetrics {
		return nil
	}
	kept, err := records.Open(records.Options{
		Dir: filepath.Join(o.Config.DataDir, recordsDir), Tiers: recordTiers(c.Tiers),
		Top: o.Config.Instruments.Processes.Top, Log: a.log.With("part", "records"),
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, kept.Close)
	series, err := store.Open(store.Options{
		Dir: filepath.Join(o.Config.DataDir, storeDir), Tiers: c.Tiers, MaxBytes: int64(c.MaxBytes), Others: kept.Bytes,
		Labels: labels.FromStrings("host_name", hostName), Log: a.log.With("part", "store"),
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, series.Close)
	querier := func(sources []query.Source) *query.Querier {
		return query.NewQuerier(query.QuerierConfig{
			Tiers: func() []query.Source { return sources }, Names: series.Rollups(),
			Interval: slowest(o.Config), Limits: query.DefaultLimits(),
		})
	}
	local := querier(query.Sources(series.Tiers()))
	a.history = history{
		store: series, records: kept, dir: o.Config.DataDir, most: int64(c.MaxBytes) / recordsShare,
		querier: local, answers: local,
	}
	if c.Backend == store.Embedded {
		return nil
	}
	var sources []query.Source
	for _, tier := range series.Tiers() {
		node, err := victoriametrics.New(victoriametrics.Options{
			URL: c.VictoriaMetrics[tier.Name()], Log: a.log.With("part", "victoriametrics"),
			Tier: store.TierConfig{Resolution: tier.Resolution(), Retention: tier.Retention()},
		})
		if err != nil {
			return fmt.Errorf("store.victoriametrics: %w", err)
		}
		a.closers = append(a.closers, node.Close)
		a.history.nodes = append(a.history.nodes, node)
		sources = append(sources, &query.Cached{Remote: node, Local: tier, Host: hostName})
	}
	a.history.answers = querier(sources)
	a.history.hosts = &hosts{nodes: a.history.nodes, answers: a.history.answers, log: a.log.With("part", "hosts")}
	return nil
}

// finestRecord is the least time that a process record tells of: a table is
// large and changes little in a second.
const finestRecord = 5 * time.Second

// recordTiers are the tiers of the process tables: those of the store, with the
// fine ones made coarser. One that would be as coarse as the next is left out.
func recordTiers(tiers []store.TierConfig) []records.Tier {
	var arranged []records.Tier
	for i, t := range tiers {
		resolution, next := t.Resolution, time.Duration(0)
		if i+1 < len(tiers) {
			next = tiers[i+1].Resolution
		}
		for resolution < finestRecord || next > 0 && next%resolution != 0 {
			resolution += t.Resolution
		}
		if resolution != next {
			arranged = append(arranged, records.Tier{Resolution: resolution, Retention: t.Retention})
		}
	}
	return arranged
}

// slowest is the longest time between two readings of a family.
func slowest(c config.Config) time.Duration {
	longest := c.Pipeline.Sampling.Interval
	for _, f := range c.Instruments.Collectors {
		if f.Enabled {
			longest = max(longest, f.Interval)
		}
	}
	return longest
}

// pipelineOptions puts the history among what the pipeline gets. A nil pointer
// must not become an interface that is not nil.
func (h *history) pipelineOptions(o *pipeline.Options) {
	if h.store != nil {
		o.Store, o.Records, o.Tiers = h.store, h.records, h.store
	}
}

// apiOptions puts the history among what the API gets.
func (h *history) apiOptions(o *api.Options, c config.Config) error {
	if h.store == nil {
		return nil
	}
	conventions := c.Instruments.Conventions
	names, metadata, err := metricNames(c.Instruments)
	if err != nil {
		return err
	}
	o.History, o.Records, o.Backup = h.answers, h.records, h.backup
	o.SeriesNames = api.SeriesNames{
		Conventions: conventions,
		Metric:      func(m *instruments.Metric) string { return names[m] },
	}
	if h.hosts != nil {
		h.hosts.meters = meterSelectors(names, conventions)
		o.Hosts = h.hosts
	}
	o.PromQL = promql.New(promql.Config{
		Querier: h.answers, Version: o.Version, Log: o.Logger,
		Metadata: func() map[string]promql.Metadata { return metadata }, Rules: h.groups,
	})
	return nil
}

// metricNames lists the Prometheus names of all metrics and what they mean.
func metricNames(c instruments.Config) (map[*instruments.Metric]string, map[string]promql.Metadata, error) {
	names, metadata := map[*instruments.Metric]string{}, map[string]promql.Metadata{}
	for _, f := range instruments.NewCollectors(c, nil) {
		for _, m := range f.Metrics() {
			translated, err := pipeline.PrometheusNames(m, c.Conventions)
			if err != nil {
				return nil, nil, err
			}
			kind := "gauge"
			if m.Kind == instruments.Counter {
				kind = "counter"
			}
			for i, name := range translated {
				if i == 0 {
					names[m] = name
				}
				metadata[name] = promql.Metadata{Type: kind, Help: m.Help, Unit: m.Unit}
			}
		}
	}
	for _, seed := range pipeline.SeedNames() {
		kind := "gauge"
		if strings.HasSuffix(seed[0], "_total") {
			kind = "counter"
		}
		metadata[seed[0]] = promql.Metadata{Type: kind, Help: seed[1]}
	}
	return names, metadata, nil
}

// start begins to keep the history in order.
func (h *history) start(run func(name string, f func(context.Context) error)) {
	if h.store == nil {
		return
	}
	run("store", h.store.Run)
	for _, node := range h.nodes {
		run("victoriametrics", node.Run)
	}
	if h.hosts != nil {
		run("hosts", h.hosts.run)
	}
	run("memory of the start", h.settle)
	run("records", h.records.Run)
	run("records' retention", h.retain)
}

// settle gives the memory back that the replay of the store took: the agent
// needs a part of it from then on, and the runtime would keep it for minutes.
func (h *history) settle(ctx context.Context) error {
	select {
	case <-h.store.Opened():
		debug.FreeOSMemory()
	case <-ctx.Done():
	}
	return nil
}

// retainEvery is how often old records are deleted.
const retainEvery = 10 * time.Minute

// retain deletes old records by the time that the store believes, and keeps them
// to their share of the disk. Readings and the records of one moment go by one
// clock, so that a wrong one deletes neither.
func (h *history) retain(ctx context.Context) error {
	every := time.NewTicker(retainEvery)
	defer every.Stop()
	select {
	case <-h.store.Opened():
	case <-ctx.Done():
		return nil
	}
	for {
		err := h.records.Retain(ctx, h.store.RetentionTime())
		if over := h.records.Bytes() - h.most; err == nil && over > 0 {
			_, err = h.records.Shrink(ctx, over)
		}
		_ = err // The records tell what is wrong with their file in their own health.
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// health are the parts of the history.
func (h *history) health() []api.Part {
	if h.store == nil {
		return nil
	}
	var parts []api.Part
	for _, c := range []health.Component{h.store.Health(), h.records.Health()} {
		parts = append(parts, api.Part{Name: c.Name, Status: api.Status(c.Status), Reason: c.Reason})
	}
	if len(h.nodes) > 0 {
		parts = append(parts, h.nodesHealth(), h.hosts.health())
	}
	return parts
}

// nodesHealth is how VictoriaMetrics fares: where a tier does not answer, the
// local cache does, so that nothing is worse than degraded.
func (h *history) nodesHealth() api.Part {
	part := api.Part{Name: "victoriametrics", Status: api.OK}
	var reasons []string
	for _, node := range h.nodes {
		if err := node.Away(); err != nil {
			part.Status = api.Degraded
			reasons = append(reasons, fmt.Sprintf("the tier %s at %s: %v", node.Name(), node.Address(), err))
		}
	}
	part.Reason = strings.Join(reasons, "; ")
	return part
}

// backup writes a copy of the history, the alerts and the accounts into a directory, which must be empty or
// missing: an agent that is started on it goes on from there. What is half done
// when it fails is removed.
func (h *history) backup(ctx context.Context, dir string) (err error) {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%w: %s is no absolute path", api.ErrBackupRefused, dir)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("%w: %w", api.ErrBackupRefused, err)
		}
	case err != nil:
		return fmt.Errorf("%w: %w", api.ErrBackupRefused, err)
	case len(entries) > 0:
		return fmt.Errorf("%w: %s is not empty", api.ErrBackupRefused, dir)
	}
	// A backup writes blocks, which takes several times the memory of a quiet day.
	defer debug.FreeOSMemory()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, storeDir)), os.RemoveAll(filepath.Join(dir, recordsDir)), os.RemoveAll(filepath.Join(dir, authDir)), os.RemoveAll(filepath.Join(dir, alertingDir)))
		}
	}()
	if err := h.store.Backup(ctx, filepath.Join(dir, storeDir)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, recordsDir), 0o700); err != nil {
		return err
	}
	if err := h.records.Backup(ctx, filepath.Join(dir, recordsDir, records.FileName)); err != nil {
		return err
	}
	if h.alerts != nil {
		if err := os.Mkdir(filepath.Join(dir, alertingDir), 0o700); err != nil {
			return err
		}
		if err := h.alerts.Backup(ctx, filepath.Join(dir, alertingDir)); err != nil {
			return err
		}
	}
	return backupAccounts(filepath.Join(h.dir, authDir), filepath.Join(dir, authDir))
}
