package api

import (
	"context"
	"net/http"
	"time"

	"sysotel/agent/health"
)

// Health is the response of /health.
type Health struct {
	Status health.Status      `json:"status" enum:"ok,degraded,failed" doc:"Worst status of all components." example:"degraded"`
	Parts  []health.Component `json:"parts,omitempty" doc:"Every component; absent for callers without the role viewer."`
}

// healthOutput has the HTTP status and the body.
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
		Example: Health{Status: health.Degraded, Parts: []health.Component{
			{Name: "cpu", Status: health.OK},
			{Name: "filesystem", Status: health.Degraded, Reason: "did not answer within 500ms", Since: exampleTime.Add(-19 * time.Second)},
		}},
	}, func(ctx context.Context, _ *struct{}) (*healthOutput, error) {
		out := &healthOutput{Status: http.StatusOK, Body: Health{Status: health.OK}}
		parts := s.options.Health()
		for i := range parts {
			p := &parts[i]
			p.Since = p.Since.UTC().Truncate(time.Second)
			if p.Status == health.Failed || p.Status == health.Degraded && out.Body.Status == health.OK {
				out.Body.Status = p.Status
			}
		}
		if out.Body.Status == health.Failed {
			out.Status = http.StatusServiceUnavailable
		}
		if callerOf(ctx).Role >= Viewer {
			out.Body.Parts = parts
		}
		return out, nil
	})
}
