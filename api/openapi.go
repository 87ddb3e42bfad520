package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/health"
)

// apiVersion is the version of the interface, not of the agent. It grows with
// additions to v1; nothing is ever removed from it.
const apiVersion = "1.0.0"

const introduction = "What a machine is doing, second by second: processors, memory, disks, file systems, network and processes.\n\n" +
	"Times are RFC 3339 in UTC. Sizes are in bytes, rates per second, shares in percent. " +
	"An unknown number is `null`, never 0: a rate before there are two readings, or a component the machine does not have. " +
	"New fields may be added; existing fields are never removed and never change their meaning.\n\n" +
	"As long as the agent is reachable only from its own machine (loopback), no login is needed: requests have the role viewer, and those of root and of the agent's user the role admin, except for operations that write files, run commands or grant access. " +
	"Otherwise a request needs an access token from `/api/v1/auth/login` or an API token as `Authorization: Bearer`, or an API token as the password of HTTP basic authentication. " +
	"Requests through the Unix socket in the agent's data directory have the role admin.\n\n" +
	"The history can also be queried with PromQL: `/prometheus/api/v1/` is the Prometheus HTTP API, for Grafana, promtool and other Prometheus clients. " +
	"It is not part of this document; see the Prometheus documentation.\n\n" +
	"Errors are RFC 9457 problems (`application/problem+json`): `detail` says what is wrong; `errors` lists each invalid value and what is allowed."

// groups are the tags of the document, each with the beginnings of its paths.
var groups = []struct {
	name, description string
	paths             []string
}{
	{"metrics", "What is measured: now, over time, and live.", []string{"/api/v1/metrics/"}},
	{"hosts", "The machines with history.", []string{"/api/v1/hosts"}},
	{"events", "What happened on the machine and to the agent.", []string{"/api/v1/events"}},
	{"alerts", "Alerts, the rules that make them, notification channels and silences.", []string{alertPath}},
	{"access", "Logging in, users and API tokens.", []string{"/api/v1/auth/", "/api/v1/users", "/api/v1/tokens"}},
	{"agent", "The agent itself: its health, configuration, storage and backups.", []string{"/api/v1/health", "/api/v1/storage", "/api/v1/config", "/api/v1/backup"}},
}

// groupOf is the tag of the operations of a path.
func groupOf(path string) string {
	for _, g := range groups {
		for _, begin := range g.paths {
			if strings.HasPrefix(path, begin) {
				return g.name
			}
		}
	}
	panic("no group has the path " + path)
}

// newDocument returns the OpenAPI document without operations. The server is relative to
// the document, so that it is right on every address of the agent and of proxies.
func newDocument(base string) *huma.OpenAPI {
	var tags []*huma.Tag
	for _, g := range groups {
		tags = append(tags, &huma.Tag{Name: g.name, Description: g.description})
	}
	return &huma.OpenAPI{
		OpenAPI: "3.1.0", Tags: tags,
		Servers: []*huma.Server{{URL: cmp.Or(base, "/"), Description: "The agent that serves this document."}},
		Info: &huma.Info{
			Title: "sysotel", Version: apiVersion, Description: introduction,
			License: &huma.License{Name: "MIT", Identifier: "MIT"},
		},
		Components: &huma.Components{
			Schemas:         huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
			SecuritySchemes: securitySchemes(),
		},
	}
}

// OpenAPI returns the OpenAPI document in YAML. It needs no running agent.
func OpenAPI() ([]byte, error) {
	s, err := New(Options{
		Config: Defaults().HTTP, Machine: exampleMachine{}, Health: func() []health.Component { return nil },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	return s.documentYAML()
}

// documentJSON returns the document in JSON.
func (s *Server) documentJSON() ([]byte, error) {
	b, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return b, nil
}

// bareEquals is a value that YAML 1.1 reserves, so that PyYAML refuses the document.
var bareEquals = regexp.MustCompile(`(?m)((?::|-) )=$`)

// documentYAML returns the document in YAML, which parsers of YAML 1.1 read, too.
func (s *Server) documentYAML() ([]byte, error) {
	b, err := s.api.OpenAPI().YAML()
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return bareEquals.ReplaceAll(b, []byte(`$1"="`)), nil
}

// addPages adds the pages that are not operations: the OpenAPI document, its
// documentation page, the guides and the Prometheus page. Most of them are built on
// the first request, which saves memory in agents that never serve them.
func (s *Server) addPages() {
	open, viewers := Access{Role: Public, Cost: Cheap}, Access{Role: Viewer, Cost: Cheap}
	policy := docsPolicy
	if s.options.Authenticate {
		policy = docsLoginPolicy
	}
	s.routes.page(http.MethodGet, "/openapi.json", viewers, s.generated("application/json", s.documentJSON, nil))
	s.routes.page(http.MethodGet, "/openapi.yaml", viewers, s.generated("application/yaml", s.documentYAML, nil))
	headers := map[string]string{"Content-Security-Policy": policy}
	s.routes.page(http.MethodGet, "/docs", Access{Role: Viewer, Cost: Cheap, Page: true}, s.generated("text/html; charset=utf-8", s.renderDocs, headers))
	s.addGuides(headers)
	// Pages link to the style sheet by its hash, so browsers may cache it.
	style := func() ([]byte, error) { return docsStyle, nil }
	s.routes.page(http.MethodGet, docsStylePath, open, s.generated("text/css; charset=utf-8", style, map[string]string{"Cache-Control": "public, max-age=31536000, immutable"}))
	if s.options.MetricsPage != nil {
		s.routes.page(http.MethodGet, "/metrics", Access{Role: Viewer, Cost: Query, Check: true}, s.options.MetricsPage.ServeHTTP)
	}
}

// generated serves bytes that are built once, on the first request.
func (s *Server) generated(media string, build func() ([]byte, error), headers map[string]string) http.HandlerFunc {
	once := sync.OnceValues(build)
	return func(w http.ResponseWriter, _ *http.Request) {
		body, err := once()
		if err != nil {
			s.log.Error("cannot render page", "media", media, "err", err)
			writeProblem(w, http.StatusInternalServerError, internalError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Content-Length", strconv.Itoa(len(body)))
		for name, value := range headers {
			h.Set(name, value)
		}
		_, _ = w.Write(body)
	}
}

// indented returns v as indented JSON without HTML escapes.
func indented(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimRight(b.String(), "\n"), nil
}

// redirectTo redirects to another page of this server.
func redirectTo(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", path)
		w.WriteHeader(http.StatusSeeOther)
	}
}
