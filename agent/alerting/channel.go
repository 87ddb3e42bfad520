package alerting

import "time"

// Channel is a way to tell people, and how it fares.
type Channel struct {
	Name        string    `json:"name" doc:"Name of the channel in the configuration."`
	Type        string    `json:"type" doc:"What it is: email, slack, webhook, log, receiver or alertmanager."`
	Waiting     int       `json:"waiting" doc:"Messages that wait to be sent."`
	LastSuccess time.Time `json:"last_success,omitzero" doc:"When it last took a message; absent where it never did."`
	LastError   string    `json:"last_error,omitempty" doc:"Why it last took none; absent where the newest attempt went well."`
	LastErrorAt time.Time `json:"last_error_at,omitzero" doc:"When that was."`
}
