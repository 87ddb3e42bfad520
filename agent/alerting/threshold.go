package alerting

// Threshold is a simple rule: a value, what it is held against and for how long.
// It becomes an ordinary rule of Prometheus.
type Threshold struct {
	Name      string            `yaml:"name" json:"name" minLength:"1" maxLength:"128" doc:"Name of the rule; no other may have it." example:"DataDiskFull"`
	Metric    string            `yaml:"metric,omitempty" json:"metric,omitempty" maxLength:"255" doc:"What is measured: a name of the REST API such as cpu_usage_total, in its unit there, or any name that PromQL knows. Instead of expr." example:"disk_percent"`
	Expr      string            `yaml:"expr,omitempty" json:"expr,omitempty" maxLength:"16384" doc:"PromQL of the value, without the comparison. Instead of metric."`
	Match     map[string]string `yaml:"match,omitempty" json:"match,omitempty" doc:"Labels that the metric must have, each with its value; ~ before a value makes it a regular expression, ! before it or before the ~ is not. With metric only." example:"{\"mountpoint\":\"/data\"}"`
	Op        string            `yaml:"op" json:"op" enum:">,>=,<,<=,==,!=" doc:"How the value is held against the threshold." example:">"`
	Threshold float64           `yaml:"threshold" json:"threshold" doc:"What it is held against." example:"85"`
	For       string            `yaml:"for,omitempty" json:"for,omitempty" maxLength:"32" doc:"How long it must be so before the alert fires, such as 30s, 5m or 1h30m; at once where it is left out." example:"5m"`
	Recover   *float64          `yaml:"recover,omitempty" json:"recover,omitempty" doc:"What the value must come back to for the alert to be over; the threshold itself where it is left out." example:"80"`
	Remind    string            `yaml:"remind,omitempty" json:"remind,omitempty" maxLength:"32" doc:"After how long a firing alert is told again, such as 4h; each time after twice as long, up to a day. Never where it is left out." example:"4h"`
	Severity  string            `yaml:"severity,omitempty" json:"severity,omitempty" maxLength:"32" doc:"How grave it is: info, warning, critical or a word of your own. Default warning." example:"warning"`
	Channels  []string          `yaml:"channels,omitempty" json:"channels,omitempty" maxItems:"32" doc:"Names of the channels that tell it; all where it is left out."`
	Summary   string            `yaml:"summary,omitempty" json:"summary,omitempty" maxLength:"1024" doc:"What the message says, a template of Prometheus such as {{ $labels.device }} is full; made of the rest where it is left out."`
	Enabled   bool              `yaml:"enabled" json:"enabled" default:"true" doc:"Whether it is evaluated."`
}

// SetDefaults makes a threshold of a configuration one that is evaluated.
func (t *Threshold) SetDefaults() { t.Enabled = true }
