package promql

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/query"
)

// selection has the parameters of series, labels and label values.
type selection struct {
	sets       [][]*labels.Matcher
	start, end time.Time
	limit      int
}

// selection reads the parameters. Prometheus names the parameter of a wrong selector for
// series only.
func (a *api) selection(r *http.Request, named bool) (s selection, err error) {
	if s.limit, err = limitOf(r); err != nil {
		return s, err
	}
	if s.start, err = timeOf(r, "start", minTime); err != nil {
		return s, err
	}
	if s.end, err = timeOf(r, "end", maxTime); err != nil {
		return s, err
	}
	if s.sets, err = a.config.Querier.Matchers(r.Context(), r.Form["match[]"]); err != nil && named {
		err = badParameter("match[]", err)
	}
	return s, err
}

// series lists the matching series.
func (a *api) series(w http.ResponseWriter, r *http.Request) error {
	if len(r.Form["match[]"]) == 0 {
		return &query.Error{Type: query.BadData, Err: errors.New("no match[] parameter provided")}
	}
	s, err := a.selection(r, true)
	if err != nil {
		return err
	}
	found, warnings, err := a.config.Querier.Series(r.Context(), s.sets, s.start, s.end, s.limit)
	if err != nil {
		return err
	}
	e := newEncoder(w)
	defer e.free()
	e.raw(`[`)
	for i, l := range found {
		e.comma(i)
		e.labels(l)
	}
	e.raw(`]`)
	e.end(warnings, "")
	return nil
}

// labelNames lists the label names.
func (a *api) labelNames(w http.ResponseWriter, r *http.Request) error {
	s, err := a.selection(r, false)
	if err != nil {
		return err
	}
	names, warnings, err := a.config.Querier.LabelNames(r.Context(), s.sets, s.start, s.end, s.limit)
	if err != nil {
		return err
	}
	e := newEncoder(w)
	defer e.free()
	e.words(names)
	e.end(warnings, "")
	return nil
}

// labelValues lists the values of one label.
func (a *api) labelValues(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return &query.Error{Type: query.BadData, Err: fmt.Errorf("invalid label name: %q", name)}
	}
	s, err := a.selection(r, false)
	if err != nil {
		return err
	}
	values, warnings, err := a.config.Querier.LabelValues(r.Context(), name, s.sets, s.start, s.end, s.limit)
	if err != nil {
		return err
	}
	e := newEncoder(w)
	defer e.free()
	e.words(values)
	e.end(warnings, "")
	return nil
}

// formatQuery formats an expression.
func (a *api) formatQuery(w http.ResponseWriter, r *http.Request) error {
	formatted, err := a.config.Querier.Format(r.Context(), r.FormValue("query"))
	if err != nil {
		return badQuery(err)
	}
	e := newEncoder(w)
	defer e.free()
	e.text(formatted)
	e.end(nil, "")
	return nil
}

// metadata lists type, unit and help of metrics.
func (a *api) metadata(w http.ResponseWriter, r *http.Request) error {
	limit := -1
	for _, name := range []string{"limit", "limit_per_metric"} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return &query.Error{Type: query.BadData, Err: errors.New(name + " must be a number")}
		}
		if name == "limit" { // A metric has one row, so limit_per_metric has no effect.
			limit = n
		}
	}
	known := a.config.Metadata()
	names := slices.Sorted(maps.Keys(known))
	if metric := r.FormValue("metric"); metric != "" {
		names = nil
		if _, ok := known[metric]; ok {
			names = []string{metric}
		}
	}
	if limit >= 0 && len(names) > limit {
		names = names[:limit]
	}
	e := newEncoder(w)
	defer e.free()
	e.raw(`{`)
	for i, name := range names {
		e.comma(i)
		m := known[name]
		e.text(name)
		e.raw(`:[{"type":`)
		e.text(m.Type)
		e.raw(`,"unit":`)
		e.text(m.Unit)
		e.raw(`,"help":`)
		e.text(m.Help)
		e.raw(`}]`)
	}
	e.raw(`}`)
	e.end(nil, "")
	return nil
}
