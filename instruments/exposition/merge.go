package exposition

import (
	"fmt"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// SourceError is an error of one source of custom metrics.
type SourceError struct {
	// Source is the name of a command, or the path of a file or a directory.
	Source string
	// Err names the metric or the line.
	Err error
}

// Error implements error.
func (e SourceError) Error() string { return e.Source + ": " + e.Err.Error() }

// Unwrap returns the error itself.
func (e SourceError) Unwrap() error { return e.Err }

// Source is what one text file or command gave the last time.
type Source struct {
	// Name is the name of a command, or the path of a file or a directory.
	Name     string
	Families []*dto.MetricFamily
	Errors   []error
	// OK and Seconds describe the last read of the source; Seconds is NaN until a
	// command has ended for the first time.
	OK      bool
	Seconds float64
	// Written is when the metrics were written: the last change of a file, the end of a
	// run. Zero where there are none.
	Written time.Time
	// Changes counts how often metrics were written after the first ones that were read.
	Changes int64
}

// MaxMerged is how many series all sources together can be configured to give.
const MaxMerged = 2 * MaxSeries

// Merge merges the metric families of all sources, one per name, in the order of
// their names. Where two sources claim one series, or one name with two meanings,
// the first has it; a name that is in own, as a scrape page shows it, is the agent's. A
// source of which something is refused is no longer OK. All together have at most so many
// series: a source that has more than the others leave is refused.
func Merge(sources []Source, own map[string]bool, most int) (merged []*dto.MetricFamily, failures []SourceError) {
	families := map[string]*dto.MetricFamily{} // by the names that a scrape page shows
	from := map[string]string{}                // the source of each family and series
	total := 0
	for i := range sources {
		s := &sources[i]
		refuse := func(format string, a ...any) {
			s.OK = false
			failures = append(failures, SourceError{s.Name, fmt.Errorf(format, a...)})
		}
		for _, err := range s.Errors {
			failures = append(failures, SourceError{s.Name, err})
		}
		series := 0
		for _, f := range s.Families {
			series += seriesOf(f)
		}
		if total+series > most {
			refuse("has %d series, but all sources together can have only %d (custom.series), of which those before it have %d", series, most, total)
			continue
		}
		total += series
		for _, f := range s.Families {
			names := pageNames(f)
			if slices.ContainsFunc(names, func(n string) bool { return own[n] }) {
				refuse("metric %s: the agent has a metric of this name", f.GetName())
				continue
			}
			family := families[names[0]]
			clash := slices.IndexFunc(names, func(n string) bool {
				other := families[n]
				return other != nil && (other.GetName() != f.GetName() || other.GetType() != f.GetType())
			})
			if clash >= 0 {
				other := families[names[clash]]
				refuse("metric %s (%s) conflicts with %s (%s) of %s", f.GetName(), typeWord(f), other.GetName(), typeWord(other), from[other.GetName()])
				continue
			}
			if family == nil {
				family = &dto.MetricFamily{Name: f.Name, Help: f.Help, Type: f.Type}
				merged = append(merged, family)
				from[f.GetName()] = s.Name
				for _, n := range names {
					families[n] = family
				}
			}
			refused := 0
			for _, m := range f.Metric {
				series := SeriesName(f, m)
				if first, taken := from[series]; taken {
					if refused++; refused == 1 {
						refuse("series %s is also in %s", series, first)
					}
					continue
				}
				from[series] = s.Name
				family.Metric = append(family.Metric, m)
			}
		}
	}
	slices.SortFunc(merged, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) })
	return merged, failures
}

// seriesOf is the number of series of a metric family on a scrape page.
func seriesOf(f *dto.MetricFamily) int {
	series := len(f.Metric)
	for _, m := range f.Metric {
		series += len(m.GetHistogram().GetBucket()) + len(m.GetSummary().GetQuantile())
	}
	return series
}

// pageNames lists the names that a metric family takes: its own, and those on a scrape
// page once it went through OpenTelemetry, where runs of underscores are one and
// counters end in _total.
func pageNames(f *dto.MetricFamily) []string {
	name := strings.Join(strings.FieldsFunc(f.GetName(), func(r rune) bool { return r == '_' }), "_")
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		return []string{strings.TrimSuffix(name, "_total") + "_total", name}
	case dto.MetricType_SUMMARY:
		return []string{name, name + "_sum", name + "_sum_total", name + "_count", name + "_count_total"}
	case dto.MetricType_HISTOGRAM:
		return []string{name, name + "_sum", name + "_count", name + "_bucket"}
	}
	return []string{name}
}

// SeriesName writes a series as in a query: name{label="value"}. A label without a value
// is none.
func SeriesName(f *dto.MetricFamily, m *dto.Metric) string {
	labels := make([]string, 0, len(m.Label))
	for _, l := range m.Label {
		if l.GetValue() == "" {
			continue
		}
		labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
	}
	slices.Sort(labels)
	return f.GetName() + "{" + strings.Join(labels, ",") + "}"
}

func typeWord(f *dto.MetricFamily) string { return strings.ToLower(f.GetType().String()) }
