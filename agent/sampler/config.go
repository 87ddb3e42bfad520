package sampler

import "time"

// Config is when the machine is read.
type Config struct {
	Interval time.Duration `yaml:"interval" help:"Time between two readings (the tick), whole seconds from 1s to 60s."`
}

// Defaults is the configuration of which nothing was said.
func Defaults() Config { return Config{Interval: time.Second} }

// Validate calls wrong for every validation error with the path of the option in the
// section, its value and the rule that it breaks.
func (c Config) Validate(wrong func(path string, value any, rule string)) {
	if c.Interval < time.Second || c.Interval > time.Minute || c.Interval%time.Second != 0 {
		wrong("interval", c.Interval, "must be a whole number of seconds from 1s to 60s")
	}
}
