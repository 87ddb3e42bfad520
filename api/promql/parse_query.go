package promql

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/query"
)

// parseQuery returns the tree of an expression.
func (a *api) parseQuery(w http.ResponseWriter, r *http.Request) error {
	var tree json.RawMessage
	err := a.config.Querier.Parsed(r.Context(), r.FormValue("query"), func(expr parser.Expr) (err error) {
		tree, err = json.Marshal(treeOf(expr))
		return err
	})
	if err != nil {
		return badQuery(err)
	}
	return succeed(w, tree)
}

// node is a part of an expression, as Prometheus' user interface reads it.
type node map[string]any

// treeOf describes an expression.
func treeOf(expr parser.Expr) any {
	switch n := expr.(type) {
	case *parser.AggregateExpr:
		return node{"type": "aggregation", "op": n.Op.String(), "expr": treeOf(n.Expr), "param": treeOf(n.Param), "grouping": listOf(n.Grouping), "without": n.Without}
	case *parser.BinaryExpr:
		return node{"type": "binaryExpr", "op": n.Op.String(), "lhs": treeOf(n.LHS), "rhs": treeOf(n.RHS), "matching": matchingOf(n.VectorMatching), "bool": n.ReturnBool}
	case *parser.Call:
		args := []any{}
		for _, arg := range n.Args {
			args = append(args, treeOf(arg))
		}
		function := node{"name": n.Func.Name, "argTypes": n.Func.ArgTypes, "variadic": n.Func.Variadic, "returnType": n.Func.ReturnType}
		return node{"type": "call", "func": function, "args": args}
	case *parser.VectorSelector:
		return selectorOf("vectorSelector", n)
	case *parser.MatrixSelector:
		tree := selectorOf("matrixSelector", n.VectorSelector.(*parser.VectorSelector)) // It has no others.
		tree["range"], tree["rangeExpr"] = n.Range.Milliseconds(), durationOf(n.RangeExpr)
		return tree
	case *parser.SubqueryExpr:
		return node{
			"type": "subquery", "expr": treeOf(n.Expr),
			"range": n.Range.Milliseconds(), "rangeExpr": durationOf(n.RangeExpr), "step": n.Step.Milliseconds(), "stepExpr": durationOf(n.StepExpr),
			"offset": n.OriginalOffset.Milliseconds(), "offsetExpr": durationOf(n.OriginalOffsetExpr),
			"timestamp": n.Timestamp, "startOrEnd": edgeOf(n.StartOrEnd),
		}
	case *parser.ParenExpr:
		return node{"type": "parenExpr", "expr": treeOf(n.Expr)}
	case *parser.UnaryExpr:
		return node{"type": "unaryExpr", "op": n.Op.String(), "expr": treeOf(n.Expr)}
	case *parser.NumberLiteral:
		return node{"type": "numberLiteral", "val": strconv.FormatFloat(n.Val, 'f', -1, 64)}
	case *parser.StringLiteral:
		return node{"type": "stringLiteral", "val": n.Val}
	case nil:
		return nil
	}
	panic(fmt.Sprintf("an expression has a part of the type %T", expr)) // The parser makes no others.
}

func selectorOf(kind string, n *parser.VectorSelector) node {
	matchers := []node{}
	for _, m := range n.LabelMatchers {
		matchers = append(matchers, node{"name": m.Name, "value": m.Value, "type": m.Type.String()})
	}
	return node{
		"type": kind, "name": n.Name, "matchers": matchers,
		"offset": n.OriginalOffset.Milliseconds(), "offsetExpr": durationOf(n.OriginalOffsetExpr),
		"timestamp": n.Timestamp, "startOrEnd": edgeOf(n.StartOrEnd), "anchored": n.Anchored, "smoothed": n.Smoothed,
	}
}

// durationOf describes a duration that is computed, nil for others.
func durationOf(n *parser.DurationExpr) any {
	if n == nil {
		return nil
	}
	side := func(expr parser.Expr) any {
		switch n := expr.(type) {
		case *parser.DurationExpr:
			return durationOf(n)
		case *parser.NumberLiteral:
			return node{"type": "numberLiteral", "val": strconv.FormatFloat(n.Val, 'f', -1, 64), "duration": n.Duration}
		}
		return treeOf(expr)
	}
	return node{"type": "durationExpr", "op": n.Op.String(), "lhs": side(n.LHS), "rhs": side(n.RHS), "wrapped": n.Wrapped}
}

func matchingOf(m *parser.VectorMatching) any {
	if m == nil {
		return nil
	}
	return node{
		"card": m.Card.String(), "labels": listOf(m.MatchingLabels), "on": m.On, "include": listOf(m.Include),
		"fillValues": map[string]*float64{"lhs": m.FillValues.LHS, "rhs": m.FillValues.RHS},
	}
}

// edgeOf is start or end after an @, nil for neither.
func edgeOf(edge parser.ItemType) any {
	if edge == 0 {
		return nil
	}
	return edge.String()
}

func listOf(words []string) []string {
	if words == nil {
		return []string{}
	}
	return words
}

// exemplars lists none: nothing that is measured has any.
func (a *api) exemplars(w http.ResponseWriter, r *http.Request) error {
	start, err := timeOf(r, "start", minTime)
	if err != nil {
		return err
	}
	end, err := timeOf(r, "end", maxTime)
	if err != nil {
		return err
	}
	if end.Before(start) {
		return &query.Error{Type: query.BadData, Err: errors.New("end timestamp must not be before start timestamp")}
	}
	selectors := 0
	err = a.config.Querier.Parsed(r.Context(), r.FormValue("query"), func(expr parser.Expr) error {
		selectors = len(parser.ExtractSelectors(expr))
		return nil
	})
	switch {
	case err != nil:
		return err
	case selectors == 0:
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return succeed(w, []labels.Labels{})
}
