package api

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"
)

// guide is one page of documentation under /docs.
type guide struct {
	// File is the path of its Markdown file in the repository. The page is named
	// like it: agent/store/HISTORY.md is /docs/history.
	File  string
	Title string
}

// guides are in the order in which they are listed, here and in the README. Each
// file is kept beside the code that it describes; TestGoldenGuides renders it into
// the folder guides, so that the agent needs no parser of Markdown.
var guides = []guide{
	{"agent/store/HISTORY.md", "History"},
	{"agent/alerting/ALERTS.md", "Alerts"},
	{"api/NETWORK.md", "Security and networks"},
	{"api/PROXIES.md", "Reverse proxies"},
	{"instruments/CONTAINERS.md", "Containers"},
	{"agent/command/WINDOWS.md", "Windows"},
	{"otel-collector/STACK.md", "The full stack"},
	{"instruments/METRICS.md", "Metrics"},
	{"agent/app/TROUBLESHOOTING.md", "Troubleshooting"},
}

var (
	//go:embed guides/*.html
	guideBodies embed.FS
	//go:embed guide.html
	guideTemplate string
)

// name is the last part of the page's path.
func (g guide) name() string {
	return strings.ToLower(strings.TrimSuffix(path.Base(g.File), ".md"))
}

// Path is where the page is served.
func (g guide) Path() string { return "/docs/" + g.name() }

// addGuides serves the guides.
func (s *Server) addGuides(headers map[string]string) {
	for _, g := range guides {
		build := func() ([]byte, error) { return s.renderGuide(g) }
		s.routes.page(http.MethodGet, g.Path(), Access{Role: Viewer, Cost: Cheap, Page: true}, s.generated("text/html; charset=utf-8", build, headers))
	}
}

// renderGuide puts the page around the body of a guide.
func (s *Server) renderGuide(g guide) ([]byte, error) {
	body, err := guideBodies.ReadFile("guides/" + g.name() + ".html")
	if err != nil {
		return nil, fmt.Errorf("read the guide: %w", err)
	}
	t, err := template.New("guide").Parse(guideTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse the template of guides: %w", err)
	}
	sum := sha256.Sum256(docsStyle)
	var page bytes.Buffer
	err = t.Execute(&page, map[string]any{
		"Guide": g, "Guides": guides, "Body": template.HTML(body), //nolint:gosec // Made from our own files, without raw HTML.
		"Root": s.base(), "Style": s.base() + docsStylePath + "?v=" + hex.EncodeToString(sum[:6]), "Login": s.options.Authenticate,
		"Hostname": s.options.Hostname, "Agent": s.options.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", g.File, err)
	}
	return page.Bytes(), nil
}
