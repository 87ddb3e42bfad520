package alerting

import "time"

// State is what an alert is in.
type State = string

// The states.
const (
	// Inactive: the condition does not hold. An inactive rule has no alerts.
	Inactive State = "inactive"
	// Pending: the condition holds, but not for long enough yet.
	Pending State = "pending"
	// Firing: the condition held for as long as the rule asks for.
	Firing State = "firing"
	// NoData: the alert fired, and what it is judged by is not measured any more.
	// It is held: that nobody looks does not mean that all is well.
	NoData State = "no_data"
	// Resolved: the condition does not hold any more.
	Resolved State = "resolved"
)

// Alert is one thing that a rule found. Its labels can have been chosen by
// anybody who plugs in a device.
type Alert struct {
	Fingerprint string            `json:"fingerprint" doc:"What names the alert in all answers and messages: it is the same as long as its labels are."`
	Rule        string            `json:"rule" doc:"The rule that found it."`
	State       State             `json:"state" enum:"pending,firing,no_data,resolved" doc:"pending: not for long enough yet; no_data: it fired, and what it is judged by is not measured any more; resolved: over, within the last 15 minutes."`
	Severity    string            `json:"severity" doc:"How grave it is, in the rule's word; empty where the rule says nothing."`
	Host        string            `json:"host" doc:"Name of the machine."`
	Labels      map[string]string `json:"labels" doc:"What it is about. Their values can have been chosen by anybody."`
	Annotations map[string]string `json:"annotations" doc:"What the rule says about it."`
	Summary     string            `json:"summary" doc:"What is wrong, in a sentence."`
	Description string            `json:"description" doc:"More of it; may be empty."`
	Value       *float64          `json:"value" doc:"What was measured at the last evaluation; null where it is no number."`
	Threshold   string            `json:"threshold" doc:"What the value is held against, such as > 80; empty where that is not known."`
	Unit        string            `json:"unit" doc:"Unit of value and threshold; may be empty."`
	Since       time.Time         `json:"since" doc:"When the condition began to hold."`
	FiredAt     time.Time         `json:"fired_at,omitzero" doc:"When it began to fire; absent while it is pending."`
	NoDataSince time.Time         `json:"no_data_since,omitzero" doc:"Since when nothing is measured; absent where something is."`
	EndedAt     time.Time         `json:"ended_at,omitzero" doc:"When it was over; absent while it is not."`
	Silences    []string          `json:"silences" nullable:"false" doc:"Ids of the silences that keep it from being told."`
	Flapping    bool              `json:"flapping" doc:"Whether it comes and goes so often that one message stands for many."`
	Changes     int               `json:"changes" doc:"How often it began or ended in the last half hour."`
	Channels    []string          `json:"channels" nullable:"false" doc:"Channels that tell it; none means all."`
	Link        string            `json:"link" doc:"The dashboard at that time."`
}

// Episode is the life of one alert from its beginning to its end.
type Episode struct {
	ID          int64             `json:"id" doc:"Number that grows with each episode."`
	Fingerprint string            `json:"fingerprint" doc:"What names the alert."`
	Rule        string            `json:"rule" doc:"The rule that found it."`
	State       State             `json:"state" enum:"firing,no_data,resolved" doc:"resolved where it is over."`
	Severity    string            `json:"severity" doc:"How grave it was, in the rule's word."`
	Host        string            `json:"host" doc:"Name of the machine."`
	Labels      map[string]string `json:"labels" doc:"What it was about."`
	Summary     string            `json:"summary" doc:"What was wrong, in a sentence."`
	Since       time.Time         `json:"since" doc:"When the condition began to hold."`
	FiredAt     time.Time         `json:"fired_at" doc:"When it began to fire."`
	EndedAt     time.Time         `json:"ended_at,omitzero" doc:"When it was over; absent while it is not."`
	Value       *float64          `json:"value" doc:"What was measured when it began to fire; null where it is no number."`
	Threshold   string            `json:"threshold" doc:"What the value was held against."`
	Unit        string            `json:"unit" doc:"Unit of value and threshold."`
	Told        int               `json:"told" doc:"How many messages were handed to the channels."`
	Why         string            `json:"why,omitempty" doc:"Why it ended where the condition did not: the rule was changed, disabled or deleted."`
}

// HistoryQuery asks for episodes.
type HistoryQuery struct {
	// Start and End bound the time in which an episode must have fired at all.
	Start, End time.Time
	// Rule is the only rule that is asked for, empty for all.
	Rule  string
	Limit int
	// Before is the id of the last episode of the page before, 0 for the first page.
	Before int64
}

// Process is one of the greediest processes, by what the rule is about.
type Process struct {
	Name                    string
	PID                     int
	CPUPercent, MemoryBytes float64
}
