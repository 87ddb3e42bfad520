package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // The guide of this package and the template.
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Guide is one page of documentation under /docs.
type Guide struct {
	// File is the path of its Markdown file in the repository. The page is named
	// like it: agent/store/HISTORY.md is /docs/history.
	File string
	// Text is the Markdown. Its first heading is the page's title.
	Text string
}

// NetworkGuide is the page /docs/network, in Markdown.
//
//go:embed NETWORK.md
var NetworkGuide string

//go:embed guide.html
var guideTemplate string

// Path is where the page is served.
func (g Guide) Path() string {
	return "/docs/" + strings.ToLower(strings.TrimSuffix(path.Base(g.File), ".md"))
}

// Title is the text of the first heading.
func (g Guide) Title() string {
	line, _, _ := strings.Cut(strings.TrimPrefix(g.Text, "# "), "\n")
	return line
}

// addGuides serves the guides.
func (s *Server) addGuides(headers map[string]string) {
	for _, g := range s.options.Guides {
		build := func() ([]byte, error) { return s.renderGuide(g) }
		s.routes.page(http.MethodGet, g.Path(), Access{Role: Viewer, Cost: Cheap}, s.made("text/html; charset=utf-8", build, headers))
	}
}

// renderGuide makes the page of a guide. HTML in the Markdown is left out.
func (s *Server) renderGuide(g Guide) ([]byte, error) {
	markdown := goldmark.New(
		goldmark.WithExtensions(extension.Table),
		goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(guideLinks(s.options.Guides), 100))),
	)
	var body bytes.Buffer
	if err := markdown.Convert([]byte(g.Text), &body); err != nil {
		return nil, fmt.Errorf("render %s: %w", g.File, err)
	}
	t, err := template.New("guide").Parse(guideTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse the template of guides: %w", err)
	}
	sum := sha256.Sum256(docsStyle)
	var page bytes.Buffer
	err = t.Execute(&page, map[string]any{
		"Guide": g, "Guides": s.options.Guides, "Body": template.HTML(body.String()), //nolint:gosec // Made from our own files, without raw HTML.
		"Style": docsStylePath + "?v=" + hex.EncodeToString(sum[:6]), "Login": s.options.Authenticate,
		"Hostname": s.options.Hostname, "Agent": s.options.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", g.File, err)
	}
	return page.Bytes(), nil
}

// guideLinks turns links between the files of guides into links between their
// pages, and <br> in tables into line breaks.
type guideLinks []Guide

// Transform implements parser.ASTTransformer.
func (guides guideLinks) Transform(document *ast.Document, source text.Reader, _ parser.Context) {
	var breaks []*ast.RawHTML
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			for _, g := range guides {
				if path.Base(string(n.Destination)) == path.Base(g.File) {
					n.Destination = []byte(g.Path())
				}
			}
		case *ast.RawHTML:
			if string(n.Segments.Value(source.Source())) == "<br>" {
				breaks = append(breaks, n)
			}
		}
		return ast.WalkContinue, nil
	})
	for _, n := range breaks {
		line := ast.NewText()
		line.SetHardLineBreak(true)
		n.Parent().ReplaceChild(n.Parent(), n, line)
	}
}
