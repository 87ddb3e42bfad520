package alerting

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/template"
)

// The bounds of what the labels and annotations of an alert may say, in bytes.
const (
	maxLabel      = 1 << 10
	maxLabels     = 8 << 10
	maxAnnotation = 16 << 10
)

// namedText is a label or an annotation whose value is a template.
type namedText struct {
	name string
	text template.Text
}

// texts parses labels or annotations. plain are those that are no templates.
func texts(all map[string]string, limit int) (plain map[string]string, templates []namedText, err error) {
	plain = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text, err := template.Parse(all[name])
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		case text.IsTemplate():
			templates = append(templates, namedText{name, text})
		case len(all[name]) > limit:
			return nil, nil, fmt.Errorf("%s has %d bytes; at most %d are allowed", name, len(all[name]), limit)
		default:
			plain[name] = all[name]
		}
	}
	return plain, templates, nil
}

// environment is what the texts of rules can use at a time.
func (a *Alerting) environment(at time.Time) *template.Environment {
	e := &template.Environment{At: at, URL: a.base(), Labels: map[string]string{"host_name": a.options.Host}}
	e.Query = func(ctx context.Context, text string, at time.Time) (promql.Vector, error) {
		// The query limits apply to templates too.
		if _, err := a.options.Querier.Parse(text); err != nil {
			return nil, err
		}
		return a.options.Querier.EvalRule(ctx, text, at, a.present(ctx, at))
	}
	return e
}

// base is the base URL of the dashboard, never nil.
func (a *Alerting) base() *url.URL {
	if a.options.Link != nil {
		if u, err := url.Parse(a.options.Link()); err == nil {
			return u
		}
	}
	return &url.URL{}
}

// element is an element of a result with the labels and annotations of its alert, as
// the rules library would make them.
func (v *evaluation) element(ctx context.Context, sample promql.Sample) (element, error) {
	r := v.rule
	e := element{labels: sample.Metric, value: sample.F}
	b := labels.NewBuilder(sample.Metric).Del(model.MetricNameLabel)
	for _, one := range r.labelTexts {
		b.Set(one.name, v.expand(ctx, one, sample, maxLabel))
	}
	r.alerting.Labels().Range(func(l labels.Label) { b.Set(l.Name, l.Value) })
	e.alert = b.Set(model.AlertNameLabel, r.Name()).Labels()
	size := 0
	e.alert.Range(func(l labels.Label) { size += len(l.Name) + len(l.Value) })
	if size > maxLabels {
		return e, fmt.Errorf("the labels of an alert have %d bytes; at most %d are allowed", size, maxLabels)
	}
	all := r.annotations.Map()
	for _, one := range r.annotationTexts {
		all[one.name] = v.expand(ctx, one, sample, maxAnnotation)
	}
	e.texts = labels.FromMap(all)
	return e, nil
}

// expand expands one text.
func (v *evaluation) expand(ctx context.Context, t namedText, sample promql.Sample, limit int) string {
	text, err := t.text.Expand(ctx, v.texts, sample, limit)
	if err != nil && v.failed == nil {
		v.failed = fmt.Errorf("%s: %w", t.name, err)
	}
	return text
}
