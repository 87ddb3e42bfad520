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
	"sysotel/instruments/sanitize"
)

// seriesPlan is a valid query in terms of the store.
type seriesPlan struct {
	group      seriesGroup
	host       string
	start, end time.Time
	aggregates []string
	selections []seriesSelection
}

// seriesSelection is the part of a plan for one call of Select.
type seriesSelection struct {
	quantity instruments.Quantity
	query    query.SeriesQuery
	labels   []seriesLabel
}

// seriesLabel is a label of the response and its name in the store.
type seriesLabel struct {
	name, stored string
	// prefix is added to the value in the response if the store keeps a number.
	prefix string
}

// seriesAggregates are the supported aggregations.
var seriesAggregates = []string{"avg", "min", "max"}

// now is the present time.
func (s *Server) now() time.Time {
	if s.options.Now == nil {
		return time.Now()
	}
	return s.options.Now()
}

// resolve turns a query into a plan, or returns all its errors.
func (s *Server) resolve(f seriesGroup, q SeriesQuery, filters map[string][]string) (*seriesPlan, []error) {
	now := s.now().Truncate(time.Millisecond)
	start, end, invalid := timeRange(q.Start, q.End, time.Hour, now)
	p := &seriesPlan{group: f, host: s.options.Hostname, start: start, end: end}
	switch {
	case q.Host == "":
	case q.Host != p.host && s.options.Hosts == nil:
		invalid = append(invalid, invalidValue("query.host", sanitize.ValidUTF8(q.Host), "must be "+p.host+", the only machine this agent has data for"))
	case !utf8.ValidString(q.Host):
		invalid = append(invalid, invalidValue("query.host", sanitize.ValidUTF8(q.Host), "must be valid UTF-8"))
	default:
		p.host = q.Host
	}
	selection := query.SeriesQuery{Start: start, End: end, MaxPoints: defaultPoints}
	switch {
	case q.Step != "" && q.MaxPoints != 0:
		invalid = append(invalid, invalidValue("query.step", sanitize.ValidUTF8(q.Step), "cannot be combined with max_points"))
	case q.Step != "":
		step, ok := parseStep(q.Step)
		switch {
		case !ok:
			invalid = append(invalid, invalidValue("query.step", sanitize.ValidUTF8(q.Step), "must be a positive duration such as 30s, 5m or 1h, or seconds such as 15"))
		case end.Sub(start)/step >= maxPoints:
			invalid = append(invalid, invalidValue("query.step", sanitize.ValidUTF8(q.Step),
				fmt.Sprintf("must be at least %s for this range: a series may have at most %d points", (end.Sub(start)/maxPoints).Truncate(time.Second)+time.Second, maxPoints)))
		}
		selection.Step = step
	case q.MaxPoints != 0:
		selection.MaxPoints = q.MaxPoints
	}
	p.aggregates, invalid = aggregates(q.Agg, invalid)
	selection.Avg = slices.Contains(p.aggregates, "avg")
	selection.Min = slices.Contains(p.aggregates, "min")
	selection.Max = slices.Contains(p.aggregates, "max")

	quantities, invalid := f.choose(q.Metric, invalid)
	invalid = append(invalid, f.checkFilters(filters)...)
	if len(invalid) > 0 {
		return nil, invalid
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

// aggregates parses the aggregations.
func aggregates(texts []string, invalid []error) ([]string, []error) {
	var list []string
	for _, text := range texts {
		for word := range strings.SplitSeq(text, ",") {
			if !slices.Contains(seriesAggregates, word) {
				invalid = append(invalid, invalidValue("query.agg", sanitize.ValidUTF8(text), "must be avg, min, max, or several of them separated by commas"))
				break
			}
			list = append(list, word)
		}
	}
	if len(texts) == 0 {
		list = seriesAggregates[:1]
	}
	return list, invalid
}

// choose returns the requested metrics without duplicates.
func (f *seriesGroup) choose(names []string, invalid []error) ([]instruments.Quantity, []error) {
	all := f.quantities()
	if len(names) == 0 {
		return all, invalid
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
				invalid = append(invalid, invalidValue("query.metric", sanitize.ValidUTF8(name), "must be one of "+strings.Join(known, ", ")))
				continue
			}
			if !slices.ContainsFunc(chosen, named) {
				chosen = append(chosen, all[i])
			}
		}
	}
	return chosen, invalid
}

// checkFilters rejects values that no label can have.
func (f *seriesGroup) checkFilters(filters map[string][]string) (invalid []error) {
	for _, name := range slices.Sorted(maps.Keys(filters)) {
		for _, value := range filters[name] {
			if !utf8.ValidString(value) {
				invalid = append(invalid, invalidValue("query."+name, sanitize.ValidUTF8(value), "must be valid UTF-8"))
			}
		}
	}
	return invalid
}

// selection is the store query of a metric; false if the metric lacks a filtered
// label or does not exist in the conventions.
func (s *Server) selection(f seriesGroup, host string, m *instruments.Metric, values []string, filters map[string][]string) (seriesSelection, bool) {
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
		case f.name == networkSeries.name:
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

// ways are the possible values in the store for the requested ones: a core is cpu0
// or 0.
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

// labelName is the label name of an attribute key.
func labelName(key string) string { return strings.ReplaceAll(key, ".", "_") }
