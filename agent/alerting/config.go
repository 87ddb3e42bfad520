package alerting

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Config is what is judged. Its keys stand under alerting in sysotel.yaml, beside
// those of package notify.
type Config struct {
	Defaults   bool          `yaml:"defaults" help:"Whether the rules that sysotel brings are evaluated: processors, memory, file systems and more (agent/alerting/sysotel_alerts.yml). Each can be disabled by itself over the API."`
	Rules      []string      `yaml:"rules" help:"Rule files of Prometheus, with * for several; every rule is evaluated on the history of this machine."`
	Thresholds []Threshold   `yaml:"thresholds" help:"Simple rules: {name, metric or expr, match, op, threshold, for, recover, remind, severity, channels, enabled}. More can be made over the API."`
	Interval   time.Duration `yaml:"interval" help:"Time between two evaluations of the rules, from 1s to 5m."`
}

// Defaults is the configuration of which nothing was said.
func Defaults() Config { return Config{Defaults: true, Interval: 15 * time.Second} }

// Validate calls wrong for every mistake that can be seen without evaluating
// anything. What is wrong inside rules is found when they are loaded.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	if c.Interval < time.Second || c.Interval > 5*time.Minute || c.Interval%time.Second != 0 {
		wrong("interval", c.Interval, "must be whole seconds from 1s to 5m")
	}
	for i, pattern := range c.Rules {
		found, err := filepath.Glob(pattern)
		switch {
		case err != nil:
			wrong(fmt.Sprintf("rules[%d]", i), pattern, "must be a path, or a pattern with * and ?")
		case len(found) == 0:
			wrong(fmt.Sprintf("rules[%d]", i), pattern, "there is no such file")
		}
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				wrong(fmt.Sprintf("rules[%d]", i), path, "must be a file")
			}
		}
	}
}
