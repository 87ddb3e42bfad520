package api

import "net/http"

// prometheusPath is the prefix of the Prometheus HTTP API.
const prometheusPath = "/prometheus"

// addPrometheus mounts the Prometheus HTTP API. It is not in the OpenAPI document:
// its paths, responses and errors are those of Prometheus.
func (s *Server) addPrometheus() {
	handler := http.HandlerFunc(noPrometheus)
	if s.options.PromQL != nil {
		handler = http.StripPrefix(prometheusPath, s.options.PromQL).ServeHTTP
	}
	// The configuration is for those who may read it as /api/v1/config too.
	for _, path := range []string{"config", "flags"} {
		s.routes.page(http.MethodGet, prometheusPath+"/api/v1/status/"+path, Access{Role: Admin, Cost: Query}, handler)
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		s.routes.page(method, prometheusPath+"/api/v1/{path...}", Access{Role: Viewer, Cost: Query, Harmless: "it only queries, with parameters in the body"}, handler)
	}
}

// noPrometheus responds if there is no history, in the format of Prometheus.
func noPrometheus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"status":"error","errorType":"unavailable","error":"this agent keeps no history (see store.backend in its configuration)"}` + "\n"))
}
