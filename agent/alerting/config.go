package alerting

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is the configuration of alert rules. Its keys are below alerting in
// sysotel.yaml, beside those of package notify.
type Config struct {
	Defaults   bool          `yaml:"defaults" help:"Whether to evaluate the built-in rules for processors, memory, file systems and more (agent/alerting/sysotel_alerts.yml). Each can be disabled through the API."`
	Rules      []string      `yaml:"rules" path:"file" help:"Prometheus rule files; * matches several, or none. Rules are evaluated on the history of this machine."`
	Thresholds []Threshold   `yaml:"thresholds" help:"Simple rules: {name, metric or expr, match, op, reduce, threshold, for, recover, remind, severity, channels, enabled}. More can be added through the API."`
	Interval   time.Duration `yaml:"interval" help:"Interval between rule evaluations, 1s to 5m."`
}

// Defaults is the configuration without any settings.
func Defaults() Config { return Config{Defaults: true, Interval: 15 * time.Second} }

// Validate reports the validation errors that show without loading the rules; Check
// finds those inside them.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	if c.Interval < time.Second || c.Interval > 5*time.Minute || c.Interval%time.Second != 0 {
		wrong("interval", c.Interval, "must be whole seconds from 1s to 5m")
	}
	for i, pattern := range c.Rules {
		found, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			wrong(fmt.Sprintf("rules[%d]", i), pattern, "must be a path, or a pattern with * and ?")
		case len(found) == 0 && !isPattern(pattern):
			wrong(fmt.Sprintf("rules[%d]", i), pattern, "there is no such file")
		}
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				wrong(fmt.Sprintf("rules[%d]", i), path, "must be a file")
			}
		}
	}
}

// isPattern reports whether a path has signs of a pattern, which may match nothing: a
// directory of rules can be empty.
func isPattern(path string) bool { return strings.ContainsAny(path, `*?[`) }
