package api

import (
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	"sysotel/agent/health"
)

// Health is the response of /health.
type Health struct {
	Status health.Status      `json:"status" enum:"ok,degraded,failed" doc:"Worst status of all components." example:"degraded"`
	Parts  []health.Component `json:"parts,omitempty" nullable:"false" doc:"Every component; absent for callers without the role viewer."`
}

// healthOutput has the HTTP status and the body.
type healthOutput struct {
	Status int
	Body   Health
}

// Health registers the operations of this file.
func (operations) Health(s *Server) {
	register(s, Operation{
		ID: "get-health", Method: http.MethodGet, Path: "/api/v1/health", Table: "parts",
		Summary: "Get the health of the agent",
		Description: "Every component of the agent with its status and, if it is not ok, the reason. " +
			"The HTTP status is 200 for ok and degraded, and 503 with the same body for failed.",
		Access: Access{Role: Public, Cost: Cheap, BeforeSetup: true, Check: true}, Failing: true,
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

// addProbes adds what probes and clients of a Prometheus ask for: whether it runs, and
// whether it can answer queries. They are at the root, where a probe of the agent looks,
// and below the address of the data source, where a client of it does.
func (s *Server) addProbes() {
	access := Access{Role: Public, Cost: Cheap, BeforeSetup: true, Check: true}
	text := func(w http.ResponseWriter, status int, text string) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text+"\n")
	}
	for _, root := range []string{"", prometheusPath} {
		s.routes.page(http.MethodGet, root+"/-/healthy", access, func(w http.ResponseWriter, _ *http.Request) {
			text(w, http.StatusOK, "The agent is healthy.")
		})
		s.routes.page(http.MethodGet, root+"/-/ready", access, func(w http.ResponseWriter, _ *http.Request) {
			seq, _, _ := s.options.Machine.Tick()
			switch failed := slices.ContainsFunc(s.options.Health(), func(p health.Component) bool { return p.Status == health.Failed }); {
			case seq == 0:
				text(w, http.StatusServiceUnavailable, "The agent is not ready: there is no reading yet.")
			case failed:
				text(w, http.StatusServiceUnavailable, "The agent is not ready: a component has failed.")
			default:
				text(w, http.StatusOK, "The agent is ready.")
			}
		})
	}
	// The page of a Prometheus: a user who opens the address of the data source means ours.
	for _, path := range []string{prometheusPath, prometheusPath + "/{$}", prometheusPath + "/graph", prometheusPath + "/query"} {
		s.routes.page(http.MethodGet, path, Access{Role: Public, Cost: Cheap, Page: true}, redirectTo("/"))
	}
	s.routes.page(http.MethodGet, prometheusPath+"/alerts", Access{Role: Public, Cost: Cheap, Page: true}, redirectTo("/alerts"))
}
