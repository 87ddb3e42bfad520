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

// alertingDir is the folder of what the alerts keep, in the data directory.
const alertingDir = "alerting"

// alerts are the rules and who is told of what they find. Both are absent where
// no history is kept: there is nothing to judge by.
type alerts struct {
	rules    *alerting.Alerting
	notifier *notify.Notifier
}

// openAlerts opens both. The history is open by then.
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
		Config: c.Notify, DataDir: dir, Host: hostName, Log: a.log.With("component", "channels"),
		Alive: func() error {
			if a.alerts.rules == nil {
				return errors.New("the rules are not read yet")
			}
			return a.alerts.rules.Judging()
		},
	})
	if err != nil {
		return fmt.Errorf("alerting: %w", err)
	}
	a.closers = append(a.closers, notifier.Close)
	var hosts func(context.Context) ([]alerting.Host, error)
	if a.history.hosts != nil {
		hosts = (&known{hosts: a.history.hosts}).list
	}
	rules, err := alerting.Open(context.Background(), alerting.Options{
		Config: c.Rules, Dir: filepath.Join(dir, alertingDir), Host: hostName,
		Querier: a.history.querier, Unsteady: a.history.store.Unsteady, Metrics: o.Config.AlertMetric,
		Notifier: notifier, Processes: a.greediest, Link: a.dashboard, Events: a.history.records.AddEvent, Hosts: hosts,
		Log: a.log.With("component", "alerting"),
	})
	if err != nil {
		return fmt.Errorf("alerting: %w", err)
	}
	a.closers = append(a.closers, rules.Close)
	a.alerts = alerts{rules: rules, notifier: notifier}
	a.history.groups, a.history.alerts = rules.Groups, rules
	return nil
}

// known remembers when each machine was last seen: to look far back costs more
// than every few seconds is worth.
type known struct {
	hosts *hosts

	mu    sync.Mutex
	seen  map[string]time.Time
	whole time.Time // when it was last looked far back
}

// lookBackEvery is how often it is looked far back.
const lookBackEvery = time.Hour

// list are the machines that push to where this agent reads. Of two of one name
// the one that was seen last counts.
func (k *known) list(ctx context.Context) ([]alerting.Host, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	far := time.Since(k.whole) > lookBackEvery
	look := func(ctx context.Context) ([]api.Seen, error) { return k.hosts.seenBy(ctx, k.hosts.nodes[0], recently) }
	if far {
		look = k.hosts.Seen
	}
	seen, err := look(ctx)
	if err != nil {
		return nil, err
	}
	if far { // Who is beyond all that is kept is forgotten.
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

// toldProcesses is how many processes a message names.
const toldProcesses = 3

// greediest are the processes that use most now.
func (a *App) greediest(byMemory bool) (all []notify.Process) {
	newest, _ := a.pipeline.Newest("process")
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
		if !math.IsNaN(p.CPU) { // It is unknown at first sight.
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
	return all[:min(len(all), toldProcesses)]
}

// dashboard is where people reach the dashboard.
func (a *App) dashboard() string {
	if address := a.config.API.HTTP.ExternalURL; address != "" {
		return address
	}
	return a.server.URL()
}

// apiOptions puts the alerts among what the API gets. A nil pointer must not
// become an interface that is not nil.
func (w *alerts) apiOptions(o *api.Options) {
	if w.rules != nil {
		o.Alerting, o.Notifier = w.rules, w.notifier
	}
}

// start begins to judge and to tell.
func (w *alerts) start(run func(name string, f func(context.Context) error)) {
	if w.rules == nil {
		return
	}
	run("channels", w.notifier.Run)
	run("alerting", w.rules.Run)
}

// health are the parts of the alerts.
func (w *alerts) health() []api.Part {
	if w.rules == nil {
		return nil
	}
	var parts []api.Part
	for _, c := range []health.Component{w.rules.Health(), w.notifier.Health()} {
		parts = append(parts, api.Part{Name: c.Name, Status: api.Status(c.Status), Reason: c.Reason})
	}
	return parts
}

// reload takes other rules. Where they are wrong the running ones stay.
func (w *alerts) reload(c config.Config) error {
	if w.rules == nil {
		return nil
	}
	return w.rules.Reload(context.Background(), c.Alerting.Rules)
}
