// Package notify sends alert notifications: by e-mail, Slack or webhook, into a log
// file, through any receiver of the Alertmanager project, or to external
// Alertmanagers. Notices are durable once accepted, are sent once, and survive
// restarts and receivers that do not respond.
//
// Which alerts deserve a notice is decided by package alerting. Read notice.go
// first, then notify.go for the entry points, channel_queue.go for delivery, and
// webhook.go as an example of a kind of channel.
package notify

import "time"

// State is the reason for a notice.
type State = string

// The states.
const (
	Firing   State = "firing"
	Resolved State = "resolved"
	// NoData: a firing alert has no data any more; it is held.
	NoData State = "no_data"
	// Reminder: the alert still fires.
	Reminder State = "reminder"
	// Flapping: the alert changed so often that this notice stands for many.
	Flapping State = "flapping"
)

// Notice is one notification about one alert. It is stored as JSON while it waits.
type Notice struct {
	// ID identifies the notice: a second one with the same ID is ignored.
	ID string `json:"id"`
	// Fingerprint identifies the alert.
	Fingerprint string `json:"fingerprint"`
	Rule        string `json:"rule"`
	Host        string `json:"host"`
	State       State  `json:"state"`
	Severity    string `json:"severity,omitempty"`
	// Channels are the names of the channels to use; none means all.
	Channels []string `json:"channels,omitempty"`
	// Value is the measured value, nil if there is none. Threshold includes the
	// operator ("> 80"). Unit is the unit of both.
	Value       *float64 `json:"value,omitempty"`
	Threshold   string   `json:"threshold,omitempty"`
	Unit        string   `json:"unit,omitempty"`
	Summary     string   `json:"summary,omitempty"`
	Description string   `json:"description,omitempty"`
	// Since is when the condition began to hold, At when the notice was created,
	// Ended when the alert ended; zero while it has not.
	Since time.Time `json:"since"`
	At    time.Time `json:"at"`
	Ended time.Time `json:"ended,omitzero"`
	// Changes is how often a flapping alert began or ended.
	Changes     int               `json:"changes,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Processes are the top processes at that time, highest first.
	Processes []Process `json:"processes,omitempty"`
	// Link is the URL of the dashboard at that time.
	Link string `json:"link,omitempty"`
}

// Process is one of the top processes.
type Process struct {
	Name        string  `json:"name"`
	PID         int     `json:"pid,omitempty"`
	CPUPercent  float64 `json:"cpu_percent"`
	MemoryBytes float64 `json:"memory_bytes"`
}
