package alerting

import "time"

// State is the state of an alert.
type State = string

// The states.
const (
	// Inactive: the condition does not hold. An inactive rule has no alerts.
	Inactive State = "inactive"
	// Pending: the condition holds, but not long enough yet.
	Pending State = "pending"
	// Firing: the condition has held long enough.
	Firing State = "firing"
	// NoData: the alert fired and has no data any more. It is held, because missing
	// data does not mean that all is well.
	NoData State = "no_data"
	// Resolved: the condition no longer holds.
	Resolved State = "resolved"
	// WithoutSeries: an inactive rule whose selectors have matched no series since the start.
	WithoutSeries State = "no_series"
	// Off: a built-in rule for what this machine does not have.
	Off State = "off"
)

// Alert is an alert of a rule. Its labels are untrusted: plugging in a device can
// set them.
type Alert struct {
	Fingerprint string            `json:"fingerprint" doc:"Identifies the alert; derived from its labels."`
	Rule        string            `json:"rule" doc:"Name of the rule."`
	State       State             `json:"state" enum:"pending,firing,no_data,resolved" doc:"pending: the condition holds, but not long enough yet; no_data: it fired and has no data any more; resolved: it ended within the last 15 minutes."`
	Severity    string            `json:"severity" doc:"Severity set by the rule; may be empty."`
	Host        string            `json:"host" doc:"Name of the machine."`
	Labels      map[string]string `json:"labels" doc:"Labels that identify the alert. Values are untrusted."`
	Annotations map[string]string `json:"annotations" doc:"Annotations set by the rule."`
	Summary     string            `json:"summary" doc:"One-sentence summary."`
	Description string            `json:"description" doc:"Longer description; may be empty."`
	Value       *float64          `json:"value" doc:"Value at the last evaluation, or the one that ended it; null if it is not known."`
	Threshold   string            `json:"threshold" doc:"Threshold with its operator, such as > 80; empty if unknown."`
	Unit        string            `json:"unit" doc:"Unit of value and threshold; may be empty."`
	Since       time.Time         `json:"since" doc:"When the condition began to hold."`
	FiredAt     time.Time         `json:"fired_at,omitzero" doc:"When it started firing; absent while pending."`
	NoDataSince time.Time         `json:"no_data_since,omitzero" doc:"Since when there is no data; absent otherwise."`
	EndedAt     time.Time         `json:"ended_at,omitzero" doc:"When it ended; absent while it is active."`
	Silences    []string          `json:"silences" nullable:"false" doc:"IDs of the silences that suppress its notifications."`
	Flapping    bool              `json:"flapping" doc:"Whether it changes so often that one notification stands for many."`
	Changes     int               `json:"changes" doc:"How often it started or ended in the last 30 minutes."`
	Channels    []string          `json:"channels" nullable:"false" doc:"Notification channels; none means all."`
	Link        string            `json:"link" doc:"URL of the dashboard at that time."`
}

// Episode is one period in which an alert fired.
type Episode struct {
	ID            int64             `json:"id" doc:"ID; increases with each episode."`
	Fingerprint   string            `json:"fingerprint" doc:"Identifies the alert."`
	Rule          string            `json:"rule" doc:"Name of the rule."`
	State         State             `json:"state" enum:"firing,no_data,resolved" doc:"resolved if it has ended."`
	Severity      string            `json:"severity" doc:"Severity set by the rule."`
	Host          string            `json:"host" doc:"Name of the machine."`
	Labels        map[string]string `json:"labels" doc:"Labels of the alert."`
	Summary       string            `json:"summary" doc:"One-sentence summary."`
	Since         time.Time         `json:"since" doc:"When the condition began to hold."`
	FiredAt       time.Time         `json:"fired_at" doc:"When it started firing."`
	EndedAt       time.Time         `json:"ended_at,omitzero" doc:"When it ended; absent while it is active."`
	Value         *float64          `json:"value" doc:"Value when it started firing; null if it is not a number."`
	EndValue      *float64          `json:"end_value" doc:"Value that ended it; null while it is active, or if it is not known."`
	Threshold     string            `json:"threshold" doc:"Threshold with its operator."`
	Unit          string            `json:"unit" doc:"Unit of value and threshold."`
	Notifications int               `json:"told" doc:"Number of notifications."`
	Why           string            `json:"why,omitempty" doc:"Why it ended if the condition still held: the rule was changed, disabled or deleted."`
}

// HistoryQuery selects episodes.
type HistoryQuery struct {
	// Start and End bound the time with which an episode must overlap.
	Start, End time.Time
	// Rule limits the result to one rule; empty for all.
	Rule  string
	Limit int
	// Before is the ID of the last episode of the previous page, 0 for the first page.
	Before int64
}
