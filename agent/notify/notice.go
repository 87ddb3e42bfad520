// Package notify carries what the alert rules found to people: by e-mail, Slack,
// webhook, into a log file, by any receiver that the Alertmanager project knows,
// or to an Alertmanager of one's own. What was handed to it is on disk before it
// says so, is sent once, and is sent in spite of restarts and of receivers that
// do not answer.
//
// What is worth a message is no business of this package: it is handed notices
// and knows nothing of rules. Read notice.go first, then queue.go and sender.go.
package notify

import "time"

// State is what a notice tells of an alert.
type State = string

// The states.
const (
	Firing   State = "firing"
	Resolved State = "resolved"
	// NoData: what the alert is judged by is not measured any more; it is held.
	NoData State = "no_data"
	// Reminder: the alert still fires.
	Reminder State = "reminder"
	// Flapping: the alert changed so often that this one notice stands for many.
	Flapping State = "flapping"
)

// Notice is one thing to be told about one alert. It is kept as JSON while it
// waits.
type Notice struct {
	// ID makes a notice the same as another: a second one with it is dropped.
	ID string `json:"id"`
	// Fingerprint is what all notices about one alert share.
	Fingerprint string `json:"fingerprint"`
	Rule        string `json:"rule"`
	Host        string `json:"host"`
	State       State  `json:"state"`
	Severity    string `json:"severity,omitempty"`
	// Channels are the names of those that tell it; none means all.
	Channels []string `json:"channels,omitempty"`
	// Value is what was measured, nil where nothing was; Unit is that of both it
	// and Threshold, which is written with its operator ("> 80").
	Value       *float64 `json:"value,omitempty"`
	Threshold   string   `json:"threshold,omitempty"`
	Unit        string   `json:"unit,omitempty"`
	Summary     string   `json:"summary,omitempty"`
	Description string   `json:"description,omitempty"`
	// Since is when the alert began, At when this notice was made, Ended when the
	// alert was over; zero while it is not.
	Since time.Time `json:"since"`
	At    time.Time `json:"at"`
	Ended time.Time `json:"ended,omitzero"`
	// Changes is how often a flapping alert changed.
	Changes     int               `json:"changes,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Processes are the greediest at that moment, the greediest first.
	Processes []Process `json:"processes,omitempty"`
	// Link leads to the dashboard at that time.
	Link string `json:"link,omitempty"`
}

// Process is one of the greediest processes.
type Process struct {
	Name        string  `json:"name"`
	PID         int     `json:"pid,omitempty"`
	CPUPercent  float64 `json:"cpu_percent"`
	MemoryBytes float64 `json:"memory_bytes"`
}
