package notify

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	// templateTime and templateBytes bound the execution of a template. The longest
	// messages take a millisecond and some thousand bytes.
	templateTime  = 2 * time.Second
	templateBytes = 1 << 20
)

// checkTemplates rejects invalid templates and those that do not terminate.
func checkTemplates(n *yaml.Node) error {
	for _, inner := range n.Content {
		if err := checkTemplates(inner); err != nil {
			return err
		}
	}
	if n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "{{") {
		return nil
	}
	return checkTemplate(n.Value)
}

// checkTemplate rejects a template that calls itself, then executes it.
func checkTemplate(text string) error {
	var known *template.Template
	if _, err := newTemplate(func(t *template.Template, _ *htmltemplate.Template) { known = t }); err != nil {
		return err
	}
	parsed, err := known.New("this text").Parse(text)
	if err != nil {
		return fmt.Errorf("a template is invalid: %w", err)
	}
	calls := map[string][]string{}
	for _, t := range parsed.Templates() {
		if t.Tree != nil {
			calls[t.Name()] = called(t.Root)
		}
	}
	if loop := findLoop(calls); loop != "" {
		return fmt.Errorf("a template does not terminate: %s", loop)
	}
	return tryTemplate(parsed)
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

// tryTemplate executes a template on a test message. One that does not terminate
// goes on in its goroutine; the program exits with the error.
func tryTemplate(t *template.Template) error {
	data, err := testMessage("host", time.Now()).templateData("receiver")
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- t.Execute(&limited{left: templateBytes}, data) }()
	select {
	case err := <-failed:
		if err != nil {
			return fmt.Errorf("a template is invalid: %w", err)
		}
		return nil
	case <-time.After(templateTime):
		return fmt.Errorf("a template does not terminate: it took longer than %s", templateTime)
	}
}

// limited is a writer that fails after a number of bytes.
type limited struct{ left int }

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(b []byte) (int, error) {
	if l.left -= len(b); l.left < 0 {
		return 0, errors.New("the output exceeds 1 MiB")
	}
	return len(b), nil
}
