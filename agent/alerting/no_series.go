package alerting

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"sysotel/agent/nearest"
	"sysotel/agent/query"
)

// The reasons for which a selector matches no series.
const (
	// UnknownMetric: neither the agent nor its history knows a metric of that name.
	UnknownMetric = "unknown_metric"
	// NotMeasured: the metric is known, but not measured here since the start.
	NotMeasured = "not_measured"
	// UnknownLabel: the metric is measured, but without a label that the selector wants.
	UnknownLabel = "unknown_label"
	// UnknownValue: the metric has the label, but not with that value.
	UnknownValue = "unknown_value"
	// UnknownRule: the selector is of the alerts of a rule that does not exist.
	UnknownRule = "unknown_rule"
	// NoMatch: each label has the wanted values, but no series has them together.
	NoMatch = "no_match"
)

// NoSeries is a selector that matched no series, with the reason.
type NoSeries struct {
	Selector string `json:"selector" doc:"Selector that has matched no series since the agent started, or in the time range of a preview."`
	Reason   string `json:"reason" enum:"unknown_metric,not_measured,unknown_label,unknown_value,unknown_rule,no_match" doc:"unknown_metric: no metric has that name; not_measured: the metric is known, but not measured here; unknown_label: the metric has no such label; unknown_value: the label has no such value; unknown_rule: no alert rule has that name; no_match: no series has all the labels."`
	Label    string `json:"label,omitempty" doc:"Label that does not fit."`
	Nearest  string `json:"nearest,omitempty" doc:"Nearest name of a metric, label, value or rule that exists."`
}

// String is a sentence without its end.
func (n NoSeries) String() string {
	why := map[string]string{
		UnknownMetric: "no metric has that name",
		NotMeasured:   "it is not measured here",
		UnknownLabel:  "it has no label " + n.Label,
		UnknownValue:  "no series has that value of " + n.Label,
		UnknownRule:   "no alert rule has that name",
		NoMatch:       "no series has all these labels",
	}[n.Reason]
	if n.Nearest != "" {
		why += ", the nearest is " + n.Nearest
	}
	return shown(n.Selector) + " (" + why + ")"
}

// certain reports whether the selector matches nothing before somebody changes it: a
// device that comes and goes is not certain.
func (n NoSeries) certain() bool {
	return n.Reason == UnknownMetric || n.Reason == UnknownLabel || n.Reason == UnknownRule
}

// Catalogue has the names that can be measured, on this machine or another.
type Catalogue struct {
	// Metrics are names in PromQL, REST those of the REST API.
	Metrics, REST []string
}

// sighting is whether a selector has matched a series since the start.
type sighting struct {
	text     string
	matchers []*labels.Matcher
	// ofThreshold is set for a metric of a threshold, which may have a name of the REST API.
	ofThreshold bool
	// back is how far back the rules look with it.
	back time.Duration
	seen bool
	// looked is when it was looked for last, by the monotonic clock; before that not at all.
	looked time.Duration
	before bool
	// why is the reason, explained when that was found, among names of that generation.
	why       *NoSeries
	explained time.Duration
}

const (
	// settle is the time from the start until a metric that is known but not measured is
	// reported; tellAfter is that until the log and Health say so, by when the slowest
	// collector has been read.
	settle, tellAfter = 30 * time.Second, 90 * time.Second
	// Selectors that match nothing are looked for at each evaluation in the first lookEvery,
	// and then once in it.
	lookEvery = time.Minute
	// maxLooks bounds the selectors that are looked for at once, maxExplained those that are
	// explained at once; they are explained anew each explainEvery.
	maxLooks, maxExplained = 1000, 50
	explainEvery           = 10 * time.Minute
	// maxSightings bounds the selectors of all rules; others are not reported.
	maxSightings = 20_000
	// namesFor is how long the names in the history are kept in memory.
	namesFor = time.Minute
)

// sight sets what the rules need. Selectors that were seen before stay so. The caller
// holds mu.
func (a *Alerting) sight(all []*rule) {
	next := map[string]*sighting{}
	for _, r := range all {
		metric := ""
		if r.threshold != nil {
			metric = r.threshold.Metric
		}
		r.need = a.needs(r.expr, maxChain, func(v *parser.VectorSelector) *sighting {
			return sightingOf(v, metric, a.sightings, next)
		})
		for _, s := range r.selectors {
			if known := next[textOf(s.matchers)]; known != nil {
				known.back = max(known.back, s.window+s.offset)
			}
		}
	}
	a.sightings = next
}

// sightingOf is the sighting of a selector, which is added to all.
func sightingOf(v *parser.VectorSelector, metric string, before, all map[string]*sighting) *sighting {
	text := textOf(v.LabelMatchers)
	if known := all[text]; known != nil {
		return known
	}
	if len(all) >= maxSightings {
		return &sighting{seen: true}
	}
	s := before[text]
	if s == nil {
		s = &sighting{text: text, matchers: v.LabelMatchers}
	}
	s.ofThreshold = metric != "" && metric == nameOf(v.LabelMatchers, model.MetricNameLabel)
	all[text] = s
	return s
}

// observe looks for the selectors that have matched nothing yet, and finds out why. The
// caller holds turn.
func (a *Alerting) observe(ctx context.Context, at time.Time) {
	if !a.look(ctx, at) {
		return
	}
	mono := a.options.Mono()
	var unexplained []*sighting
	for _, r := range a.rules {
		for _, s := range r.need.missing() {
			if s.why == nil || mono-s.explained > explainEvery {
				unexplained = append(unexplained, s)
			}
		}
	}
	slices.SortStableFunc(unexplained, func(x, y *sighting) int { return cmp.Compare(x.explained, y.explained) })
	unexplained = slices.Compact(unexplained)
	for _, s := range unexplained[:min(len(unexplained), maxExplained)] {
		why, err := a.explain(ctx, s, at.Add(a.started-mono), at)
		if err != nil {
			a.log.Debug("cannot find out why a selector matches no series", "selector", s.text, "err", err)
			break
		}
		a.mu.Lock()
		s.why, s.explained = why, mono
		a.mu.Unlock()
	}
	if mono-a.started >= tellAfter {
		a.logNoSeries()
	}
}

// look looks for selectors that have matched nothing yet; it reports whether there are
// any.
func (a *Alerting) look(ctx context.Context, at time.Time) (unseen bool) {
	mono := a.options.Mono()
	var due []*sighting
	for _, s := range a.sightings {
		if s.seen || a.isFixed(s) {
			unseen = unseen || !s.seen
			continue
		}
		unseen = true
		if !s.before || mono-a.started < lookEvery || mono-s.looked >= lookEvery {
			due = append(due, s)
		}
	}
	if len(due) == 0 {
		return unseen
	}
	slices.SortFunc(due, func(x, y *sighting) int { return cmp.Or(cmp.Compare(x.looked, y.looked), cmp.Compare(x.text, y.text)) })
	due = due[:min(len(due), maxLooks)]
	selections := make([]query.Selection, len(due))
	for i, s := range due {
		// What came since the last look, or since the start; at is a whole second.
		since := mono - s.looked + a.options.Querier.LookBack()
		if !s.before {
			since = max(mono-a.started, s.back)
		}
		selections[i] = query.Selection{Matchers: s.matchers, Start: at.Add(-since - time.Second)}
	}
	found, err := a.options.Querier.Matched(ctx, selections, at)
	if err != nil {
		a.log.Debug("cannot look for the series of rules", "err", err)
		return unseen
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, s := range due {
		s.seen, s.looked, s.before = found[i], mono, true
	}
	return unseen
}

// isFixed reports whether a selector is of series that only the rules make, and which can
// never match.
func (a *Alerting) isFixed(s *sighting) bool { return isOwn(s.matchers) }

// explain finds out why a selector matches nothing from start to end.
func (a *Alerting) explain(ctx context.Context, s *sighting, start, end time.Time) (*NoSeries, error) {
	why := &NoSeries{Selector: s.text, Reason: NoMatch}
	name := nameOf(s.matchers, model.MetricNameLabel)
	if name == "" {
		return why, nil
	}
	known, err := a.knownNames(ctx, end)
	if err != nil {
		return nil, err
	}
	if isOwn(s.matchers) || !known.has[name] {
		a.mu.RLock()
		defer a.mu.RUnlock()
		return new(a.explainName(s, known)), nil
	}
	named := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name)}
	ctx = a.options.Querier.Scraped(ctx, &parser.VectorSelector{LabelMatchers: s.matchers}, false)
	series, _, err := a.options.Querier.Series(ctx, [][]*labels.Matcher{named}, start, end, 0)
	if err != nil {
		return nil, err
	}
	if len(series) == 0 {
		why.Reason = NotMeasured
		return why, nil
	}
	for _, m := range s.matchers {
		if m.Name == model.MetricNameLabel || slices.ContainsFunc(series, func(l labels.Labels) bool { return m.Matches(l.Get(m.Name)) }) {
			continue
		}
		values, others := map[string]bool{}, map[string]bool{}
		for _, l := range series {
			l.Range(func(one labels.Label) {
				others[one.Name] = true
				if one.Name == m.Name {
					values[one.Value] = true
				}
			})
		}
		why.Label = m.Name
		if len(values) == 0 {
			why.Reason = UnknownLabel
			delete(others, model.MetricNameLabel)
			why.Nearest = nearest.Name(m.Name, slices.Sorted(maps.Keys(others)))
			return why, nil
		}
		why.Reason = UnknownValue
		if m.Type == labels.MatchEqual {
			why.Nearest = nearest.Name(m.Value, slices.Sorted(maps.Keys(values)))
		}
		return why, nil
	}
	return why, nil
}

// explainName says why the name of a selector is not among the known ones. The caller
// holds mu.
func (a *Alerting) explainName(s *sighting, known *names) NoSeries {
	why := NoSeries{Selector: s.text, Reason: UnknownMetric}
	switch name := nameOf(s.matchers, model.MetricNameLabel); {
	case isSilence(name):
		why.Reason = NotMeasured
	case isOwn(s.matchers):
		why.Reason, why.Label = UnknownRule, model.AlertNameLabel
		why.Nearest = nearest.Name(nameOf(s.matchers, model.AlertNameLabel), slices.Sorted(maps.Keys(a.byName)))
	case s.ofThreshold:
		why.Nearest = nearest.Name(name, slices.Concat(known.rest, known.all))
	default:
		why.Nearest = nearest.Name(name, known.all)
	}
	return why
}

// names are the names of metrics that are known, from the catalogue and the history.
type names struct {
	has       map[string]bool
	all, rest []string
	at        time.Duration // on the monotonic clock
}

// knownNames returns the known names, at most namesFor old.
func (a *Alerting) knownNames(ctx context.Context, at time.Time) (*names, error) {
	mono := a.options.Mono()
	if n := a.names.Load(); n != nil && mono-n.at < namesFor {
		return n, nil
	}
	kept, _, err := a.options.Querier.LabelValues(ctx, model.MetricNameLabel, nil, at.AddDate(-10, 0, 0), at, 0)
	if err != nil {
		return nil, err
	}
	var rest []string
	if a.options.Catalogue != nil {
		c := a.options.Catalogue()
		kept, rest = append(kept, c.Metrics...), c.REST
	}
	n := newNames(kept, rest)
	n.at = mono
	a.names.Store(n)
	return n, nil
}

// newNames sorts names.
func newNames(all, rest []string) *names {
	slices.Sort(all)
	n := &names{all: slices.Compact(all), rest: slices.Sorted(slices.Values(rest)), has: make(map[string]bool, len(all))}
	for _, name := range n.all {
		n.has[name] = true
	}
	return n
}

// noSeries returns the selectors without which a rule has no result and that have
// matched no series since the start; nil if it can have one, or if that is not known yet.
// It is not the fault of a built-in rule that its metric is not measured here: that is
// off. The caller holds mu.
func (a *Alerting) noSeries(r *rule) (all []NoSeries, off bool) {
	if r.need == nil {
		return nil, false
	}
	early := a.options.Mono()-a.started < settle
	for _, s := range r.need.missing() {
		if s.why == nil || early && !s.why.certain() {
			return nil, false
		}
		if r.source == FromDefaults && s.why.Reason != NotMeasured && s.why.Reason != UnknownMetric {
			return nil, false // It waits for a series such as that of a read-only file system.
		}
		all = append(all, *s.why)
	}
	return all, len(all) > 0 && r.source == FromDefaults
}

// textOfAll is a sentence about selectors that match nothing.
func textOfAll(all []NoSeries) string {
	texts := make([]string, 0, maxShown+1)
	for i, one := range all {
		if i == maxShown {
			texts = append(texts, fmt.Sprintf("and %d more", len(all)-maxShown))
			break
		}
		texts = append(texts, one.String())
	}
	return strings.Join(texts, ", ")
}

// maxShown is how many selectors or rules a text names.
const maxShown = 3

// logNoSeries logs once, in a line for each file, the rules that cannot fire.
func (a *Alerting) logNoSeries() {
	a.mu.Lock()
	defer a.mu.Unlock()
	type found struct {
		rules    int
		examples []string
	}
	files := map[string]*found{}
	for _, r := range a.rules {
		if r.source != FromFile || r.toldNoSeries {
			continue
		}
		all, _ := a.noSeries(r)
		if len(all) == 0 {
			if len(r.need.missing()) > 0 {
				return // All at once, when all are explained.
			}
			continue
		}
		f := files[r.file]
		if f == nil {
			f = &found{}
			files[r.file] = f
		}
		if f.rules++; f.rules <= maxShown {
			f.examples = append(f.examples, r.Name()+": "+textOfAll(all))
		}
	}
	for _, r := range a.rules {
		r.toldNoSeries = r.toldNoSeries || files[r.file] != nil
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		f := files[file]
		a.log.Warn("rules of a file match no series and have no result; the list of rules says why",
			"file", file, "rules", f.rules, "examples", strings.Join(f.examples, "; "))
	}
}

// sightless describes for Health the rules that cannot fire, and whether some never will.
// The caller holds mu.
func (a *Alerting) sightless() (reason string, never bool) {
	if a.options.Mono()-a.started < tellAfter {
		return "", false
	}
	count, certain, first := 0, 0, ""
	for _, r := range a.rules {
		all, off := a.noSeries(r)
		if len(all) == 0 || off {
			continue
		}
		count++
		if slices.ContainsFunc(all, NoSeries.certain) {
			if certain++; certain == 1 {
				first = "" // It is the better example.
			}
		}
		if first == "" {
			first = r.Name() + ": " + textOfAll(all)
		}
	}
	if count == 0 {
		return "", false
	}
	reason = fmt.Sprintf("%d of %d rules have matched no series since the start, for example %s", count, len(a.rules), first)
	if certain > 0 {
		reason += fmt.Sprintf("; %d of them have names that do not exist: change or disable them", certain)
	}
	return reason, certain > 0
}
