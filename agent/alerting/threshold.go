package alerting

import "encoding/json"

// Threshold is a simple rule: a value, a threshold and a duration. It is converted to
// a Prometheus rule.
type Threshold struct {
	Name      string            `yaml:"name" json:"name" minLength:"1" maxLength:"128" doc:"Name of the rule; must be unique." example:"DataDiskFull"`
	Metric    string            `yaml:"metric,omitempty" json:"metric,omitempty" maxLength:"255" doc:"Metric: a name of the REST API such as cpu_usage_total, in its unit there, or any PromQL metric name. Instead of expr." example:"disk_percent"`
	Expr      string            `yaml:"expr,omitempty" expand:"references" json:"expr,omitempty" maxLength:"16384" doc:"PromQL expression of the value, without the comparison. Instead of metric."`
	Match     map[string]string `yaml:"match,omitempty" json:"match,omitempty" doc:"Labels that the metric must have, with their values; a value that begins with ~ is a regular expression, ! negates it. With metric only." example:"{\"mountpoint\":\"/data\"}"`
	Op        string            `yaml:"op" json:"op" doc:"Comparison of the value with the threshold: >, >=, <, <=, == or !=." example:">"`
	Reduce    string            `yaml:"reduce,omitempty" json:"reduce,omitempty" maxLength:"16" doc:"What is compared of the seconds since the last evaluation: their mean; the worst of them, which is the maximum for > and >=, the minimum for < and <=, and any second that fits for == and !=; or the last alone. Default: mean, with == and != worst." example:"mean"`
	Threshold float64           `yaml:"threshold" json:"threshold" doc:"Threshold for the value." example:"85"`
	For       string            `yaml:"for,omitempty" json:"for,omitempty" maxLength:"32" doc:"How long the condition must hold before the alert fires, such as 30s, 5m or 1h30m. Default 0s." example:"5m"`
	Recover   *float64          `yaml:"recover,omitempty" json:"recover,omitempty" doc:"Value at which the alert resolves. Default: the threshold." example:"80"`
	Remind    string            `yaml:"remind,omitempty" json:"remind,omitempty" maxLength:"32" doc:"Interval of reminders while the alert fires, such as 4h; doubles each time, up to a day. Default: none." example:"4h"`
	Severity  string            `yaml:"severity,omitempty" json:"severity,omitempty" maxLength:"32" doc:"Severity: info, warning, critical, or any custom value. Default warning." example:"warning"`
	Channels  []string          `yaml:"channels,omitempty" json:"channels,omitempty" nullable:"false" maxItems:"32" doc:"Names of the notification channels. Default: all."`
	Summary   string            `yaml:"summary,omitempty" expand:"references" json:"summary,omitempty" maxLength:"1024" doc:"Text of the notification, a Prometheus template such as {{ $labels.device }} is full. Default: generated."`
	Enabled   bool              `yaml:"enabled" json:"enabled" required:"false" doc:"Whether it is evaluated. Default true." help:"Whether it is evaluated."`
}

// SetDefaults enables a threshold of the configuration.
func (t *Threshold) SetDefaults() { t.Enabled = true }

// UnmarshalJSON decodes a threshold; it is enabled by default.
func (t *Threshold) UnmarshalJSON(text []byte) error {
	type plain Threshold
	read := plain{Enabled: true}
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*t = Threshold(read)
	return nil
}
