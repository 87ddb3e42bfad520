package query

// Options are the keys under query in sysotel.yaml.
type Options struct {
	MaxSamples int `yaml:"max_samples" help:"Number of samples from which on a query over a range reads coarser tiers, where those can answer, instead of each second; rules and queries at one time always read the finest tier that reaches back."`
}

// DefaultOptions returns the default options: a chart of 10 series has each second of an
// hour and more, one of a single series those of half a day.
func DefaultOptions() Options { return Options{MaxSamples: 50_000} }

// Validate calls wrong for every validation error with the path of the option, its value
// and the rule.
func (o Options) Validate(wrong func(path string, value any, rule string)) {
	if o.MaxSamples < 1000 || o.MaxSamples > 100_000_000 {
		wrong("max_samples", o.MaxSamples, "must be from 1000 to 100000000")
	}
}

// Limits are the default limits with these options.
func (o Options) Limits() Limits {
	limits := DefaultLimits()
	limits.Samples = float64(o.MaxSamples)
	return limits
}
