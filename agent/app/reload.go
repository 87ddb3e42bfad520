package app

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"sysotel/agent/config"
	"sysotel/agent/health"
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
	if err != nil {
		a.reloaded.fail(a.log, "the new alert rules cannot be used; the old ones stay in use", err.Error())
	} else {
		a.reloaded.succeed(a.clock.Now())
	}
	return restart
}

// ReloadFailed reports a configuration with errors, of which there is at least one; the
// running one stays in use.
func (a *App) ReloadFailed(wrong []config.ValidationError) {
	all := make([]string, len(wrong))
	for i, w := range wrong {
		all[i] = w.String()
	}
	a.reloaded.fail(a.log, "the configuration cannot be reloaded; the running one stays in use", all...)
}

// reloaded is what became of the newest reload. It is safe for concurrent use.
type reloaded struct {
	mu sync.Mutex
	// at is when the configuration in use was read.
	at time.Time
	// trouble is why it failed, empty if it did not.
	trouble string
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
	if r.trouble != "" {
		c.Status, c.Reason = health.Degraded, r.trouble
	}
	return c
}
