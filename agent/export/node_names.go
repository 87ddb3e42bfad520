package export

import (
	"cmp"
	"context"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"

	"sysotel/instruments"
	"sysotel/instruments/sanitize"
)

// nodeViews are the metrics of node_exporter by the OpenTelemetry name of ours that they are
// made of. They have its labels and no others: a Prometheus that scraped node_exporter goes
// on with the same series.
type nodeViews map[string][]*instruments.NodeView

func newNodeViews(c instruments.Conventions) nodeViews {
	views := nodeViews{}
	for _, n := range instruments.NodeNames() {
		if v, ok := n.In(c); ok {
			views[v.Of] = append(views[v.Of], &v)
		}
	}
	return views
}

// without leaves out the legacy names that are node_exporter's too: they are once on the
// page.
func (n nodeViews) without(legacy []legacyName) []legacyName {
	names := map[string]bool{}
	for _, views := range n {
		for _, v := range views {
			names[v.Name] = true
		}
	}
	return slices.DeleteFunc(legacy, func(l legacyName) bool { return names[l.name] })
}

// nodeLine is a line of a metric of node_exporter, whose values are ours times scale.
type nodeLine struct {
	*pageLine
	scale float64
}

// nodeKinds are the types as the text formats have them.
var nodeKinds = map[instruments.NodeType]dto.MetricType{
	instruments.NodeCounter: dto.MetricType_COUNTER, instruments.NodeGauge: dto.MetricType_GAUGE, instruments.NodeUntyped: dto.MetricType_UNTYPED,
}

// linesOfNodes returns the lines that are made of a series of ours, with the OpenTelemetry
// name of its metric.
func (t *pageText) linesOfNodes(name string, attributes attribute.Set) (lines []nodeLine, err error) {
	for _, v := range t.nodes[name] {
		values, ok := v.Series(func(key string) string {
			value, _ := attributes.Value(attribute.Key(key))
			return sanitize.ValidUTF8(value.String())
		})
		if !ok {
			continue
		}
		key := []byte(v.Name)
		var pairs []*dto.LabelPair
		for i, value := range values {
			key = append(append(key, 0xff), value...)
			pairs = append(pairs, &dto.LabelPair{Name: &v.Labels[i].Name, Value: &value})
		}
		l := t.nodeLines[string(key)]
		if l == nil {
			slices.SortFunc(pairs, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
			if l, err = t.place(&pageFamily{name: v.Name, help: v.Help, kind: nodeKinds[v.Type], node: true}, pairs); err != nil {
				return nil, err
			}
			l.labels, t.nodeLines[string(key)] = pairs, l
		}
		lines = append(lines, nodeLine{l, v.Scale})
	}
	return lines, nil
}

// gatherNodes returns the metrics of node_exporter for the registry.
func (t *pageText) gatherNodes() (families []*dto.MetricFamily, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.collect(context.Background()); err != nil {
		return nil, err
	}
	for _, f := range t.order {
		if !f.node || len(f.lines) == 0 {
			continue
		}
		family := &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &f.kind}
		for _, l := range f.lines {
			family.Metric = append(family.Metric, valued(f.kind, l.value, l.labels))
		}
		families = append(families, family)
	}
	return families, nil
}
