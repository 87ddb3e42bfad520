// Package dashboards is what people look at: one list of panels, panels.json,
// that the web app and the Grafana boards share, and the boards that are made of
// it. It measures and stores nothing, and imports nothing of ours. To add a
// panel, add it to panels.json and run `make golden`.
package dashboards

import (
	"bytes"
	_ "embed" // For panels.json.
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed panels.json
var panels []byte

// List is the content of panels.json.
type List struct {
	// Palette are the words that queries name their colours by. What stands
	// beside a word is Grafana's colour for it; the web app has its own, one for
	// dark and one for light.
	Palette map[string]string `json:"palette"`
	Boards  []Board           `json:"boards"`
	Panels  []Panel           `json:"panels"`
}

// Board is one page of panels.
type Board struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Panels are the IDs of its panels in the order in which they stand.
	Panels []string `json:"panels"`
}

// Panel is one chart.
type Panel struct {
	// ID is in URLs and in the names of screenshots: it stays.
	ID    string `json:"id"`
	Title string `json:"title"`
	// Explain says what the number is: formula and source.
	Explain string `json:"explain"`
	Unit    Unit   `json:"unit"`
	Draw    Draw   `json:"draw"`
	// Max is the top of the axis where it is fixed, else 0.
	Max float64 `json:"max,omitempty"`
	// Sparse panels measure what does not always happen: a hole in one is no
	// missed reading.
	Sparse bool `json:"sparse,omitempty"`
	// Thresholds are the values from which a meter warns and from which it
	// alarms, or nothing.
	Thresholds []float64 `json:"thresholds,omitempty"`
	Source     Source    `json:"source"`
	Queries    []Query   `json:"queries"`
}

// Query is one line of a chart, or one for each series of the answer.
type Query struct {
	// Name stands in the legend; {{label}} is a label of the series.
	Name string `json:"name"`
	// Color is the colour's word, for a query of one series.
	Color string `json:"color,omitempty"`
	// Values are for a query whose name is one label: values of that label in the
	// order in which they are drawn, each also the word of its colour.
	Values []string `json:"values,omitempty"`
	// Below puts the query below zero in a mirror.
	Below bool `json:"below,omitempty"`
	// Expr is PromQL with variables; see Fill.
	Expr string `json:"expr"`
	// Min and Max are the edges of the band around the line, or nothing. The
	// finest tier and Prometheus have no extremes of buckets, so each falls back
	// on the extremes of the readings themselves.
	Min string `json:"min,omitempty"`
	Max string `json:"max,omitempty"`
}

// Unit is what a panel's numbers are of.
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

// Draw is how a panel shows its numbers.
type Draw string

// The ways to draw.
const (
	Line   Draw = "line"
	Stack  Draw = "stack"  // areas on top of each other
	Mirror Draw = "mirror" // what comes in above zero, what goes out below
	Bars   Draw = "bars"   // a bar for each series, of the newest value
	Stat   Draw = "stat"   // the newest value as a number
	Table  Draw = "table"  // the newest values with all labels
)

// Newest tells whether a panel shows the newest values and no history.
func (d Draw) Newest() bool { return d == Bars || d == Stat || d == Table }

// Source is who can answer a panel's queries.
type Source string

// The sources.
const (
	// Host is the agent, a Prometheus that scrapes it and a VictoriaMetrics that it
	// pushes to: they give the same answer.
	Host Source = "host"
	// Prometheus is the Prometheus of the stack alone, which scrapes all of it.
	Prometheus Source = "prometheus"
)

// Panels decodes the list.
func Panels() (*List, error) {
	return decode(panels)
}

func decode(text []byte) (*List, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var list List
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("decode panels.json: %w", err)
	}
	return &list, nil
}

// Values are what is put in for the variables of an expression.
type Values struct {
	// Host is the name of one host.
	Host string
	// Device, Interface and Mountpoint are regular expressions.
	Device, Interface, Mountpoint string
	// Window is how far avg_over_time and its like look back: the step of a chart,
	// and not less than the time between two samples. RateWindow is the same for
	// rate, which needs two samples.
	Window, RateWindow string
}

// Fill puts values in for the variables of an expression, as they are: who has
// one that may contain a quote or a backslash escapes it before.
func Fill(expr string, v Values) string {
	return strings.NewReplacer(
		"$host", v.Host, "$device", v.Device, "$interface", v.Interface, "$mountpoint", v.Mountpoint,
		"$window", v.Window, "$rate_window", v.RateWindow,
	).Replace(expr)
}
