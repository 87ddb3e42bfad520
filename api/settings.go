package api

import (
	"context"
	"net/http"
)

// Setting is one option of the effective configuration.
type Setting struct {
	Path  string `json:"path" doc:"Full path of the option in the configuration file." example:"http.listen"`
	Value any    `json:"value" doc:"Value of the option; secrets are shown as <secret>."`
	Where string `json:"where,omitempty" doc:"Where it was set: the line of the file, the environment variable or the flag; absent for defaults." example:"--http.listen"`
}

// Settings is the response of /config.
type Settings struct {
	Options []Setting `json:"options" nullable:"false" doc:"Every option, in the order of the example file."`
}

type settingsOutput struct{ Body Settings }

// Settings registers the operations of this file.
func (operations) Settings(s *Server) {
	register(s, Operation{
		ID: "get-config", Method: http.MethodGet, Path: "/api/v1/config", Table: "options",
		Summary:     "Get the effective configuration",
		Description: "Every option with its value and its origin. Secrets are masked.",
		Access:      Access{Role: Admin, Cost: Query},
		Example: Settings{[]Setting{
			{Path: "sampling.interval", Value: "1s"},
			{Path: "http.listen", Value: "127.0.0.1:8080", Where: "/etc/sysotel/sysotel.yaml line 3"},
			{Path: "otlp.headers", Value: map[string]any{"authorization": "<secret>"}, Where: "SYSOTEL_OTLP_HEADERS"},
		}},
		Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*settingsOutput, error) {
		if s.options.Settings == nil {
			return nil, problem(http.StatusServiceUnavailable, "The configuration is not available on this server.")
		}
		return &settingsOutput{Settings{s.options.Settings()}}, nil
	})
}
