package alerting

import (
	"fmt"
	"maps"

	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"

	"sysotel/agent/regex"
)

// Metric is the PromQL metric behind a name of the REST API.
type Metric struct {
	// Name is the metric's name in PromQL.
	Name string
	// Labels are the default matchers: a value, or "*" for any value that is not empty.
	Labels map[string]string
	// Alias maps label names of the REST API to those of the metric.
	Alias map[string]string
	// Scale converts its values to Unit.
	Scale float64
	Unit  string
}

// scaled returns PromQL for a value of the metric in its unit.
func (m Metric) scaled(value string) string {
	switch {
	case m.Scale == 1 || m.Scale == 0:
		return value
	case m.Scale < 1:
		return fmt.Sprintf("%s / %g", value, 1/m.Scale)
	}
	return fmt.Sprintf("%g * %s", m.Scale, value)
}

// selector returns PromQL for the matching series.
func (m Metric) selector(match map[string]string) (string, error) {
	want := map[string]string{}
	for name, value := range m.Labels {
		switch value {
		case "*":
			want[name] = name + `!=""`
		default:
			want[name] = name + "=" + strconv.Quote(value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(match)) {
		label := name
		if known, ok := m.Alias[name]; ok {
			label = known
		}
		text, err := matcher(label, match[name])
		if err != nil {
			return "", err
		}
		want[label] = text
	}
	text := m.Name
	if !model.LegacyValidation.IsValidMetricName(m.Name) {
		text = "{" + strconv.Quote(m.Name)
		if len(want) > 0 {
			text += ","
		}
	} else if len(want) > 0 {
		text += "{"
	}
	for i, name := range slices.Sorted(maps.Keys(want)) {
		if i > 0 {
			text += ","
		}
		text += want[name]
	}
	if strings.Contains(text, "{") {
		text += "}"
	}
	return text, nil
}

// matcher converts "value", "!value", "~regex" or "!~regex" to a PromQL matcher.
func matcher(label, value string) (string, error) {
	if !model.LegacyValidation.IsValidLabelName(label) {
		return "", fmt.Errorf("%q is not a valid label name", label)
	}
	not := strings.HasPrefix(value, "!")
	value = strings.TrimPrefix(value, "!")
	pattern, isPattern := strings.CutPrefix(value, "~")
	op := "="
	switch {
	case isPattern:
		if err := regex.Check(pattern); err != nil {
			return "", fmt.Errorf("the regular expression %q %w", shown(pattern), err)
		}
		op, value = "=~", pattern
		if not {
			op = "!~"
		}
	case not:
		op = "!="
	}
	return label + op + strconv.Quote(value), nil
}
