package api

import (
	"net/http"
	"time"
)

const (
	// prometheusPath is where Grafana and promtool find what they take for a
	// Prometheus; its own paths follow.
	prometheusPath = "/prometheus"
	// prometheusTime is how long an answer may take: the longest evaluation, and
	// then as long to send it as any other answer has.
	prometheusTime = 2 * answerTime
)

// addPrometheus mounts the Prometheus HTTP API. It is no operation of the
// document: its paths, its answers and its errors are those of Prometheus.
func (s *Server) addPrometheus() {
	answer := http.HandlerFunc(noPrometheus)
	if s.options.PromQL != nil {
		stripped := http.StripPrefix(prometheusPath, s.options.PromQL)
		answer = func(w http.ResponseWriter, r *http.Request) {
			// A connection that knows no deadlines keeps what it has.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(prometheusTime))
			stripped.ServeHTTP(w, r)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		s.routes.page(method, prometheusPath+"/api/v1/{path...}", Access{Role: Viewer, Cost: Query}, answer)
	}
}

// noPrometheus answers where there is no history, in Prometheus' form.
func noPrometheus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"status":"error","errorType":"unavailable","error":"this agent keeps no history (see store.backend in its configuration)"}` + "\n"))
}
