package alerting

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// Adjustment is another threshold or another duration of a built-in rule. It is kept while
// alerting.defaults is false, and applies when the rules are back.
type Adjustment struct {
	Threshold *float64 `json:"threshold,omitempty" doc:"Threshold in the unit of the rule; absent for the built-in one." example:"95"`
	For       string   `json:"for,omitempty" maxLength:"32" doc:"How long the condition must hold before the alert fires, such as 10m; 0s fires at once. Absent for the built-in duration." example:"10m"`
}

// Builtin is what can be adjusted of a built-in rule, and how it is as it comes.
type Builtin struct {
	Op        string   `json:"op,omitempty" doc:"Comparison of the value with the threshold; absent if the rule has no threshold that can be adjusted."`
	Threshold *float64 `json:"threshold,omitempty" doc:"Threshold as built in; absent without op."`
	For       string   `json:"for" doc:"Duration as built in."`
	Current   *float64 `json:"current,omitempty" doc:"Threshold in use; absent without op."`
	Adjusted  bool     `json:"adjusted" doc:"Whether the threshold or the duration in use is another."`
}

// firstLimit returns the first comparison of an expression with a number, nil if there is
// none.
func firstLimit(expr parser.Expr) (*parser.BinaryExpr, *parser.NumberLiteral) {
	for {
		paren, ok := expr.(*parser.ParenExpr)
		if !ok {
			break
		}
		expr = paren.Expr
	}
	binary, ok := expr.(*parser.BinaryExpr)
	if !ok {
		return nil, nil
	}
	if binary.Op == parser.LOR || binary.Op == parser.LAND || binary.Op == parser.LUNLESS {
		return firstLimit(binary.LHS)
	}
	if limit, ok := binary.RHS.(*parser.NumberLiteral); ok && binary.Op.IsComparisonOperator() {
		return binary, limit
	}
	return nil, nil
}

// adjust changes a built-in rule and returns how it was. A rule that says the same for
// several conventions has its threshold in each part.
func (l *loader) adjust(r *rulefmt.Rule, by Adjustment) (*Builtin, error) {
	own := &Builtin{For: r.For.String()}
	if by.For != "" {
		hold, err := model.ParseDuration(by.For)
		if err != nil {
			return nil, err
		}
		r.For = hold
		own.Adjusted = r.For.String() != own.For
	}
	expr, err := l.parser.ParseExpr(r.Expr)
	if err != nil {
		return nil, err
	}
	first, limit := firstLimit(expr)
	if first != nil && first.Op != parser.EQLC && first.Op != parser.NEQ {
		was, now := limit.Val, limit.Val
		if by.Threshold != nil {
			now = *by.Threshold
		}
		own.Op, own.Threshold, own.Current = first.Op.String(), &was, &now
		if now != was {
			own.Adjusted = true
			op := first.Op
			parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
				if b, ok := node.(*parser.BinaryExpr); ok && b.Op == op {
					if n, ok := b.RHS.(*parser.NumberLiteral); ok && n.Val == was {
						n.Val = now
					}
				}
				return nil
			})
			r.Expr = expr.String()
			if r.Annotations[annotationThreshold] != "" {
				r.Annotations[annotationThreshold] = own.Op + " " + number(now)
			}
		}
	}
	if own.Adjusted { // What it says of its numbers is not so any more.
		r.Annotations[annotationDescription] = own.describe(r.For)
	}
	return own, nil
}

// describe says what an adjusted rule stands for.
func (b *Builtin) describe(hold model.Duration) string {
	part := func(limit *float64, hold string) string {
		text := "at once"
		if hold != "0s" {
			text = "for " + hold
		}
		if limit == nil {
			return text
		}
		return fmt.Sprintf("%s %s %s", b.Op, number(*limit), text)
	}
	return fmt.Sprintf("It fires %s; as built in, %s.", part(b.Current, hold.String()), part(b.Threshold, b.For))
}

// AdjustRule sets the threshold and the duration of a built-in rule; an empty adjustment
// resets both.
func (a *Alerting) AdjustRule(ctx context.Context, name string, by Adjustment) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	r := a.find(name)
	if r == nil {
		return RuleStatus{}, ErrUnknown
	}
	if r.builtin == nil {
		return RuleStatus{}, ErrFixed
	}
	var errs ValidationErrors
	wrong := func(field string, value any, rule string) {
		errs = append(errs, ValidationError{Field: field, Value: shown(value), Rule: rule})
	}
	if by.Threshold != nil && r.builtin.Op == "" {
		wrong("threshold", *by.Threshold, "is not allowed: the rule has no threshold")
	} else if by.Threshold != nil && !finite(*by.Threshold) {
		wrong("threshold", *by.Threshold, "must be a number")
	}
	if hold := duration(by.For, "for", 0, wrong); hold > maxAdjustedHold {
		wrong("for", by.For, "must be at most "+model.Duration(maxAdjustedHold).String())
	}
	if len(errs) > 0 {
		return RuleStatus{}, errs
	}
	next := a.fromAPI
	next.Adjusted = maps.Clone(next.Adjusted)
	if by == (Adjustment{}) {
		delete(next.Adjusted, name)
	} else {
		if next.Adjusted == nil {
			next.Adjusted = map[string]Adjustment{}
		}
		next.Adjusted[name] = by
	}
	if err := a.apply(ctx, next, ""); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(name)
}

// maxAdjustedHold is longer than anybody waits for an alert.
const maxAdjustedHold = 30 * 24 * time.Hour

// adjustedFor is the adjustment of a rule, which may have had another name.
func (f apiRules) adjustedFor(name string) Adjustment {
	by := f.Adjusted[name]
	if former := formerNames[name]; by == (Adjustment{}) && former != "" {
		by = f.Adjusted[former]
	}
	return by
}
