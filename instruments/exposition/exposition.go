// Package exposition reads custom metrics in the Prometheus text format and merges
// those of several sources.
package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The most that one source of custom metrics may give: some fifty times what
// node_exporter prints, far below what would hurt the agent.
const (
	MaxBytes  = 1 << 20
	MaxSeries = 10_000
)

// maxErrors bounds the errors that are reported for one source at once.
const maxErrors = 10

// reservedNames begin names that only the agent gives, in this version or another.
var reservedNames = []string{"sysotel_", "target_info"}

// byteOrderMark is what programs on Windows begin files with.
var byteOrderMark = []byte("\ufeff")

// quoted is input that a syntax error quotes. Everybody who sees the health reads the
// error, but not everybody may read the source; the line number is enough.
var quoted = regexp.MustCompile(` "(?:[^"\\]|\\.)*"`)

// Parse reads the Prometheus text format, also with the line ends and the byte order
// mark of Windows. A syntax error costs all metrics of the source, an unsupported metric
// only itself.
func Parse(text []byte) ([]*dto.MetricFamily, []error) {
	if len(text) > MaxBytes {
		return nil, []error{fmt.Errorf("is larger than %d bytes", MaxBytes)}
	}
	text = bytes.ReplaceAll(bytes.TrimPrefix(text, byteOrderMark), []byte("\r\n"), []byte("\n"))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		if at, ok := errors.AsType[expfmt.ParseError](err); ok {
			err = fmt.Errorf("line %d: %s", at.Line, quoted.ReplaceAllString(at.Msg, ` "…"`))
		}
		return nil, []error{err}
	}
	series := 0
	names := make([]string, 0, len(parsed))
	for name, f := range parsed {
		names = append(names, name)
		series += seriesOf(f)
	}
	if series > MaxSeries {
		return nil, []error{fmt.Errorf("has %d series, at most %d are possible", series, MaxSeries)}
	}
	slices.Sort(names)
	var families []*dto.MetricFamily
	var errs []error
	for _, name := range names {
		if err := check(parsed[name]); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := withoutDuplicates(parsed[name], text); err != nil {
			errs = append(errs, err)
		}
		families = append(families, parsed[name])
	}
	if more := len(errs) - maxErrors; more > 0 {
		errs = append(errs[:maxErrors], fmt.Errorf("and %d more errors", more))
	}
	return families, errs
}

// check refuses a metric family that would disturb ours on its way out.
func check(f *dto.MetricFamily) error {
	name := f.GetName()
	for _, reserved := range reservedNames {
		if strings.HasPrefix(strings.TrimLeft(name, "_"), reserved) {
			return fmt.Errorf("metric %s: names that begin with %s are the agent's own", name, reserved)
		}
	}
	if f.GetType() == dto.MetricType_GAUGE_HISTOGRAM {
		return fmt.Errorf("metric %s: OpenTelemetry has no histograms of gauges", name)
	}
	for _, m := range f.Metric {
		if m.TimestampMs != nil {
			return fmt.Errorf("metric %s: has a timestamp of its own, but all metrics carry the time at which they are read", name)
		}
		for _, l := range m.Label {
			if l.GetName() == "host_name" || strings.HasPrefix(l.GetName(), "__") {
				return fmt.Errorf("metric %s: the label %s is the agent's own", name, l.GetName())
			}
		}
	}
	return nil
}
