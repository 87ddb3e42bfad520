package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sysotel/agent/alerting"
	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/agent/notify"
	"sysotel/api"
	"sysotel/instruments"
)

// alertingDir is the directory of the alerts, in the data directory.
const alertingDir = "alerting"

// alerts are the rules and the notifier. Both are nil if no history is kept, because
// there is nothing to evaluate.
type alerts struct {
	rules    *alerting.Alerting
	notifier *notify.Notifier
}

// openAlerts opens both. The history must be open.
func (a *App) openAlerts(o Options, hostName string) error {
	if a.history.store == nil {
		return nil
	}
	c := o.Config.Alerting
	dir, err := filepath.Abs(o.Config.DataDir)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	notifier, err := notify.Open(context.Background(), notify.Options{
		Config: c.Notify, DataDir: dir, Host: hostName, Log: a.log.With("component", "channels"), Clock: a.clock,
		Damaged: a.noteDamage, Page: a.dashboard,
		Alive: func() error {
			if a.alerts.rules == nil {
				return errors.New("the rules are not loaded yet")
			}
			return a.alerts.rules.Evaluating()
		},
	})
	if err != nil {
		return in(theChannels, fmt.Errorf("alerting: %w", err))
	}
	a.closers = append(a.closers, notifier.Close)
	var hosts func(context.Context) ([]alerting.Host, error)
	if a.history.hosts != nil {
		hosts = (&known{hosts: a.history.hosts}).list
	}
	rules, err := alerting.Open(context.Background(), alerting.Options{
		Config: c.Rules, Dir: filepath.Join(dir, alertingDir), Host: hostName,
		Querier: a.history.querier, Newest: func() time.Time { return a.history.store.Tiers()[0].Newest() }, Unready: a.history.store.Unready, SeenFrom: a.history.store.SeenFrom, Metrics: o.Config.AlertMetric, Catalogue: a.catalogue,
		Notifier: notifier, Processes: a.topProcesses, Link: a.dashboard, Events: a.history.records.AddEvent, Hosts: hosts, Store: a.history.store,
		Log: a.log.With("component", "alerting"), Clock: a.clock, Damaged: a.noteDamage,
	})
	if err != nil {
		return in(theRules, fmt.Errorf("alerting: %w", err))
	}
	a.closers = append(a.closers, rules.Close)
	a.alerts = alerts{rules: rules, notifier: notifier}
	a.history.groups, a.history.alerts, a.history.channels = rules.Groups, rules, notifier
	return nil
}

// catalogue has the names of all metrics that can be asked.
func (a *App) catalogue() alerting.Catalogue {
	metrics := slices.Collect(maps.Keys(a.metadata()))
	c, _ := a.config.Catalogue() // An error would have stopped the start.
	return alerting.Catalogue{Metrics: append(metrics, c.Metrics...), REST: c.REST}
}

// known caches when each machine was last seen: a query over the whole history is
// too expensive every few seconds.
type known struct {
	hosts *hosts

	mu    sync.Mutex
	seen  map[string]time.Time
	whole time.Time // time of the last query over the whole history
}

// refreshEvery is the interval of queries over the whole history.
const refreshEvery = time.Hour

// list returns the machines that push to the storage that this agent reads. Of two
// with the same name the one seen last counts.
func (k *known) list(ctx context.Context) ([]alerting.Host, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	far := time.Since(k.whole) > refreshEvery
	look := func(ctx context.Context) ([]api.Seen, error) { return k.hosts.seenBy(ctx, k.hosts.nodes[0], recently) }
	if far {
		look = k.hosts.Seen
	}
	seen, err := look(ctx)
	if err != nil {
		return nil, err
	}
	if far { // Forgets machines without any stored history.
		k.seen, k.whole = map[string]time.Time{}, time.Now()
	}
	for _, s := range seen {
		if s.LastSeen.After(k.seen[s.HostName]) {
			k.seen[s.HostName] = s.LastSeen
		}
	}
	all := make([]alerting.Host, 0, len(k.seen))
	for _, name := range slices.Sorted(maps.Keys(k.seen)) {
		all = append(all, alerting.Host{Name: name, LastSeen: k.seen[name]})
	}
	return all, nil
}

// notifiedProcesses is the number of processes in a notification.
const notifiedProcesses = 3

// topProcesses returns the processes with the highest current usage.
func (a *App) topProcesses(byMemory bool) (all []notify.Process) {
	newest, _ := a.readings.sampler.Newest("process")
	table, ok := newest.(*instruments.ProcessTable)
	if !ok {
		return nil
	}
	for i := range table.All {
		p := &table.All[i]
		if p.Kernel {
			continue
		}
		one := notify.Process{Name: p.Name, PID: p.PID, MemoryBytes: float64(p.MemoryRSS)}
		if !math.IsNaN(p.CPU) { // Unknown at the first reading.
			one.CPUPercent = 100 * p.CPU
		}
		all = append(all, one)
	}
	slices.SortStableFunc(all, func(x, y notify.Process) int {
		if byMemory {
			return cmp.Compare(y.MemoryBytes, x.MemoryBytes)
		}
		return cmp.Compare(y.CPUPercent, x.CPUPercent)
	})
	return all[:min(len(all), notifiedProcesses)]
}

// dashboard is the URL of the dashboard.
func (a *App) dashboard() string {
	if address := a.config.API.HTTP.PublicURL(); address != "" {
		return address
	}
	if a.server == nil { // Alerts that ended while the agent was down are told before it listens.
		return "http://" + a.config.API.HTTP.Listen
	}
	return a.server.URL()
}

// apiOptions sets the options of the API. A nil pointer must not become a non-nil
// interface.
func (w *alerts) apiOptions(o *api.Options) {
	if w.rules != nil {
		o.Alerting, o.Notifier = w.rules, &channels{w.notifier, w.rules}
	}
}

// start runs both.
func (w *alerts) start(run func(name string, f func(context.Context) error)) {
	if w.rules == nil {
		return
	}
	run("channels", w.notifier.Run)
	run("alerting", w.rules.Run)
	run("rule files", w.rules.WatchFiles)
}

// health returns the components of the alerts.
func (w *alerts) health() []health.Component {
	if w.rules == nil {
		return nil
	}
	return []health.Component{w.rules.Health(), w.notifier.Health()}
}

// reload replaces the rules. On an error the running ones stay.
func (w *alerts) reload(c config.Config) error {
	if w.rules == nil {
		return nil
	}
	return w.rules.Reload(context.Background(), c.Alerting.Rules)
}
