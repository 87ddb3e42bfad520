package victoriametrics

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// selector formats matchers for VictoriaMetrics. Matchers that it might interpret
// differently are returned for the caller to apply, so that at worst too much is
// read and never too little.
func selector(matchers []*labels.Matcher) (text string, rest []*labels.Matcher) {
	var parts []string
	for _, m := range matchers {
		part, ok := filter(m)
		if !ok {
			rest = append(rest, m)
			continue
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		parts = []string{`__name__!=""`}
	}
	return "{" + strings.Join(parts, ",") + "}", rest
}

// filter formats one matcher; false if VictoriaMetrics cannot apply it.
func filter(m *labels.Matcher) (string, bool) {
	if !model.LegacyValidation.IsValidLabelName(m.Name) {
		return "", false // It would have to be quoted.
	}
	if m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual {
		return m.Name + m.Type.String() + strconv.Quote(m.Value), true
	}
	// A list of values means the same everywhere.
	if words := m.SetMatches(); len(words) > 0 && !slices.Contains(words, "") {
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = regexp.QuoteMeta(word)
		}
		return m.Name + m.Type.String() + strconv.Quote(strings.Join(quoted, "|")), true
	}
	// In other patterns a dot matches a line break in Prometheus and not in
	// VictoriaMetrics; metric names have none.
	if m.Name == model.MetricNameLabel {
		return m.Name + m.Type.String() + strconv.Quote(m.Value), true
	}
	return "", false
}

// matches reports whether labels match all matchers.
func matches(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}
