// Package grafana generates two things from dashboards/panels.json: the boards
// for Grafana, and the typed list of panels that the web app imports. It is not
// part of the agent. To add a panel, add an entry to panels.json and run
// `make golden`.
package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// List is the content of panels.json.
type List struct {
	// Palette maps the color words of queries to Grafana's colors. The web app has
	// its own colors, for dark and for light.
	Palette map[string]string `json:"palette"`
	Boards  []Board           `json:"boards"`
	Panels  []Panel           `json:"panels"`
}

// Board is one page of panels.
type Board struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Panels are panel IDs in display order.
	Panels []string `json:"panels"`
}

// Panel is one chart.
type Panel struct {
	// ID is used in URLs and screenshot names; it must not change.
	ID    string `json:"id"`
	Title string `json:"title"`
	// Explain says what the number is: formula and source.
	Explain string `json:"explain"`
	Unit    Unit   `json:"unit"`
	Draw    Draw   `json:"draw"`
	// Max is the fixed top of the axis, 0 for none.
	Max float64 `json:"max,omitempty"`
	// Sparse panels measure what does not always happen: a hole is not a missed
	// reading.
	Sparse bool `json:"sparse,omitempty"`
	// Thresholds are a warning and a critical value, or nil.
	Thresholds []float64 `json:"thresholds,omitempty"`
	Source     Source    `json:"source"`
	Queries    []Query   `json:"queries"`
}

// Query is one line of a chart, or one line for each series of the result.
type Query struct {
	// Name is the legend; {{label}} is a label of the series.
	Name string `json:"name"`
	// Color is a word of the palette, for a query with one series.
	Color string `json:"color,omitempty"`
	// Values are for a query whose name is one label: values of that label in
	// drawing order, each also a word of the palette.
	Values []string `json:"values,omitempty"`
	// Below draws the query below zero, in a mirror.
	Below bool `json:"below,omitempty"`
	// Expr is PromQL with variables; see Fill.
	Expr string `json:"expr"`
	// Band draws the minimum and maximum around the line.
	Band bool `json:"band,omitempty"`
	// Min and Max are the edges of the band, derived from Expr; panels.json does
	// not have them.
	Min string `json:"min,omitempty"`
	Max string `json:"max,omitempty"`
}

// Unit is the unit of a panel's values.
type Unit string

// The units.
const (
	Ratio          Unit = "ratio" // 0 to 1, shown as a percentage
	Bytes          Unit = "bytes"
	BytesPerSecond Unit = "bytes_per_second"
	PerSecond      Unit = "per_second"
	Seconds        Unit = "seconds"
	Hertz          Unit = "hertz"
	Count          Unit = "count" // whole things
	None           Unit = "none"
)

var units = []Unit{Ratio, Bytes, BytesPerSecond, PerSecond, Seconds, Hertz, Count, None}

// Draw is how a panel shows its values.
type Draw string

// The ways to draw.
const (
	Line   Draw = "line"
	Stack  Draw = "stack"  // areas on top of each other
	Mirror Draw = "mirror" // in above zero, out below
	Bars   Draw = "bars"   // a bar for each series, of the newest value
	Stat   Draw = "stat"   // the newest value as a number
	Table  Draw = "table"  // the newest values with all labels
)

var draws = []Draw{Line, Stack, Mirror, Bars, Stat, Table}

// Newest reports whether a panel shows the newest values and no history.
func (d Draw) Newest() bool { return d == Bars || d == Stat || d == Table }

// Source is the server that a panel queries.
type Source string

// The sources.
const (
	// Host is the agent, a Prometheus that scrapes it or a VictoriaMetrics that it
	// pushes to: all return the same result.
	Host Source = "host"
	// Prometheus is the Prometheus of the stack, which scrapes all of it.
	Prometheus Source = "prometheus"
)

var sources = []Source{Host, Prometheus}

// Read reads panels.json and derives the bands of its queries.
func Read(path string) (*List, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the panels: %w", err)
	}
	return decode(text)
}

func decode(text []byte) (*List, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var list List
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("decode panels.json: %w", err)
	}
	for _, p := range list.Panels {
		for i := range p.Queries {
			q := &p.Queries[i]
			if q.Min != "" || q.Max != "" {
				return nil, fmt.Errorf("panels.json: panel %s, query %s: min and max are derived; set \"band\": true", p.ID, q.Name)
			}
			if !q.Band {
				continue
			}
			var err error
			if q.Min, q.Max, err = band(q.Expr); err != nil {
				return nil, fmt.Errorf("panels.json: panel %s, query %s: %w", p.ID, q.Name, err)
			}
		}
	}
	return &list, nil
}

// Values are the values of the variables of an expression.
type Values struct {
	// Host is the name of one host.
	Host string
	// Device, Interface and Mountpoint are regular expressions.
	Device, Interface, Mountpoint string
	// Window is the range of avg_over_time and its like: the step of a chart, and
	// not less than the time between two samples. RateWindow is the range of rate,
	// which needs two samples.
	Window, RateWindow string
}

// Fill replaces the variables of an expression. It does not escape: the caller
// escapes quotes and backslashes.
func Fill(expr string, v Values) string {
	return strings.NewReplacer(
		"$host", v.Host, "$device", v.Device, "$interface", v.Interface, "$mountpoint", v.Mountpoint,
		"$window", v.Window, "$rate_window", v.RateWindow,
	).Replace(expr)
}
