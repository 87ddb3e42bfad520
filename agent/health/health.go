// Package health has the type in which every component of the agent reports its
// status.
package health

import "time"

// Status is the status of a component.
type Status string

// The statuses, from best to worst.
const (
	// OK: the component does its work.
	OK Status = "ok"
	// Degraded: the component does less than it should; the agent still responds.
	Degraded Status = "degraded"
	// Failed: without the component the agent is of no use.
	Failed Status = "failed"
)

// Component is one component of the agent with its status.
type Component struct {
	Name   string    `json:"name" doc:"The component: a collector, or a part of the agent." example:"filesystem"`
	Status Status    `json:"status" enum:"ok,degraded,failed" doc:"Status of the component." example:"degraded"`
	Reason string    `json:"reason,omitempty" doc:"What is wrong, or why there is nothing to measure; absent if all is well." example:"did not answer within 500ms"`
	Since  time.Time `json:"since,omitzero" doc:"When the status began; absent if it has been so since the start." example:"2026-02-02T10:29:41Z"`
}
