package template

import (
	"fmt"
	"reflect"
	"slices"
	"text/template/parse"
)

// The functions that bound a template. Calling them by hand only spends more.
const (
	spendName = "sysotel_spend"
	passName  = "sysotel_pass"
	printName = "sysotel_print"
)

// guards are the functions that Bound puts into templates.
func (b *Budget) guards() map[string]any {
	return map[string]any{
		// spend pays for literal text, and for a turn of a loop.
		spendName: func(n int) (string, error) { return "", b.Spend(n) },
		// pass pays for a step and bounds the text that comes out of it, which may be that
		// of a method: a layout of time.Format can double a text.
		passName: func(v reflect.Value) (reflect.Value, error) {
			cost := stepCost
			if inner := indirect(v); inner.Kind() == reflect.String {
				if inner.Len() > maxString {
					return v, tooLong(inner.Len())
				}
				cost += inner.Len()
			}
			return v, b.Spend(cost)
		},
		// print pays for the output.
		printName: func(v reflect.Value) (reflect.Value, error) {
			if !v.IsValid() {
				return v, nil
			}
			left := b.Left()
			m := measure{left: left}
			m.add(v, 0)
			if m.left < 0 {
				return v, b.Spend(left + 1)
			}
			return v, b.Spend(left - m.left)
		},
	}
}

func indirect(v reflect.Value) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer) {
		v = v.Elem()
	}
	return v
}

// Bound makes a template spend from a budget while it is executed. Its functions must
// be those of Funcs.
func Bound(tree *parse.Tree) {
	if tree == nil || tree.Root == nil {
		return
	}
	bindList(tree.Root)
	tree.Root.Nodes = slices.Insert(tree.Root.Nodes, 0, spending(callCost))
}

// spending is an action that spends n. It sets a variable because html/template would
// escape what an action prints, even if that is nothing.
func spending(n int) parse.Node {
	return &parse.ActionNode{NodeType: parse.NodeAction, Pipe: &parse.PipeNode{
		NodeType: parse.NodePipe,
		Decl:     []*parse.VariableNode{{NodeType: parse.NodeVariable, Ident: []string{"$" + spendName}}},
		Cmds: []*parse.CommandNode{{NodeType: parse.NodeCommand, Args: []parse.Node{
			parse.NewIdentifier(spendName),
			&parse.NumberNode{NodeType: parse.NodeNumber, IsInt: true, Int64: int64(n), IsUint: true, Uint64: uint64(n), IsFloat: true, Float64: float64(n), Text: fmt.Sprint(n)},
		}}},
	}}
}

// calling is a command that passes its input through a function.
func calling(name string) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Args: []parse.Node{parse.NewIdentifier(name)}}
}

func bindList(list *parse.ListNode) {
	if list == nil {
		return
	}
	var nodes []parse.Node
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.TextNode:
			nodes = append(nodes, spending(len(n.Text)))
		case *parse.ActionNode:
			bindPipe(n.Pipe, len(n.Pipe.Decl) == 0)
		case *parse.IfNode:
			bindBranch(&n.BranchNode)
		case *parse.WithNode:
			bindBranch(&n.BranchNode)
		case *parse.RangeNode:
			bindBranch(&n.BranchNode)
			n.List.Nodes = slices.Insert(n.List.Nodes, 0, spending(stepCost))
		case *parse.TemplateNode:
			bindPipe(n.Pipe, false)
		}
		nodes = append(nodes, node)
	}
	list.Nodes = nodes
}

func bindBranch(b *parse.BranchNode) {
	bindPipe(b.Pipe, false)
	bindList(b.List)
	bindList(b.ElseList)
}

// bindPipe guards every command of a pipeline, and those in parentheses. The functions
// that escape stay last, as html/template requires; they spend by themselves.
func bindPipe(pipe *parse.PipeNode, printed bool) {
	if pipe == nil {
		return
	}
	var commands []*parse.CommandNode
	for _, c := range pipe.Cmds {
		for _, argument := range c.Args {
			bindArgument(argument)
		}
		commands = append(commands, c)
		if !escapes(c) {
			commands = append(commands, calling(passName))
		}
	}
	if printed && len(pipe.Cmds) > 0 && !escapes(pipe.Cmds[len(pipe.Cmds)-1]) {
		commands = append(commands, calling(printName))
	}
	pipe.Cmds = commands
}

func bindArgument(node parse.Node) {
	switch n := node.(type) {
	case *parse.PipeNode:
		bindPipe(n, false)
	case *parse.ChainNode:
		bindArgument(n.Node)
	}
}

// escapes reports whether a command is one of the functions that escape.
func escapes(c *parse.CommandNode) bool {
	name, ok := c.Args[0].(*parse.IdentifierNode)
	return ok && slices.Contains([]string{"html", "urlquery", "js"}, name.Ident)
}
