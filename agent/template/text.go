package template

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	promtemplate "github.com/prometheus/prometheus/template"
)

const (
	// maxQueries is how many queries one text may ask, allQueries how many all texts of
	// an evaluation may.
	maxQueries, allQueries = 10, 200
	// maxElements bounds the result of such a query.
	maxElements = 1000
	// maxError bounds an error in place of a text.
	maxError = 400
)

// Text is a template of an alert rule, with Prometheus' functions and variables.
type Text struct {
	source  string
	bounded string // empty if it is not a template
}

// variables are what a text of a rule may use, as in Prometheus.
const variables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// errDefines is the error of a text that consists of several templates.
var errDefines = errors.New("templates that define or call other templates are not allowed, because they could recurse endlessly")

// Parse parses a text. One that cannot be bounded is an error.
func Parse(source string) (Text, error) {
	if len(source) > MaxSource {
		return Text{}, fmt.Errorf("the template has %d bytes; at most %d are allowed", len(source), MaxSource)
	}
	if !strings.Contains(source, "{{") {
		return Text{source: source}, nil
	}
	bounded, err := Rewrite(source, variables)
	if err != nil {
		return Text{}, err
	}
	t := Text{source: source, bounded: bounded}
	expander := promtemplate.NewTemplateExpander(context.Background(), variables+t.bounded, "text", nil, 0, nil, &url.URL{}, nil)
	expander.Funcs(NewBudget(0).Funcs())
	if err := expander.ParseTest(); err != nil {
		return Text{}, Plain(err)
	}
	return t, nil
}

// Rewrite returns a template in which every step spends from a budget. It must not
// call other templates. prefix declares the variables that it uses.
func Rewrite(source, prefix string) (string, error) {
	const name, start = "text", "\x00"
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(prefix+start+source, "", "", trees); err != nil {
		return "", Plain(err)
	}
	if len(trees) > 1 || calls(tree.Root) {
		return "", errDefines
	}
	tree.Root.Nodes = withoutPrefix(tree.Root.Nodes, start)
	Bound(tree)
	separate(tree.Root)
	return tree.Root.String(), nil
}

// RewriteMessage does the same for a template of a message, which may define others and
// call them.
func RewriteMessage(source string) (string, error) {
	if len(source) > MaxSource {
		return "", boundError(fmt.Sprintf("the template has %d bytes; at most %d are allowed", len(source), MaxSource))
	}
	const name = "text"
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(source, "", "", trees); err != nil {
		return "", Plain(err)
	}
	text := ""
	for _, other := range slices.Sorted(maps.Keys(trees)) {
		if one := trees[other]; one != tree {
			Bound(one)
			separate(one.Root)
			text += "{{define " + strconv.Quote(other) + "}}" + one.Root.String() + "{{end}}"
		}
	}
	Bound(tree)
	separate(tree.Root)
	return text + tree.Root.String(), nil
}

// withoutPrefix removes the nodes before the mark.
func withoutPrefix(nodes []parse.Node, mark string) []parse.Node {
	for i, node := range nodes {
		if text, ok := node.(*parse.TextNode); ok && strings.HasPrefix(string(text.Text), mark) {
			text.Text = text.Text[len(mark):]
			return nodes[i:]
		}
	}
	return nodes
}

// calls reports whether a template calls another.
func calls(node parse.Node) bool {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return false
		}
		for _, one := range n.Nodes {
			if calls(one) {
				return true
			}
		}
	case *parse.IfNode:
		return calls(n.List) || calls(n.ElseList)
	case *parse.WithNode:
		return calls(n.List) || calls(n.ElseList)
	case *parse.RangeNode:
		return calls(n.List) || calls(n.ElseList)
	case *parse.TemplateNode:
		return true
	}
	return false
}

// separate keeps a brace at the end of a text from becoming part of the action after
// it.
func separate(list *parse.ListNode) {
	if list == nil {
		return
	}
	var nodes []parse.Node
	for _, node := range list.Nodes {
		nodes = append(nodes, node)
		switch n := node.(type) {
		case *parse.TextNode:
			text := strings.TrimRight(string(n.Text), "{")
			for range len(n.Text) - len(text) {
				nodes = append(nodes, brace())
			}
			n.Text = []byte(text)
		case *parse.IfNode:
			separate(n.List)
			separate(n.ElseList)
		case *parse.WithNode:
			separate(n.List)
			separate(n.ElseList)
		case *parse.RangeNode:
			separate(n.List)
			separate(n.ElseList)
		}
	}
	list.Nodes = nodes
}

// brace is an action that prints a brace.
func brace() parse.Node {
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Cmds: []*parse.CommandNode{
		{NodeType: parse.NodeCommand, Args: []parse.Node{&parse.StringNode{NodeType: parse.NodeString, Quoted: `"{"`, Text: "{"}}},
	}}}
}

// Source is the text as it was written.
func (t Text) Source() string { return t.source }

// IsTemplate reports whether the text is a template.
func (t Text) IsTemplate() bool { return t.bounded != "" }

// Environment is what the texts of one evaluation have in common.
type Environment struct {
	At time.Time
	// Query answers the queries of templates.
	Query promtemplate.QueryFunc
	// URL is the external URL, never nil. Labels are the external labels.
	URL    *url.URL
	Labels map[string]string

	queries int
}

// Expand returns the text for one element of a result. Where that fails the text is a
// short sentence that says why, as in Prometheus: an alert is sent in any case.
func (t Text) Expand(ctx context.Context, e *Environment, element promql.Sample, limit int) (string, error) {
	if !t.IsTemplate() {
		return t.source, nil
	}
	budget := NewBudget(Work)
	data := promtemplate.AlertTemplateData(element.Metric.Map(), e.Labels, e.URL.String(), element)
	expander := promtemplate.NewTemplateExpander(ctx, variables+t.bounded, "text", data, model.TimeFromUnixNano(e.At.UnixNano()), e.ask(budget), e.URL, nil)
	expander.Funcs(budget.Funcs())
	text, err := expander.Expand()
	if err == nil && len(text) > limit {
		err = fmt.Errorf("the text has %d bytes; at most %d are allowed", len(text), limit)
	}
	if err != nil {
		err = Plain(err)
		return cut("<error expanding template: "+err.Error(), maxError) + ">", err
	}
	return text, nil
}

// place matches what the library says about where an error is: in the bounded text,
// which nobody knows.
var place = regexp.MustCompile(`^error (executing|parsing) template text: |template: text:[0-9:]+ (executing "text" )?| \| sysotel_(pass|print)`)

// Plain is an error of a template in words for its author.
func Plain(err error) error {
	if bound, ok := errors.AsType[boundError](err); ok {
		return bound
	}
	return errors.New(place.ReplaceAllString(err.Error(), ""))
}

// ask bounds the queries of templates.
func (e *Environment) ask(budget *Budget) promtemplate.QueryFunc {
	asked := 0
	return func(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
		if asked++; asked > maxQueries {
			return nil, fmt.Errorf("the template asks more than %d queries", maxQueries)
		}
		if e.queries++; e.queries > allQueries {
			return nil, fmt.Errorf("the templates of the rule ask more than %d queries in one evaluation", allQueries)
		}
		if e.Query == nil {
			return nil, nil
		}
		found, err := e.Query(ctx, text, at)
		if err != nil {
			return nil, err
		}
		if len(found) > maxElements {
			return nil, fmt.Errorf("the query of the template returns %d elements; at most %d are allowed", len(found), maxElements)
		}
		return found, budget.spendOn(1, found)
	}
}

// cut shortens a text to at most n bytes.
func cut(text string, n int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
