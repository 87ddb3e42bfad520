package alerting

import "time"

// Silence keeps alerts from being told for a time. They are evaluated and shown
// all the same.
type Silence struct {
	ID       string    `json:"id" doc:"Id of the silence."`
	Start    time.Time `json:"start" doc:"From when on it holds."`
	End      time.Time `json:"end" doc:"Until when it holds."`
	Matchers []Matcher `json:"matchers" nullable:"false" doc:"What an alert's labels must be; all of them."`
	Author   string    `json:"author" doc:"Who made it."`
	Comment  string    `json:"comment" doc:"Why."`
	Created  time.Time `json:"created" doc:"When it was made."`
	State    string    `json:"state" enum:"pending,active,expired" doc:"Whether it holds now. Expired ones are forgotten after 5 days."`
}

// Matcher is what a label must be. Of the labels, alertname is the rule and
// host_name the machine.
type Matcher struct {
	Name  string `json:"name" minLength:"1" maxLength:"255" doc:"Label, such as alertname, host_name or severity." example:"alertname"`
	Op    string `json:"op,omitempty" enum:"=,!=,=~,!~" default:"=" doc:"How it is held against the value; ~ is a regular expression."`
	Value string `json:"value" maxLength:"1024" doc:"The value, or the regular expression for all of it." example:"HighCPUUsage"`
}
