package api

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/query"
	"sysotel/instruments"
)

// seriesPlan is a question that makes sense, in the store's words.
type seriesPlan struct {
	family     seriesFamily
	host       string
	start, end time.Time
	aggregates []string
	selections []seriesSelection
}

// seriesSelection is the part of a plan that one call of Select answers.
type seriesSelection struct {
	quantity instruments.Quantity
	query    query.SeriesQuery
	labels   []seriesLabel
}

// seriesLabel is a label of the answer and what the store calls it.
type seriesLabel struct {
	name, stored string
	// prefix stands before the value in the answer where the store keeps a number.
	prefix string
}

// seriesAggregates are what can be told of a step.
var seriesAggregates = []string{"avg", "min", "max"}

// resolve turns a question into a plan, or says everything that is wrong with it.
func (s *Server) resolve(f seriesFamily, q SeriesQuery, filters map[string][]string) (*seriesPlan, []error) {
	now := time.Now().Truncate(time.Millisecond)
	start, end, mistakes := interval(q.Start, q.End, time.Hour, now)
	p := &seriesPlan{family: f, host: s.options.Hostname, start: start, end: end}
	switch {
	case q.Host == "":
	case q.Host != p.host && s.options.Hosts == nil:
		mistakes = append(mistakes, mistake("query.host", printable(q.Host), "must be "+p.host+", the only machine this agent has data for"))
	case !utf8.ValidString(q.Host):
		mistakes = append(mistakes, mistake("query.host", printable(q.Host), "must be valid UTF-8"))
	default:
		p.host = q.Host
	}
	selection := query.SeriesQuery{Start: start, End: end, MaxPoints: defaultPoints}
	switch {
	case q.Step != "" && q.MaxPoints != 0:
		mistakes = append(mistakes, mistake("query.step", printable(q.Step), "cannot be combined with max_points"))
	case q.Step != "":
		step, ok := parseStep(q.Step)
		switch {
		case !ok:
			mistakes = append(mistakes, mistake("query.step", printable(q.Step), "must be a positive duration such as 30s, 5m or 1h, or seconds such as 15"))
		case end.Sub(start)/step >= maxPoints:
			mistakes = append(mistakes, mistake("query.step", printable(q.Step),
				fmt.Sprintf("must be at least %s for this range: a series may have at most %d points", (end.Sub(start)/maxPoints).Truncate(time.Second)+time.Second, maxPoints)))
		}
		selection.Step = step
	case q.MaxPoints != 0:
		selection.MaxPoints = q.MaxPoints
	}
	p.aggregates, mistakes = aggregates(q.Agg, mistakes)
	selection.Avg = slices.Contains(p.aggregates, "avg")
	selection.Min = slices.Contains(p.aggregates, "min")
	selection.Max = slices.Contains(p.aggregates, "max")

	quantities, mistakes := f.choose(q.Metric, mistakes)
	mistakes = append(mistakes, f.checkFilters(filters)...)
	if len(mistakes) > 0 {
		return nil, mistakes
	}
	for _, quantity := range quantities {
		for _, part := range []struct {
			metric *instruments.Metric
			values []string
		}{{quantity.Metric, quantity.Values}, {quantity.Each, quantity.EachValues}} {
			if part.metric == nil {
				continue
			}
			if one, ok := s.selection(f, p.host, part.metric, part.values, filters); ok {
				one.quantity = quantity
				matchers := one.query.Matchers
				one.query = selection
				one.query.Matchers = matchers
				one.query.AsRate = part.metric.Kind == instruments.Counter
				p.selections = append(p.selections, one)
			}
		}
	}
	return p, nil
}

// aggregates reads what is to be told of each step.
func aggregates(texts []string, mistakes []error) ([]string, []error) {
	var list []string
	for _, text := range texts {
		for word := range strings.SplitSeq(text, ",") {
			if !slices.Contains(seriesAggregates, word) {
				mistakes = append(mistakes, mistake("query.agg", printable(text), "must be avg, min, max, or several of them separated by commas"))
				break
			}
			list = append(list, word)
		}
	}
	if len(texts) == 0 {
		list = seriesAggregates[:1]
	}
	return list, mistakes
}

// choose finds the metrics that are asked for, each once.
func (f *seriesFamily) choose(names []string, mistakes []error) ([]instruments.Quantity, []error) {
	all := f.quantities()
	if len(names) == 0 {
		return all, mistakes
	}
	var chosen []instruments.Quantity
	for _, text := range names {
		for name := range strings.SplitSeq(text, ",") {
			named := func(q instruments.Quantity) bool { return q.Name == name }
			i := slices.IndexFunc(all, named)
			if i < 0 {
				var known []string
				for _, q := range all {
					known = append(known, q.Name)
				}
				mistakes = append(mistakes, mistake("query.metric", printable(name), "must be one of "+strings.Join(known, ", ")))
				continue
			}
			if !slices.ContainsFunc(chosen, named) {
				chosen = append(chosen, all[i])
			}
		}
	}
	return chosen, mistakes
}

// checkFilters refuses values that no label can have.
func (f *seriesFamily) checkFilters(filters map[string][]string) (mistakes []error) {
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		for _, value := range filters[name] {
			if !utf8.ValidString(value) {
				mistakes = append(mistakes, mistake("query."+name, printable(value), "must be valid UTF-8"))
			}
		}
	}
	return mistakes
}

// selection is what the store is asked for a metric; false where the metric has
// no label that is filtered by, or the conventions lack it.
func (s *Server) selection(f seriesFamily, host string, m *instruments.Metric, values []string, filters map[string][]string) (seriesSelection, bool) {
	chosen, ok := m.Select(s.options.SeriesNames.Conventions, values)
	name := s.options.SeriesNames.Metric(m)
	if !ok || name == "" {
		return seriesSelection{}, false
	}
	one := seriesSelection{}
	matchers := []*labels.Matcher{
		labels.MustNewMatcher(labels.MatchEqual, "__name__", name),
		labels.MustNewMatcher(labels.MatchEqual, "host_name", host),
	}
	applied := 0
	for i, key := range chosen.Keys {
		stored := labelName(key)
		if chosen.Values[i] != "*" {
			matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, stored, chosen.Values[i]))
			continue
		}
		label := seriesLabel{name: m.Keys[i].Name, stored: stored}
		switch {
		case label.name == "cpu":
			label.name = "core"
		case f.name == networkFamily.name:
			label.name = "interface"
		}
		if key != m.Keys[i].Name {
			label.prefix = m.Keys[i].Number
		}
		one.labels = append(one.labels, label)
		wanted := filters[label.name]
		if len(wanted) == 0 {
			matchers = append(matchers, labels.MustNewMatcher(labels.MatchNotEqual, stored, ""))
			continue
		}
		applied++
		matchers = append(matchers, oneOf(stored, label.ways(wanted, m.Keys[i].Number)))
	}
	for _, values := range filters {
		if len(values) > 0 {
			applied--
		}
	}
	one.query.Matchers = matchers
	return one, applied == 0
}

// ways are the values that the store may have for what a caller calls a part: a
// core is cpu0 or 0.
func (l seriesLabel) ways(wanted []string, number string) []string {
	if number == "" {
		return wanted
	}
	stored := make([]string, 0, len(wanted))
	for _, value := range wanted {
		value = strings.TrimPrefix(value, number)
		if _, err := strconv.ParseUint(value, 10, 32); err == nil && l.prefix == "" {
			value = number + value
		}
		stored = append(stored, value)
	}
	return stored
}

// oneOf matches a label that has one of the values.
func oneOf(name string, values []string) *labels.Matcher {
	if len(values) == 1 {
		return labels.MustNewMatcher(labels.MatchEqual, name, values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = regexp.QuoteMeta(v)
	}
	return labels.MustNewMatcher(labels.MatchRegexp, name, strings.Join(quoted, "|"))
}

// labelName is what an attribute's key becomes as a label.
func labelName(key string) string { return strings.ReplaceAll(key, ".", "_") }
