package alerting

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
)

// Metric is what a name of the REST API stands for in PromQL.
type Metric struct {
	// Name is the metric's name in PromQL.
	Name string
	// Labels are what its labels must be where a threshold says nothing of them: a
	// value, or "*" for any but none.
	Labels map[string]string
	// Alias are other names of its labels, those of the REST API.
	Alias map[string]string
	// Scale brings its values into Unit.
	Scale float64
	Unit  string
}

// series is PromQL of the metric's series that match, in its unit.
func (m Metric) series(match map[string]string) (string, error) {
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
	switch {
	case m.Scale == 1 || m.Scale == 0:
		return text, nil
	case m.Scale < 1:
		return fmt.Sprintf("%s / %g", text, 1/m.Scale), nil
	}
	return fmt.Sprintf("%g * %s", m.Scale, text), nil
}

// matcher writes what a label must be: "value", "!value", "~regex" or "!~regex".
func matcher(label, value string) (string, error) {
	if !model.LabelName(label).IsValidLegacy() {
		return "", fmt.Errorf("%q is no name of a label", label)
	}
	not := strings.HasPrefix(value, "!")
	value = strings.TrimPrefix(value, "!")
	pattern, isPattern := strings.CutPrefix(value, "~")
	op := "="
	switch {
	case isPattern:
		if _, err := regexp.Compile("^(?:" + pattern + ")$"); err != nil {
			return "", fmt.Errorf("%q is no regular expression: %w", pattern, err)
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
