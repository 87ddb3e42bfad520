package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"sysotel/agent/alerting"
	"sysotel/agent/config"
	"sysotel/agent/notify"
	"sysotel/agent/store"
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
	notifier, err := notify.Open(context.Background(), notify.Options{
		Config: c.Notify, DataDir: o.Config.DataDir, Host: hostName, Log: a.log.With("part", "channels"),
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
	rules, err := alerting.Open(context.Background(), alerting.Options{
		Config: c.Rules, Dir: filepath.Join(o.Config.DataDir, alertingDir), Host: hostName,
		Querier: a.history.querier, Unsteady: a.history.store.Unsteady, Metrics: o.Config.AlertMetric,
		ChannelNames: c.Notify.Names(), Channels: func() []alerting.Channel { return channels(notifier) }, TestChannel: notifier.Test,
		Deliver: notifier, Processes: a.greediest, Link: a.dashboard, Events: a.history.records.AddEvent,
		Log: a.log.With("part", "alerting"),
	})
	if err != nil {
		return fmt.Errorf("alerting: %w", err)
	}
	a.closers = append(a.closers, rules.Close)
	a.alerts = alerts{rules: rules, notifier: notifier}
	a.history.groups = rules.Groups
	return nil
}

// channels is how the channels fare, in the words of the alerts.
func channels(n *notify.Notifier) (all []alerting.Channel) {
	for _, s := range n.Channels() {
		one := alerting.Channel{Name: s.Name, Type: s.Type, Waiting: s.Waiting, LastSuccess: s.LastSuccess}
		if s.Failing() {
			one.LastError, one.LastErrorAt = s.LastError, s.LastFailure
		}
		all = append(all, one)
	}
	return all
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
		o.Alerting = w.rules
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
	word, reason := w.rules.Health()
	told := api.Part{Name: "channels", Status: api.OK, Reason: w.notifier.Health()}
	if told.Reason != "" {
		told.Status = store.Degraded
	}
	return []api.Part{{Name: "alerting", Status: api.Status(word), Reason: reason}, told}
}

// reload takes other rules. Where they are wrong the running ones stay.
func (w *alerts) reload(c config.Config) error {
	if w.rules == nil {
		return nil
	}
	return w.rules.Reload(context.Background(), c.Alerting.Rules)
}
