// Package config is the agent's configuration: one struct made of each
// package's own Config, filled from defaults, the file, the environment and the
// command line, in that order. It reports all errors at once, each with where
// the value was set and what is allowed.
//
// An option is one struct field with yaml and help tags in the package that
// uses it; the key in the file, the flag, the variable, the help and the example
// file follow from it. This package does not know what an option does.
//
// Read load.go first, then option.go.
package config

import (
	"fmt"
	"strings"
	"time"

	"sysotel/agent/alerting"
	"sysotel/agent/export"
	"sysotel/agent/notify"
	"sysotel/agent/query"
	"sysotel/agent/sampler"
	"sysotel/agent/store"
	"sysotel/api"
	"sysotel/instruments"
)

// Config is everything that can be configured.
type Config struct {
	Sampling    sampler.Config     `yaml:"sampling" help:"When the machine is read."`
	Export      export.Config      `yaml:",inline"`
	Instruments instruments.Config `yaml:",inline"`
	API         api.Config         `yaml:",inline"`
	Store       store.Config       `yaml:"store" help:"The history of this machine."`
	Query       query.Options      `yaml:"query" help:"Queries of the history."`
	Alerting    AlertingConfig     `yaml:"alerting" help:"Alert rules and notification channels."`
	DataDir     string             `yaml:"data_dir" path:"file" help:"Directory of the agent's data; empty means /var/lib/sysotel for root, else $XDG_STATE_HOME/sysotel or ~/.local/state/sysotel, on Windows %ProgramData%\\sysotel\\data for administrators, else %LOCALAPPDATA%\\sysotel."`
	Memory      MemoryConfig       `yaml:"memory" help:"The agent's own memory."`
	Log         LogConfig          `yaml:"log" help:"The agent's own log."`

	// origins says where each option that is not a default was set.
	origins map[string]string
	// warnings say what was ignored.
	warnings []string
}

// Warnings says what in the environment is ignored, a sentence each: unlike options of
// our own, the standard variables may be meant for others.
func (c Config) Warnings() []string { return c.warnings }

// AlertingConfig configures alert rules and notification channels.
type AlertingConfig struct {
	Rules  alerting.Config `yaml:",inline"`
	Notify notify.Config   `yaml:",inline"`
}

// MemoryConfig bounds the agent's own memory.
type MemoryConfig struct {
	Limit store.ByteSize `yaml:"limit" help:"Resident memory that the agent keeps within, such as 96MiB, at least 48MiB; 0B for no limit. It collects garbage harder as it comes near, and above it gives fewer programs, devices, file systems and interfaces a name of their own; /health says so."`
}

// minMemory is what the agent needs on any machine.
const minMemory store.ByteSize = 48 << 20

// LogConfig is the agent's own log.
type LogConfig struct {
	Level  string `yaml:"level" enum:"debug|info|warn|error" help:"Minimum level of the lines to write."`
	Format string `yaml:"format" enum:"text|json" help:"Format of the lines."`
	File   string `yaml:"file" path:"file" help:"Log file, rotated; empty for standard error."`
}

// Defaults returns the default configuration. Its DataDir is empty: the default
// depends on the user, and Load sets it.
func Defaults() Config {
	return Config{
		Sampling:    sampler.Defaults(),
		Export:      export.Defaults(),
		Instruments: instruments.Defaults(),
		API:         api.Defaults(),
		Store:       store.Defaults(),
		Query:       query.DefaultOptions(),
		Alerting:    AlertingConfig{Rules: alerting.Defaults(), Notify: notify.Defaults()},
		Memory:      MemoryConfig{Limit: 96 << 20},
		Log:         LogConfig{Level: "info", Format: "text"},
		origins:     map[string]string{},
	}
}

// Where returns what set the option at a path such as "prometheus.listen": a line
// of the file, a variable or a flag; "" for a default.
func (c Config) Where(path string) string {
	for path != "" {
		if where, ok := c.origins[path]; ok {
			return where
		}
		// An entry of a list or map was set with the list or map.
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return ""
}

// Validate checks the values against each package's rules and those that involve
// two packages.
func (c Config) Validate() []ValidationError {
	var invalid []ValidationError
	wrong := func(path string, value any, rule string) {
		shown := ""
		if value != nil {
			shown = show(value)
		}
		invalid = append(invalid, ValidationError{Path: path, Value: shown, Rule: rule, Where: c.Where(path)})
	}
	c.Sampling.Validate(func(path string, value any, rule string) { wrong("sampling."+path, value, rule) })
	c.Export.Validate(c.Sampling.Interval, wrong)
	c.Instruments.Validate(wrong)
	c.API.Validate(wrong)
	c.Store.Validate(func(path string, value any, rule string) { wrong("store."+path, value, rule) })
	c.Query.Validate(func(path string, value any, rule string) { wrong("query."+path, value, rule) })
	if c.Memory.Limit != 0 && c.Memory.Limit < minMemory {
		wrong("memory.limit", c.Memory.Limit, "must be at least "+minMemory.String()+", or 0B for no limit")
	}
	c.validateAlerting(wrong)
	c.validateTicks(wrong)
	if c.Export.OTLP.Tiered && c.Store.Backend == "none" {
		wrong("otlp.tiered", true, "needs a store that makes the tiers; store.backend is none")
	}
	c.validateListeners(wrong)
	return invalid
}

// validateTicks checks intervals and timeouts against the sampling interval.
func (c Config) validateTicks(wrong func(path string, value any, rule string)) {
	tick := c.Sampling.Interval
	if tick < time.Second {
		return // Already an error, and nothing is a multiple of it.
	}
	if tiers := c.Store.Tiers; tick%time.Second == 0 && len(tiers) > 0 && tiers[0].Resolution >= time.Second && tick%tiers[0].Resolution != 0 {
		wrong("store.tiers[0].resolution", tiers[0].Resolution, fmt.Sprintf("must divide sampling.interval, %s, so that no reading falls between two points", tick))
	}
	for _, name := range c.Instruments.Collectors.Names() {
		collector, at := c.Instruments.Collectors[name], "instruments."+name+"."
		if collector.Interval%time.Second == 0 && collector.Interval%tick != 0 {
			wrong(at+"interval", collector.Interval, fmt.Sprintf("must be a multiple of sampling.interval, %s", tick))
		}
		if longest := max(tick, collector.Interval); collector.Timeout > longest && collector.Timeout <= time.Minute {
			wrong(at+"timeout", collector.Timeout, fmt.Sprintf("must be at most the time between two readings, %s", longest))
		}
	}
}
