package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/prometheus/util/annotations"

	"sysotel/agent/query"
)

// localCache is the source of a tier where VictoriaMetrics did not answer.
const localCache = "local cache"

// csvMedia is the media type of tables.
const csvMedia = "text/csv"

// seriesAnswer is what the store said to a plan.
type seriesAnswer struct {
	plan     *seriesPlan
	step     time.Duration
	tiers    []query.Span
	warnings annotations.Annotations
	series   []answeredSeries
}

// answeredSeries is one series with what it is of.
type answeredSeries struct {
	query.SelectedSeries
	metric, unit string
	scale        float64
	// names and values are its labels.
	names, values []string
}

// selectSeries asks the store for every part of a plan.
func (s *Server) selectSeries(ctx context.Context, p *seriesPlan) (*seriesAnswer, error) {
	a := &seriesAnswer{plan: p}
	total := 0
	for _, one := range p.selections {
		result, err := s.options.History.Select(ctx, one.query)
		if err != nil {
			return nil, err
		}
		a.step = max(a.step, result.Step)
		a.join(result.Tiers)
		a.warnings.Merge(result.Warnings)
		for _, found := range result.Series {
			// Numbers of other questions are in memory meanwhile: all together must
			// stay bounded, not only each.
			if total += len(found.T) * len(p.aggregates); total > maxValues {
				return nil, problem(http.StatusUnprocessableEntity,
					"The response would hold more than "+strconv.Itoa(maxValues)+" numbers; ask for fewer metrics, points or parts of the machine.")
			}
			row := answeredSeries{SelectedSeries: found, metric: one.quantity.Name, unit: one.quantity.Unit, scale: one.quantity.Scale}
			for _, l := range one.labels {
				if value := found.Labels.Get(l.stored); value != "" {
					row.names, row.values = append(row.names, l.name), append(row.values, printable(l.prefix+value))
				}
			}
			a.series = append(a.series, row)
		}
	}
	return a, nil
}

// join adds which tiers answered. Rates need the sample before their step, so
// theirs may begin a step later than those of other metrics.
func (a *seriesAnswer) join(spans []query.Span) {
	for _, span := range spans {
		i := slices.IndexFunc(a.tiers, func(t query.Span) bool { return t.Tier == span.Tier })
		if i < 0 {
			a.tiers = append(a.tiers, span)
			continue
		}
		if span.From.Before(a.tiers[i].From) {
			a.tiers[i].From = span.From
		}
		if span.To.After(a.tiers[i].To) {
			a.tiers[i].To = span.To
		}
		a.tiers[i].Cached = a.tiers[i].Cached || span.Cached
	}
	slices.SortFunc(a.tiers, func(x, y query.Span) int { return x.From.Compare(y.From) })
}

// write answers in the form that the caller prefers.
func (a *seriesAnswer) write(ctx huma.Context) {
	r, w := humago.Unwrap(ctx)
	h := w.Header()
	h.Set("Vary", "Accept")
	if len(a.tiers) > 0 {
		var names []string
		for _, t := range a.tiers {
			name := t.Tier
			if t.Cached {
				name += ";source=local-cache"
			}
			names = append(names, name)
		}
		h.Set("X-Sysotel-Tier", strings.Join(names, ", "))
	}
	buffered := bufio.NewWriterSize(w, 32<<10)
	if prefersCSV(r.Header.Values("Accept")) {
		h.Set("Content-Type", csvMedia+"; charset=utf-8; header=present")
		h.Set("Content-Disposition", `attachment; filename="sysotel-`+a.plan.family.name+`.csv"`)
		a.writeCSV(buffered)
	} else {
		h.Set("Content-Type", "application/json")
		a.writeJSON(buffered)
	}
	_ = buffered.Flush() // Who is gone needs no answer.
}

// prefersCSV tells whether a caller would rather have a table.
func prefersCSV(accept []string) bool {
	table, object := 0.0, 0.0
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, parameters, _ := strings.Cut(part, ";")
		quality := 1.0
		for parameter := range strings.SplitSeq(parameters, ";") {
			if text, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
				quality, _ = strconv.ParseFloat(text, 64) // What is no number is no wish.
			}
		}
		switch strings.ToLower(strings.TrimSpace(media)) {
		case csvMedia:
			table = max(table, quality)
		case "application/json":
			object = max(object, quality)
		}
	}
	return table > object
}

// columns are the aggregates of a series in the order asked for.
func (s *answeredSeries) column(aggregate string) []float64 {
	return map[string][]float64{"avg": s.Avg, "min": s.Min, "max": s.Max}[aggregate]
}

// orderedAggregates are those asked for, each once.
func (p *seriesPlan) orderedAggregates() (list []string) {
	for _, a := range seriesAggregates {
		if slices.Contains(p.aggregates, a) {
			list = append(list, a)
		}
	}
	return list
}

// writeJSON writes a Series in pieces: as text it is several times larger than
// the numbers.
func (a *seriesAnswer) writeJSON(w *bufio.Writer) {
	head := Series{Host: printable(a.plan.host), Start: a.plan.start.UTC(), End: a.plan.end.UTC(), Step: a.step.Seconds(), Tiers: []SeriesTier{}, Series: []SeriesRow{}}
	for _, t := range a.tiers {
		tier := SeriesTier{Tier: t.Tier, From: t.From.UTC(), To: t.To.UTC()}
		if t.Cached {
			tier.Source = localCache
		}
		head.Tiers = append(head.Tiers, tier)
	}
	for _, warning := range a.warnings {
		head.Warnings = append(head.Warnings, printable(warning.Error()))
	}
	slices.Sort(head.Warnings)
	start, err := json.Marshal(head)
	if err != nil { // Times within the years 1 to 9999 and strings always marshal.
		return
	}
	_, _ = w.Write(start[:len(start)-len("]}")])
	var number []byte
	for i := range a.series {
		s := &a.series[i]
		labels := make(map[string]string, len(s.names))
		for j, name := range s.names {
			labels[name] = s.values[j]
		}
		row, err := json.Marshal(SeriesRow{Metric: s.metric, Unit: s.unit, Labels: labels, T: []float64{}})
		if err != nil {
			return
		}
		if i > 0 {
			_ = w.WriteByte(',')
		}
		_, _ = w.Write(row[:len(row)-len("]}")])
		for j, t := range s.T {
			if j > 0 {
				_ = w.WriteByte(',')
			}
			number = appendSeconds(number[:0], t)
			_, _ = w.Write(number)
		}
		_ = w.WriteByte(']')
		for _, aggregate := range a.plan.orderedAggregates() {
			_, _ = w.WriteString(`,"` + aggregate + `":[`)
			column := s.column(aggregate)
			for j := range s.T {
				if j > 0 {
					_ = w.WriteByte(',')
				}
				v := unknown
				if column != nil {
					v = column[j] * s.scale
				}
				number = appendValue(number[:0], v, "null")
				_, _ = w.Write(number)
			}
			_ = w.WriteByte(']')
		}
		_ = w.WriteByte('}')
	}
	_, _ = w.WriteString("]}\n")
}

// writeCSV writes a line for each point of each series.
func (a *seriesAnswer) writeCSV(w *bufio.Writer) {
	table := csv.NewWriter(w)
	aggregates := a.plan.orderedAggregates()
	line := append(append([]string{"time", "metric", "unit"}, a.plan.family.labels...), aggregates...)
	_ = table.Write(line)
	for i := range a.series {
		s := &a.series[i]
		line[1], line[2] = s.metric, s.unit
		for j, name := range a.plan.family.labels {
			line[3+j] = ""
			if at := slices.Index(s.names, name); at >= 0 {
				line[3+j] = harmlessCell(s.values[at])
			}
		}
		for j, t := range s.T {
			line[0] = time.UnixMilli(t).UTC().Format(time.RFC3339Nano)
			for k, aggregate := range aggregates {
				v := unknown
				if column := s.column(aggregate); column != nil {
					v = column[j] * s.scale
				}
				line[3+len(a.plan.family.labels)+k] = string(appendValue(nil, v, ""))
			}
			if table.Write(line) != nil {
				return // Nobody is left to read it.
			}
		}
	}
	table.Flush()
}

// harmlessCell is a text that no spreadsheet takes for a formula: whoever names
// a device could otherwise make the reader's program fetch a page or run a
// command.
func harmlessCell(text string) string {
	// Some look behind spaces, and take the wide forms of the signs for them.
	first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(text, unicode.IsSpace))
	if strings.ContainsRune("=+-@|%\uff1d\uff0b\uff0d\uff20", first) || text != "" && strings.ContainsRune("\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

// appendSeconds writes milliseconds as Unix seconds.
func appendSeconds(b []byte, ms int64) []byte {
	if ms%1000 == 0 {
		return strconv.AppendInt(b, ms/1000, 10)
	}
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
}

// appendValue writes a number with the twelve digits that a share or a rate can
// have, and whole ones exactly. An hour's mean can be far below what one tick
// resolves, so it is not cut behind the point as in /current.
func appendValue(b []byte, v float64, none string) []byte {
	const exact = 1 << 53
	switch {
	case math.IsNaN(v), math.IsInf(v, 0):
		return append(b, none...)
	case v == math.Trunc(v) && math.Abs(v) < exact:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', 12, 64)
}
