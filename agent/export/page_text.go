package export

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"

	"sysotel/instruments"
)

// pageText writes the page as text. Names, labels and help texts do not change between
// readings, so they are formatted once; a scrape fills in the values. The exporter's
// registry needs four times as long for the same page.
type pageText struct {
	reader sdkmetric.Reader
	namer  *seriesNamer
	legacy []*legacyText
	// nodes are the metrics of node_exporter, nil if they are not on the page.
	nodes  nodeViews
	custom customPage
	// other serves requests for anything but the whole page as text.
	other http.Handler

	mu        sync.Mutex
	collected metricdata.ResourceMetrics
	// filled is the tick of the lines' values, asked that of the last scrape.
	filled, asked time.Time
	series        map[seriesID]*pageLine
	nodeLines     map[string]*pageLine
	families      map[string]*pageFamily
	order         []*pageFamily // By name.
	round         uint64
}

// The two text formats, as indexes.
const (
	plainText = iota
	openMetrics
	textFormats
)

// pageFamily is a metric on the page.
type pageFamily struct {
	name, help string
	kind       dto.MetricType
	// node is set for a metric of node_exporter.
	node  bool
	head  [textFormats][]byte
	lines []*pageLine // By their label values.
}

// pageLine is one series on the page.
type pageLine struct {
	text   [textFormats]lineText
	values []string
	value  float64
	round  uint64
	// nodes are the lines of node_exporter's metrics that are made of this one.
	nodes []nodeLine
	// labels are kept of those, for the registry.
	labels []*dto.LabelPair
}

// lineText is the text of a line: fixed bytes that stay, and after them the value that was
// shown last, none before the first time.
type lineText struct {
	text  []byte
	fixed int
	shown float64
}

// of returns the line with the value.
func (l *lineText) of(v float64, format int) []byte {
	if len(l.text) == l.fixed || math.Float64bits(v) != math.Float64bits(l.shown) {
		l.text = append(appendValue(l.text[:l.fixed], v, format), '\n')
		l.shown = v
	}
	return l.text
}

// legacyText is one of the legacy names and its lines, by their label values.
type legacyText struct {
	legacyName
	lines map[string]*pageLine
}

func newPageText(reader sdkmetric.Reader, machine Machine, hostName string, legacy []legacyName, nodes nodeViews, other http.Handler) *pageText {
	t := &pageText{
		reader: reader, namer: newSeriesNamer(hostName), custom: customPage{machine, hostName}, other: other,
		series: map[seriesID]*pageLine{}, families: map[string]*pageFamily{}, nodes: nodes, nodeLines: map[string]*pageLine{},
	}
	for _, s := range legacy {
		t.legacy = append(t.legacy, &legacyText{s, map[string]*pageLine{}})
	}
	return t
}

// ServeHTTP implements http.Handler.
func (t *pageText) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	var format int
	switch kind.FormatType() {
	case expfmt.TypeTextPlain:
		format = plainText
	case expfmt.TypeOpenMetrics:
		format = openMetrics
	default:
		t.other.ServeHTTP(w, r)
		return
	}
	names := r.URL.Query()["name[]"] // As the registry's handler has it.
	page := pages.Get().(*bytes.Buffer)
	defer pages.Put(page)
	page.Reset()
	if err := t.write(r.Context(), page, format, names); err != nil {
		// The registry's handler serves what it can and reports what is wrong.
		t.other.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", string(kind))
	_, _ = w.Write(page.Bytes()) // The client may have disconnected.
}

// pages are written before they are sent, so that a slow client blocks no other one.
var pages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// write writes the page of the newest readings, of the metrics with these names only if
// there are any.
func (t *pageText) write(ctx context.Context, page *bytes.Buffer, format int, names []string) error {
	custom, err := t.custom.Gather()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.collect(ctx); err != nil {
		return err
	}
	left := func(name string) bool { return len(names) > 0 && !slices.Contains(names, name) }
	for _, f := range t.order {
		if len(f.lines) == 0 || left(f.name) {
			continue
		}
		page.Write(f.head[format])
		for _, l := range f.lines {
			page.Write(l.text[format].of(l.value, format))
		}
	}
	for _, f := range custom {
		if left(f.GetName()) {
			continue
		}
		if err := encodeFamily(page, f, format); err != nil {
			return err
		}
	}
	if format == openMetrics {
		_, err = expfmt.FinalizeOpenMetrics(page)
	}
	return err
}

// collect updates every line to the newest readings, unless they have those. It is
// called with t.mu held.
func (t *pageText) collect(ctx context.Context) error {
	_, tick, _ := t.custom.machine.Tick()
	t.asked = tick
	if !tick.IsZero() && t.filled.Equal(tick) {
		return nil
	}
	if err := t.reader.Collect(ctx, &t.collected); err != nil {
		return err
	}
	return t.fill(&t.collected)
}

// offer updates the page from a collection that was made for the push, if the page is
// scraped about as often: collecting costs more than filling.
func (t *pageText) offer(collected *metricdata.ResourceMetrics) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, tick, _ := t.custom.machine.Tick(); tick.Sub(t.asked) <= t.custom.machine.Interval() {
		_ = t.fill(collected) // On an error the next scrape collects again and reports it.
	}
}

// fill updates every line from a collection, and removes those that are not in it. It is
// called with t.mu held.
func (t *pageText) fill(collected *metricdata.ResourceMetrics) error {
	t.round++
	t.filled = time.Time{}
	if err := t.target(collected.Resource); err != nil {
		return err
	}
	var newest time.Time
	for i := range collected.ScopeMetrics {
		scope := &collected.ScopeMetrics[i]
		if scope.Scope.Name == customScope {
			continue // They are on the page as they were written.
		}
		for _, m := range scope.Metrics {
			if m.Name == instruments.ReadingTimeName {
				if at, ok := timeOf(&m); ok && at.After(newest) {
					newest = at
				}
			}
			var err error
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				err = pageNumbers(t, &m, data.DataPoints, data.IsMonotonic)
			case metricdata.Sum[float64]:
				err = pageNumbers(t, &m, data.DataPoints, data.IsMonotonic)
			case metricdata.Gauge[int64]:
				err = pageNumbers(t, &m, data.DataPoints, false)
			case metricdata.Gauge[float64]:
				err = pageNumbers(t, &m, data.DataPoints, false)
			}
			if err != nil {
				return err
			}
		}
	}
	for _, s := range t.legacy {
		if err := t.fillLegacy(s); err != nil {
			return err
		}
	}
	ended := func(l *pageLine) bool { return l.round != t.round }
	some := false
	for _, f := range t.order {
		if slices.ContainsFunc(f.lines, ended) {
			f.lines, some = slices.DeleteFunc(f.lines, ended), true
		}
	}
	if some {
		forget(t.series, ended)
		forget(t.nodeLines, ended)
		for _, s := range t.legacy {
			forget(s.lines, ended)
		}
	}
	t.filled = newest
	return nil
}

// forget deletes the lines that have ended.
func forget[K comparable](lines map[K]*pageLine, ended func(*pageLine) bool) {
	for id, l := range lines {
		if ended(l) {
			delete(lines, id)
		}
	}
}

// pageNumbers updates the lines of one metric.
func pageNumbers[N int64 | float64](t *pageText, m *metricdata.Metrics, points []metricdata.DataPoint[N], counter bool) error {
	for i := range points {
		p := &points[i]
		id := seriesID{m.Name, p.Attributes.Equivalent()}
		l := t.series[id]
		if l == nil {
			series, err := t.namer.series(metricSeries{name: m.Name, unit: m.Unit, counter: counter, attributes: p.Attributes})
			if err != nil {
				return err
			}
			if l, err = t.line(series.Labels, m.Description, counter); err != nil {
				return err
			}
			if l.nodes, err = t.linesOfNodes(m.Name, p.Attributes); err != nil {
				return err
			}
			t.series[id] = l
		}
		l.value, l.round = float64(p.Value), t.round
		for _, n := range l.nodes {
			n.value, n.round = l.value*n.scale, t.round
		}
	}
	return nil
}

// fillLegacy updates the lines of one of the legacy names. Unknown values
// are left out.
func (t *pageText) fillLegacy(s *legacyText) (err error) {
	reading, _ := t.custom.machine.Newest(s.collector)
	if reading == nil {
		return nil
	}
	var key []byte
	s.collect(reading, func(v float64, values ...string) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		key = key[:0]
		for _, value := range values {
			key = append(append(key, value...), 0xff)
		}
		l := s.lines[string(key)]
		if l == nil {
			series := t.namer.legacy(s.legacyName, values)
			made, failed := t.line(series.Labels, s.help, s.isCounter())
			if failed != nil {
				err = failed
				return
			}
			l, s.lines[string(key)] = made, made
		}
		l.value, l.round = v, t.round
	})
	return err
}

// target updates target_info, the series that describes the machine.
func (t *pageText) target(of *resource.Resource) error {
	id := seriesID{metric: "target_info", attributes: of.Equivalent()}
	l := t.series[id]
	if l == nil {
		var about attribute.Set
		if of != nil {
			about = *of.Set()
		}
		described, err := t.namer.labelsOf(id.metric, nil, about, nil)
		if err != nil {
			return err
		}
		if l, err = t.line(described, "Target metadata", false); err != nil {
			return err
		}
		t.series[id] = l
	}
	l.value, l.round = 1, t.round
	return nil
}

// line adds the line of a series, in its place.
func (t *pageText) line(of labels.Labels, help string, counter bool) (*pageLine, error) {
	f := &pageFamily{name: of.Get(model.MetricNameLabel), help: help, kind: dto.MetricType_GAUGE}
	if counter {
		f.kind = dto.MetricType_COUNTER
	}
	var pairs []*dto.LabelPair
	of.Range(func(label labels.Label) {
		if label.Name != model.MetricNameLabel {
			pairs = append(pairs, &dto.LabelPair{Name: &label.Name, Value: &label.Value})
		}
	})
	return t.place(f, pairs)
}

// place adds a line with these labels to a metric, in its place; to the one that is known
// under the name, if there is one.
func (t *pageText) place(f *pageFamily, pairs []*dto.LabelPair) (*pageLine, error) {
	name := f.name
	if known := t.families[name]; known != nil {
		f = known
	}
	l := &pageLine{}
	for _, pair := range pairs {
		l.values = append(l.values, pair.GetValue())
	}
	metric := valued(f.kind, 0, pairs)
	for format := range textFormats {
		// The library writes it with the value 0, which is cut off.
		var text bytes.Buffer
		if err := encodeFamily(&text, &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &f.kind, Metric: []*dto.Metric{metric}}, format); err != nil {
			return nil, err
		}
		whole := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
		head := bytes.LastIndexByte(whole, '\n') + 1
		f.head[format] = whole[:head]
		before := bytes.TrimSuffix(whole[head:], appendValue(nil, 0, format))
		l.text[format] = lineText{text: slices.Clone(before), fixed: len(before)}
	}
	if t.families[name] == nil {
		t.families[name] = f
		at, _ := slices.BinarySearchFunc(t.order, name, func(f *pageFamily, name string) int { return cmp.Compare(f.name, name) })
		t.order = slices.Insert(t.order, at, f)
	}
	at, _ := slices.BinarySearchFunc(f.lines, l, func(a, b *pageLine) int {
		return cmp.Or(cmp.Compare(len(a.values), len(b.values)), slices.Compare(a.values, b.values))
	})
	f.lines = slices.Insert(f.lines, at, l)
	return l, nil
}

// valued is a point of a metric.
func valued(kind dto.MetricType, v float64, pairs []*dto.LabelPair) *dto.Metric {
	switch kind {
	case dto.MetricType_COUNTER:
		return &dto.Metric{Label: pairs, Counter: &dto.Counter{Value: &v}}
	case dto.MetricType_UNTYPED:
		return &dto.Metric{Label: pairs, Untyped: &dto.Untyped{Value: &v}}
	default:
		return &dto.Metric{Label: pairs, Gauge: &dto.Gauge{Value: &v}}
	}
}

// encodeFamily writes a metric in one of the text formats.
func encodeFamily(to *bytes.Buffer, f *dto.MetricFamily, format int) error {
	var err error
	if format == openMetrics {
		_, err = expfmt.MetricFamilyToOpenMetrics(to, f)
	} else {
		_, err = expfmt.MetricFamilyToText(to, f)
	}
	return err
}

// appendValue formats a value: in OpenMetrics every value looks like a float.
func appendValue(to []byte, v float64, format int) []byte {
	begin := len(to)
	switch {
	case math.IsInf(v, 1):
		return append(to, "+Inf"...)
	case math.IsInf(v, -1):
		return append(to, "-Inf"...)
	case math.IsNaN(v):
		return append(to, "NaN"...)
	}
	to = strconv.AppendFloat(to, v, 'g', -1, 64)
	if format == openMetrics && !bytes.ContainsAny(to[begin:], "e.") {
		to = append(to, ".0"...)
	}
	return to
}
