package api

import (
	"context"
	"net/http"
	"time"
)

// Status is how a part of the agent fares.
type Status string

// The statuses, from the best to the worst.
const (
	// OK is a part that does its work.
	OK Status = "ok"
	// Degraded is a part that does less than it should; the agent still answers.
	Degraded Status = "degraded"
	// Failed is a part without which the agent is of no use.
	Failed Status = "failed"
)

// Part is one part of the agent and how it fares.
type Part struct {
	Name   string    `json:"name" doc:"Name of the component: a collector or another part of the agent." example:"filesystem"`
	Status Status    `json:"status" enum:"ok,degraded,failed" doc:"Status of the component." example:"degraded"`
	Reason string    `json:"reason,omitempty" doc:"What is wrong, or why there is nothing to measure; absent if all is well." example:"did not answer within 500ms"`
	Since  time.Time `json:"since,omitzero" doc:"Since when; absent if it has been so from the start." example:"2026-02-02T10:29:41Z"`
}

// Health is the answer of /health.
type Health struct {
	Status Status `json:"status" enum:"ok,degraded,failed" doc:"Worst status of all components." example:"degraded"`
	Parts  []Part `json:"parts,omitempty" doc:"Every component; absent for callers without the role viewer."`
}

// healthOutput has the status of HTTP beside the body.
type healthOutput struct {
	Status int
	Body   Health
}

// Health registers the operations of this file.
func (operations) Health(s *Server) {
	register(s, Operation{
		ID: "get-health", Method: http.MethodGet, Path: "/api/v1/health",
		Summary: "Get the health of the agent",
		Description: "Every component of the agent with its status and, if it is not ok, the reason. " +
			"The HTTP status is 200 for ok and degraded, and 503 with the same body for failed.",
		Access: Access{Role: Public, Cost: Cheap, BeforeSetup: true},
		Example: Health{Status: Degraded, Parts: []Part{
			{Name: "cpu", Status: OK},
			{Name: "filesystem", Status: Degraded, Reason: "did not answer within 500ms", Since: exampleTime.Add(-19 * time.Second)},
		}},
	}, func(ctx context.Context, _ *struct{}) (*healthOutput, error) {
		out := &healthOutput{Status: http.StatusOK, Body: Health{Status: OK}}
		parts := s.options.Health()
		for i := range parts {
			p := &parts[i]
			p.Since = p.Since.UTC().Truncate(time.Second)
			if p.Status == Failed || p.Status == Degraded && out.Body.Status == OK {
				out.Body.Status = p.Status
			}
		}
		if out.Body.Status == Failed {
			out.Status = http.StatusServiceUnavailable
		}
		if callerOf(ctx).Role >= Viewer {
			out.Body.Parts = parts
		}
		return out, nil
	})
}
