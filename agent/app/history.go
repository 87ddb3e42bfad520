package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/alerting"
	"sysotel/agent/clock"
	"sysotel/agent/config"
	"sysotel/agent/export"
	"sysotel/agent/health"
	"sysotel/agent/query"
	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/records"
	"sysotel/agent/sampler"
	"sysotel/agent/sqlite"
	"sysotel/agent/store"
	"sysotel/api"
	"sysotel/api/promql"
	"sysotel/instruments"
)

// history is what the agent keeps: series in the store, process history and events
// in the records. Both are nil if nothing is kept.
type history struct {
	store   *store.Store
	records *records.Records
	querier *query.Querier
	// groups returns the alert rules for Prometheus' API, nil if there are none.
	groups func() []alerting.PrometheusGroup
	// metadata are the metrics by their Prometheus names.
	metadata map[string]promql.Metadata
	// alerts are part of the backup, nil if there are none.
	alerts interface {
		Backup(ctx context.Context, dir string) error
	}
	// answers serves the API: querier, or one over VictoriaMetrics, whose nodes are
	// then the tiers, finest first.
	answers *query.Querier
	nodes   []*victoriametrics.Node
	// hosts are the machines that push to the nodes, nil without nodes.
	hosts *hosts
	// channels are those of the API, with secrets; nil if there are none.
	channels interface{ BackupChannels(dir string) error }
	// most is the maximum size of the records in bytes.
	most int64
	// accounts are part of it only if the caller asks for secrets.
	accounts interface{ Backup(dir string) error }
	// dir is the data directory.
	dir   string
	clock *clock.Judge
}

// The folders of the data directory.
const (
	storeDir   = "store"
	recordsDir = "records"
)

// recordsShare is the fraction of store.max_bytes that the records may use, 1/4: the
// store gives them space but must keep most of it.
const recordsShare = 4

// openHistory opens the store and the records. The store opens its databases in the
// background.
func (a *App) openHistory(o Options, hostName string) error {
	c := o.Config.Store
	if c.Backend != store.Embedded && c.Backend != store.VictoriaMetrics {
		a.clock.Floor(time.Time{}) // Nothing is stored.
		return nil
	}
	kept, err := records.Open(records.Options{
		Dir: filepath.Join(o.Config.DataDir, recordsDir), Tiers: recordTiers(c.Tiers),
		Top: o.Config.Instruments.Processes.Top, Clock: a.clock, Log: a.log.With("component", "records"),
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, kept.Close)
	series, err := store.Open(store.Options{
		Dir: filepath.Join(o.Config.DataDir, storeDir), Tiers: c.Tiers, MaxBytes: int64(c.MaxBytes), Others: kept.Bytes,
		Labels: labels.FromStrings("host_name", hostName), Clock: a.clock, Damaged: noteStoreDamage(kept),
		Log: a.log.With("component", "store"),
	})
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, series.Close)
	aliases, err := metricAliases(o.Config.Instruments)
	if err != nil {
		return err
	}
	views, err := nodeViews(o.Config.Instruments.Conventions)
	if err != nil {
		return err
	}
	page := o.Config.Export.Prometheus
	var machines atomic.Pointer[query.Intervals]
	querier := func(sources []query.Source, aliases map[string]string) *query.Querier {
		return query.NewQuerier(query.Config{
			Tiers: func() []query.Source { return sources }, Names: series.Rollups(), Aliases: aliases, Views: views,
			Scrape:   query.Scrape{Jobs: page.Jobs, Instance: page.Scraped(hostName)},
			Interval: slowest(o.Config), Limits: boundQueries(o.Config), Now: a.clock.Now,
			Intervals: func() query.Intervals {
				if all := machines.Load(); all != nil {
					return *all
				}
				return query.Intervals{}
			},
		})
	}
	a.dir.mu.Lock()
	a.dir.lost = a.noteLostDirectory
	a.dir.mu.Unlock()
	here := maps.Clone(aliases)
	if len(page.Jobs) > 0 {
		here[query.UpName] = infoName
	}
	local := querier(query.Sources(series.Tiers()), here)
	a.history = history{
		store: series, records: kept, dir: o.Config.DataDir, clock: a.clock, most: int64(c.MaxBytes) / recordsShare,
		querier: local, answers: local,
	}
	if c.Backend == store.Embedded {
		return nil
	}
	var sources []query.Source
	for _, tier := range series.Tiers() {
		node, err := victoriametrics.New(victoriametrics.Options{
			URL: c.VictoriaMetrics[tier.Name()], Log: a.log.With("component", "victoriametrics"),
			Tier: store.TierConfig{Resolution: tier.Resolution(), Retention: tier.Retention()}, Now: a.clock.Now,
		})
		if err != nil {
			return fmt.Errorf("store.victoriametrics: %w", err)
		}
		a.closers = append(a.closers, node.Close)
		a.history.nodes = append(a.history.nodes, node)
		sources = append(sources, &query.Cached{
			Remote: node, Local: tier, Host: hostName,
			Here: func(metric string) bool { return query.OfRules(series.Rollups(), metric) }, // Not pushed.
		})
	}
	a.history.answers = querier(sources, aliases) // VictoriaMetrics may scrape others, and so have up itself.
	a.history.hosts = &hosts{nodes: a.history.nodes, answers: a.history.answers, intervals: &machines, now: a.clock.Now, log: a.log.With("component", "hosts")}
	return nil
}

// noteStoreDamage returns what records a damaged file of the store, as an event.
func noteStoreDamage(kept *records.Records) func(aside, why string, from, to time.Time) {
	return func(aside, why string, from, to time.Time) {
		_ = kept.AddDamage(sqlite.Damage{ // It has a time and a known kind.
			When: time.Now(), What: "the store", Path: aside, Aside: aside, Cause: errors.New(why), Lost: []sqlite.Span{{From: from, To: to}},
		})
	}
}

// noteDamage records damage to a file of another component, as an event.
func (a *App) noteDamage(d sqlite.Damage) {
	if a.history.records != nil {
		_ = a.history.records.AddDamage(d) // It has a time and a known kind.
	}
}

// noteLostDirectory records, as an event, that the data directory was deleted.
func (a *App) noteLostDirectory() {
	_ = a.history.records.AddEvent(records.Event{ // It has a time and a known kind.
		Time: a.clock.Now(), Kind: records.Damage, Subject: "the data directory",
		Cause:  "it was deleted or replaced while it was in use, and is made anew",
		Detail: map[string]string{"path": a.dir.path},
	})
}

// finestRecord is the minimum interval of process tables, which are large and change
// little in a second.
const finestRecord = 5 * time.Second

// recordTiers returns the tiers of the process tables: those of the store, at least
// finestRecord apart, without those that would equal the next.
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

// slowest is the longest time between two readings of a collector.
func slowest(c config.Config) time.Duration {
	longest := c.Sampling.Interval
	for _, f := range c.Instruments.Collectors {
		if f.Enabled {
			longest = max(longest, f.Interval)
		}
	}
	return longest
}

// readingOptions adds the history to the sampler's and the exporter's options. A nil
// pointer must not become a non-nil interface.
func (h *history) readingOptions(s *sampler.Options, e *export.Options) {
	if h.store != nil {
		s.Records, e.Store, e.Tiers = h.records, h.store, h.store
	}
}

// stats are the counters of the store and the records, nil where nothing is kept.
func (h *history) stats() (*instruments.StoreStats, *instruments.RecordsStats) {
	if h.store == nil {
		return nil, nil
	}
	s := h.store.Stats()
	return &instruments.StoreStats{Samples: s.Samples, Series: s.Series, Waiting: s.Waiting, Dropped: s.Dropped},
		&instruments.RecordsStats{Dropped: h.records.Stats().Dropped}
}

// apiOptions adds the history to the API's options.
func (h *history) apiOptions(o *api.Options, c config.Config) error {
	if h.store == nil {
		return nil
	}
	conventions := c.Instruments.Conventions
	names, metadata, err := metricNames(c.Instruments)
	if err != nil {
		return err
	}
	if c.Export.Prometheus.NodeExporter == export.AllNodeNames { // Else custom metrics can have these names.
		for _, node := range instruments.NodeNames() {
			metadata[node.Name] = promql.Metadata{Type: strings.Replace(string(node.Type), "untyped", "unknown", 1), Help: node.Help}
		}
	}
	h.metadata = metadata
	o.History, o.Records, o.Backup = h.answers, h.records, h.backup
	o.SeriesNames = api.SeriesNames{
		Conventions: conventions,
		Metric:      func(m *instruments.Metric) string { return names[m] },
	}
	if h.hosts != nil {
		h.hosts.meters = meterSelectors(names, conventions)
		o.Hosts = h.hosts
	}
	return nil
}

// metricNames returns the Prometheus names of all metrics and their metadata.
func metricNames(c instruments.Config) (map[*instruments.Metric]string, map[string]promql.Metadata, error) {
	names, metadata := map[*instruments.Metric]string{}, map[string]promql.Metadata{}
	for _, f := range instruments.NewCollectors(c, nil) {
		for _, m := range f.Metrics() {
			translated, err := export.PrometheusNames(m, c.Conventions)
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
	for _, legacy := range export.LegacyNames() {
		kind := "gauge"
		if strings.HasSuffix(legacy[0], "_total") {
			kind = "counter"
		}
		metadata[legacy[0]] = promql.Metadata{Type: kind, Help: legacy[1]}
	}
	return names, metadata, nil
}

// metricAliases returns OpenTelemetry's names of all metrics with their Prometheus names.
func metricAliases(c instruments.Config) (map[string]string, error) {
	all := map[string]string{}
	for _, f := range instruments.NewCollectors(c, nil) {
		for _, m := range f.Metrics() {
			aliases, err := export.Aliases(m, c.Conventions)
			if err != nil {
				return nil, err
			}
			maps.Copy(all, aliases)
		}
	}
	return all, nil
}

// nodeViews returns the metrics of node_exporter, by their names, as what they are made of.
func nodeViews(c instruments.Conventions) (map[string]*query.View, error) {
	legacy := map[string]bool{}
	for _, name := range export.LegacyNames() {
		legacy[name[0]] = true // They are kept under this name.
	}
	all := map[string]*query.View{}
	for _, n := range instruments.NodeNames() {
		in, ok := n.In(c)
		if !ok || legacy[n.Name] {
			continue
		}
		view, err := viewOf(&in, c)
		if err != nil {
			return nil, err
		}
		all[n.Name] = view
	}
	return all, nil
}

// viewOf translates the attributes of a metric of node_exporter to the labels that are kept.
func viewOf(in *instruments.NodeView, c instruments.Conventions) (*query.View, error) {
	names, err := export.PrometheusNames(in.Metric, c)
	if err != nil {
		return nil, err
	}
	view := &query.View{Name: names[0], Where: map[string]string{}, Scale: in.Scale}
	labelOf := map[string]string{}
	for _, attribute := range in.Attributes {
		label, err := export.LabelName(attribute)
		if err != nil {
			return nil, err
		}
		labelOf[attribute] = label
		view.Kept = append(view.Kept, label)
		if value, ok := in.Where[attribute]; ok {
			view.Where[label] = value
		}
	}
	for i := range in.Labels {
		l := &in.Labels[i]
		view.Labels = append(view.Labels, query.ViewLabel{Name: l.Name, Of: labelOf[l.Key], Known: l.Ours})
	}
	view.Series = func(value func(string) string) ([]string, bool) {
		return in.Series(func(attribute string) string { return value(labelOf[attribute]) })
	}
	return view, nil
}

// start runs what maintains the history.
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

// settle frees the memory that the replay of the store used; the runtime would keep
// it for minutes.
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

// retain deletes old records and keeps them within their share
// of the disk. Readings and records use one clock, so that a wrong one deletes
// neither.
func (h *history) retain(ctx context.Context) error {
	every := time.NewTicker(retainEvery)
	defer every.Stop()
	select {
	case <-h.store.Opened():
	case <-ctx.Done():
		return nil
	}
	for {
		err := h.records.Retain(ctx, h.clock.Retention())
		if over := h.records.Bytes() - h.most; err == nil && over > 0 {
			_, err = h.records.Shrink(ctx, over)
		}
		_ = err // The records report errors of their file in their own health.
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// health returns the components of the history.
func (h *history) health() []health.Component {
	if h.store == nil {
		return nil
	}
	parts := []health.Component{h.store.Health(), h.records.Health()}
	if len(h.nodes) > 0 {
		parts = append(parts, h.nodesHealth(), h.hosts.health())
	}
	return parts
}

// nodesHealth is the status of VictoriaMetrics, at worst degraded: the local cache
// replaces a tier that does not respond.
func (h *history) nodesHealth() health.Component {
	part := health.Component{Name: "victoriametrics", Status: health.OK}
	var reasons []string
	for _, node := range h.nodes {
		if err := node.Down(); err != nil {
			part.Status = health.Degraded
			reasons = append(reasons, fmt.Sprintf("tier %s at %s: %v", node.Name(), node.Address(), err))
		}
	}
	part.Reason = strings.Join(reasons, "; ")
	return part
}
