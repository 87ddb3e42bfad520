package victoriametrics

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// selector writes matchers for VictoriaMetrics. What it might understand in
// another way is left out and returned: those the caller applies himself, so that
// too much is read at worst and never too little.
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

// filter writes one matcher; false where it cannot be left to VictoriaMetrics.
func filter(m *labels.Matcher) (string, bool) {
	if !model.LegacyValidation.IsValidLabelName(m.Name) {
		return "", false // It would have to be quoted, in its way.
	}
	if m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual {
		return m.Name + m.Type.String() + strconv.Quote(m.Value), true
	}
	// A list of words means the same everywhere.
	if words := m.SetMatches(); len(words) > 0 && !slices.Contains(words, "") {
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = regexp.QuoteMeta(word)
		}
		return m.Name + m.Type.String() + strconv.Quote(strings.Join(quoted, "|")), true
	}
	// In other patterns a dot matches the end of a line for Prometheus and not for
	// VictoriaMetrics; in the name of a metric there is none.
	if m.Name == model.MetricNameLabel {
		return m.Name + m.Type.String() + strconv.Quote(m.Value), true
	}
	return "", false
}

// matches tells whether labels have what matchers ask for.
func matches(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}
