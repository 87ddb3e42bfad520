package api

import (
	"bytes"
	"net/http"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// TestGoldenGuides renders the guides. HTML in the Markdown is left out.
func TestGoldenGuides(t *testing.T) {
	markdown := goldmark.New(
		goldmark.WithExtensions(extension.Table),
		goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithASTTransformers(util.Prioritized(forPages{t}, 100))),
	)
	for _, g := range guides {
		source, err := os.ReadFile("../" + g.File)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(source), "# "+g.Title+"\n") {
			t.Errorf("%s does not begin with the heading %q", g.File, g.Title)
		}
		var body bytes.Buffer
		if err := markdown.Convert(source, &body); err != nil {
			t.Fatal(err)
		}
		golden(t, "guides/"+g.name()+".html", body.Bytes())
	}
}

// forPages turns links between the files of guides into links between their
// pages, and <br> in tables into line breaks.
type forPages struct{ *testing.T }

// Transform implements parser.ASTTransformer.
func (t forPages) Transform(document *ast.Document, source text.Reader, _ parser.Context) {
	var breaks []*ast.RawHTML
	_ = ast.Walk(document, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			if address := pageOf(string(n.Destination)); address != "" {
				n.Destination = []byte(address)
			} else {
				t.Errorf("a guide links to %s, which is neither a guide nor an address", n.Destination)
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

// pageOf is the target of a guide's link on its page, empty if there is none.
func pageOf(link string) string {
	for _, g := range guides {
		if path.Base(link) == path.Base(g.File) {
			return g.name() // All are in one folder, wherever a proxy serves it.
		}
	}
	if strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "#") {
		return link
	}
	if inside, ok := strings.CutPrefix(link, "/"); ok {
		return "../" + inside
	}
	return ""
}

func TestGuidePages(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	page := ask(s, http.MethodGet, "/docs/history", nil)
	body := page.Body.String()
	if page.Code != http.StatusOK || page.Header().Get("Content-Type") != "text/html; charset=utf-8" || page.Header().Get("Content-Security-Policy") != docsPolicy {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	for _, want := range []string{
		"<title>History", "<td>1 second</td>", "<code>store.tiers</code>",
		`<a href="/docs/history" aria-current="page">History</a>`, `<a href="/docs/alerts">Alerts</a>`, `<a href="/docs">`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s:\n%s", want, body)
		}
	}
	list := ask(s, http.MethodGet, "/docs", nil).Body.String()
	for _, g := range guides {
		if w := ask(s, http.MethodGet, g.Path(), nil); w.Code != http.StatusOK {
			t.Errorf("%s: %d", g.Path(), w.Code)
		}
		if !strings.Contains(list, `<a href="`+g.Path()+`">`+g.Title+`</a>`) {
			t.Errorf("/docs does not list %s", g.Title)
		}
	}
	if w := ask(s, http.MethodGet, "/docs/nothing", nil); w.Code != http.StatusNotFound {
		t.Errorf("/docs/nothing: %d", w.Code)
	}
}

// TestReadmeListsTheGuides, all of them and in the same order.
func TestReadmeListsTheGuides(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, served []string
	for _, m := range regexp.MustCompile(`(?m)^\| \[([^]]+)\]\(([^)]+\.md)\)`).FindAllStringSubmatch(string(readme), -1) {
		listed = append(listed, m[2]+" "+m[1])
	}
	for _, g := range guides {
		served = append(served, g.File+" "+g.Title)
	}
	if strings.Join(listed, "\n") != strings.Join(served, "\n") {
		t.Errorf("the README lists\n%s\nand the agent serves\n%s", strings.Join(listed, "\n"), strings.Join(served, "\n"))
	}
}
