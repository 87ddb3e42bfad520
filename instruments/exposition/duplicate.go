package exposition

import (
	"bytes"
	"fmt"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// withoutDuplicates removes the series of a metric family that are there already. A label
// with an empty value is the same as none. The error names the lines of the first one.
func withoutDuplicates(f *dto.MetricFamily, text []byte) error {
	switch f.GetType() {
	case dto.MetricType_HISTOGRAM, dto.MetricType_SUMMARY, dto.MetricType_GAUGE_HISTOGRAM:
		return nil // The parser puts what belongs together into one.
	}
	seen := map[string]bool{}
	first, kept := "", f.Metric[:0]
	for _, m := range f.Metric {
		series := SeriesName(f, m)
		switch {
		case !seen[series]:
			seen[series] = true
			kept = append(kept, m)
		case first == "":
			first = series
		}
	}
	f.Metric = kept
	if first == "" {
		return nil
	}
	lines := linesOf(f.GetName(), first, text)
	if len(lines) < 2 { // Written in another way, with a time for example.
		return fmt.Errorf("series %s is there more than once", first)
	}
	return fmt.Errorf("line %d: series %s is also in line %d; a label without a value counts as none", lines[1], first, lines[0])
}

// linesOf returns the lines of a series.
func linesOf(name, series string, text []byte) (lines []int) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if !strings.HasPrefix(string(bytes.TrimLeft(line, " \t")), name) {
			continue
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		parsed, err := parser.TextToMetricFamilies(bytes.NewReader(append(bytes.TrimRight(line, "\r\n"), '\n')))
		f := parsed[name]
		if err == nil && f != nil && SeriesName(f, f.Metric[0]) == series {
			lines = append(lines, n)
		}
	}
	return lines
}
