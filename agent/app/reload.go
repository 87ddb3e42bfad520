package app

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/agent/records"
	"sysotel/instruments"
)

// reloadable are the prefixes of options that Reload can change.
var reloadable = []string{"log.level", "instruments.", "processes.", "custom.", "alerting.defaults", "alerting.rules", "alerting.thresholds"}

// Reload applies a new, valid configuration as far as possible and returns the
// changed options that need a restart.
func (a *App) Reload(c config.Config) (restart []string) {
	changed := config.Diff(a.config, c)
	for _, path := range changed {
		if !slices.ContainsFunc(reloadable, func(p string) bool { return strings.HasPrefix(path, p) }) {
			restart = append(restart, path)
		}
	}
	a.level.Set(level(c.Log.Level))
	measured := a.config.Instruments
	measured.Collectors, measured.Processes, measured.Custom = c.Instruments.Collectors, c.Instruments.Processes, c.Instruments.Custom
	a.readings.sampler.Configure(measured)
	err := a.alerts.reload(c)
	if err != nil {
		c.Alerting = a.config.Alerting
	}
	a.mu.Lock()
	a.config.Instruments, a.config.Log.Level, a.config.Alerting.Rules = measured, c.Log.Level, c.Alerting.Rules
	a.mu.Unlock()
	a.log.Info("configuration reloaded", "changed", changed, "needs_restart", restart)
	if len(restart) > 0 {
		a.log.Warn("changes of the configuration need a restart", "options", restart)
	}
	a.reloaded.wants(restart)
	if err != nil {
		a.reloadFailed("the new alert rules cannot be used; the old ones stay in use", err.Error())
		return restart
	}
	a.reloaded.succeed(a.clock.Now())
	switch {
	case len(restart) > 0:
		a.noteReload("needs a restart", map[string]string{"options": strings.Join(restart, ", ")})
	case len(changed) > 0:
		a.noteReload("", map[string]string{"options": strings.Join(changed, ", ")})
	}
	return restart
}

// noteReload records a reload, as an event.
func (a *App) noteReload(cause string, detail map[string]string) {
	if a.history.records != nil {
		_ = a.history.records.AddEvent(records.Event{ // It has a time and a known kind.
			Time: a.clock.Now(), Kind: records.Reload, Subject: "configuration", Cause: cause, Detail: detail,
		})
	}
}

// reloadFailed reports a reload that failed, with each of its errors.
func (a *App) reloadFailed(what string, all ...string) {
	a.reloaded.fail(a.log, what, all...)
	a.noteReload("failed", map[string]string{"error": all[0], "errors": strconv.Itoa(len(all))})
}

// ReloadFailed reports a configuration with errors, of which there is at least one; the
// running one stays in use.
func (a *App) ReloadFailed(wrong []config.ValidationError) {
	all := make([]string, len(wrong))
	for i, w := range wrong {
		all[i] = w.String()
	}
	a.reloadFailed("the configuration cannot be reloaded; the running one stays in use", all...)
}

// reloaded is what became of the newest reload. It is safe for concurrent use.
type reloaded struct {
	mu sync.Mutex
	// at is when the configuration in use was read.
	at time.Time
	// trouble is why it failed, empty if it did not.
	trouble string
	// restart are the changed options that need a restart.
	restart []string
}

// fail logs each error, and keeps them for health until a reload succeeds.
func (r *reloaded) fail(log *slog.Logger, what string, all ...string) {
	for _, err := range all {
		log.Error(what, "err", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = what + ": " + all[0]
	if more := len(all) - 1; more > 0 {
		r.trouble += fmt.Sprintf(", and %d more in the log", more)
	}
}

func (r *reloaded) succeed(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.trouble = at, ""
}

// wants notes which changed options need a restart.
func (r *reloaded) wants(restart []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restart = restart
}

// stats is the status as metrics report it.
func (r *reloaded) stats() instruments.ConfigStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return instruments.ConfigStats{ReloadFailed: r.trouble != "", NeedRestart: uint64(len(r.restart))}
}

// newest returns when the configuration in use was read, and whether a newer one has
// failed since.
func (r *reloaded) newest() (at time.Time, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at, r.trouble != ""
}

// health is the component of the configuration.
func (r *reloaded) health() health.Component {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := health.Component{Name: "configuration", Status: health.OK}
	var reasons []string
	if r.trouble != "" {
		reasons = append(reasons, r.trouble)
	}
	if n := len(r.restart); n > 0 {
		const shown = 5
		options := strings.Join(r.restart[:min(n, shown)], ", ")
		if n > shown {
			options += fmt.Sprintf(" and %d more", n-shown)
		}
		reasons = append(reasons, "these options were changed and need a restart: "+options)
	}
	if len(reasons) > 0 {
		c.Status, c.Reason = health.Degraded, strings.Join(reasons, "; ")
	}
	return c
}
