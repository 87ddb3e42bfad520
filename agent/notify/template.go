package notify

import (
	"fmt"
	htmltemplate "html/template"
	"maps"
	"net/url"
	"slices"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"time"

	amtemplate "github.com/prometheus/alertmanager/template"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/template"
)

// templateWork is the budget of the templates of one message. The longest, the HTML of
// an e-mail, spends a twentieth.
const templateWork = 4 * template.Work

// templates are the Alertmanager's default templates, which spend from a budget.
type templates struct {
	*amtemplate.Template
	budget *template.Budget
	text   *texttemplate.Template
}

// ownTemplates replace those of the Alertmanager that name it and its page: links lead to
// the agent's.
const ownTemplates = `{{ define "__alertmanager" }}sysotel{{ end }}{{ define "__alertmanagerURL" }}{{ .ExternalURL }}/alerts{{ end }}`

// newTemplate makes the templates of an agent whose page is at a URL.
func newTemplate(page string) (*templates, error) {
	t := &templates{budget: template.NewBudget(templateWork)}
	var html *htmltemplate.Template
	var err error
	t.Template, err = amtemplate.FromGlobs(nil, func(text *texttemplate.Template, page *htmltemplate.Template) { t.text, html = text, page })
	if err != nil {
		return nil, err
	}
	if err := t.Parse(strings.NewReader(ownTemplates)); err != nil {
		return nil, err
	}
	if t.ExternalURL, err = pageURL(page); err != nil {
		return nil, err
	}
	for _, one := range t.text.Templates() {
		template.Bound(one.Tree)
	}
	for _, one := range html.Templates() {
		template.Bound(one.Tree)
	}
	t.text.Funcs(t.budget.MessageFuncs())
	html.Funcs(t.budget.MessageFuncs())
	return t, nil
}

// pageURL reads the URL of the agent's page, to which templates append paths.
func pageURL(text string) (*url.URL, error) { return url.Parse(strings.TrimSuffix(text, "/")) }

// boundTemplates checks the templates of a receiver and makes them spend from the
// budget. The library parses those of types by itself, without functions.
func boundTemplates(n *yaml.Node) error {
	for i, inner := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "type" {
			continue
		}
		if err := boundTemplates(inner); err != nil {
			return err
		}
	}
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "{{") {
		return nil
	}
	bounded, err := checkTemplate(n.Value)
	if err == nil {
		n.Value, n.Tag, n.Style = bounded, "!!str", yaml.DoubleQuotedStyle
	}
	return err
}

// checkTemplate rejects a template that calls itself, then executes it on a test
// message. It returns the template with its spending.
func checkTemplate(text string) (string, error) {
	known, err := newTemplate("")
	if err != nil {
		return "", err
	}
	bounded, err := template.RewriteMessage(text)
	if err != nil {
		return "", fmt.Errorf("a template is invalid: %w", err)
	}
	parsed, err := known.text.New("this text").Parse(text)
	if err != nil {
		return "", fmt.Errorf("a template is invalid: %w", err)
	}
	calls := map[string][]string{}
	for _, t := range parsed.Templates() {
		if t.Tree != nil {
			calls[t.Name()] = called(t.Root)
		}
	}
	if loop := findLoop(calls); loop != "" {
		return "", fmt.Errorf("a template does not terminate: %s", loop)
	}
	if known, err = newTemplate(""); err != nil {
		return "", err
	}
	data, err := testMessage("host", time.Now()).templateData("receiver", "http://localhost:8080")
	if err != nil {
		return "", err
	}
	if _, err := known.ExecuteTextString(bounded, data); err != nil {
		return "", fmt.Errorf("a template is invalid: %w", template.Plain(err))
	}
	return bounded, nil
}

// called lists the templates that a node calls.
func called(node parse.Node) (names []string) {
	branch := func(b *parse.BranchNode) []string {
		return append(called(b.List), called(b.ElseList)...)
	}
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, inner := range n.Nodes {
			names = append(names, called(inner)...)
		}
	case *parse.IfNode:
		return branch(&n.BranchNode)
	case *parse.RangeNode:
		return branch(&n.BranchNode)
	case *parse.WithNode:
		return branch(&n.BranchNode)
	case *parse.TemplateNode:
		return []string{n.Name}
	}
	return names
}

// findLoop describes a template that calls itself, directly or indirectly.
func findLoop(calls map[string][]string) string {
	done := map[string]bool{}
	var visit func(path []string, name string) string
	visit = func(path []string, name string) string {
		if i := slices.Index(path, name); i >= 0 {
			return strings.Join(append(path[i:], name), " calls ")
		}
		if done[name] {
			return ""
		}
		for _, other := range calls[name] {
			if loop := visit(append(path, name), other); loop != "" {
				return loop
			}
		}
		done[name] = true
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		if loop := visit(nil, name); loop != "" {
			return loop
		}
	}
	return ""
}
