package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The data sources of Grafana by their provisioned IDs; see
// provisioning/datasources.
const (
	agentSource      = "sysotel"
	prometheusSource = "prometheus"
)

// object is a JSON object. encoding/json sorts its keys, so the output is stable.
type object map[string]any

// Boards returns the boards for Grafana as JSON, by file name.
func Boards(list *List) (map[string][]byte, error) {
	panels := map[string]*Panel{}
	for i := range list.Panels {
		panels[list.Panels[i].ID] = &list.Panels[i]
	}
	files := map[string][]byte{}
	for _, b := range list.Boards {
		var shown []*Panel
		for _, id := range b.Panels {
			if panels[id] == nil {
				return nil, fmt.Errorf("board %s has panel %s, which is not in the list", b.ID, id)
			}
			shown = append(shown, panels[id])
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(board(list, b, shown)); err != nil {
			return nil, fmt.Errorf("write board %s: %w", b.ID, err)
		}
		files["sysotel-"+b.ID+".json"] = text.Bytes()
	}
	return files, nil
}

func board(list *List, b Board, panels []*Panel) object {
	var expressions strings.Builder
	host := false
	for _, p := range panels {
		host = host || p.Source == Host
		for i := range p.Queries {
			expressions.WriteString(p.Queries[i].Expr)
		}
	}
	return object{
		"uid": "sysotel-" + b.ID, "title": b.Title, "tags": []string{"sysotel"}, "schemaVersion": 42,
		"description": "Made from dashboards/panels.json of sysotel; save changes under another name.",
		"editable":    true, "timezone": "browser", "graphTooltip": 1,
		"time": object{"from": "now-1h", "to": "now"},
		// The agent limits queries per second and client, and all viewers of one
		// Grafana are one client.
		"refresh": "10s",
		"links": []object{{
			"type": "dashboards", "tags": []string{"sysotel"}, "title": "sysotel", "asDropdown": true, "keepTime": true, "includeVars": true,
			"icon": "external link", "targetBlank": false, "tooltip": "",
		}},
		"templating":  object{"list": boardVariables(host, expressions.String())},
		"annotations": object{"list": annotations(host)},
		"panels":      layOut(list, panels),
	}
}

// boardVariables are the choices at the top of a board: the data source, and the
// values of the labels that its expressions use.
func boardVariables(host bool, expressions string) []object {
	if !host {
		return []object{}
	}
	variables := []object{{
		"type": "datasource", "name": "datasource", "label": "Source", "query": "prometheus", "refresh": 1,
		"current":     object{"text": agentSource, "value": agentSource},
		"description": "The agent picks the tier that fits by itself; others answer the same queries from what they have.",
	}}
	add := func(name, label, metric, key string, several bool) {
		if !strings.Contains(expressions, "$"+name) {
			return
		}
		query := fmt.Sprintf("label_values(%s, %s)", metric, key)
		v := object{
			"type": "query", "name": name, "label": label, "datasource": datasource(Host), "refresh": 2, "sort": 7,
			"query":      object{"qryType": 1, "query": query, "refId": "Variable"},
			"includeAll": several, "multi": several,
		}
		if several {
			v["allValue"] = ".*"
			v["current"] = object{"text": []string{"All"}, "value": []string{"$__all"}}
		}
		variables = append(variables, v)
	}
	add("host", "Host", "system_uptime_seconds", "host_name", false)
	add("device", "Disk", `sysotel_disk_busy_ratio{host_name="$host"}`, "device", true)
	add("interface", "Interface", `sysotel_network_io_rate_bytes_per_second{host_name="$host",device!=""}`, "device", true)
	add("mountpoint", "Mounted at", `sysotel_disk_utilization_ratio{host_name="$host",mountpoint!=""}`, "mountpoint", true)
	return variables
}

// annotations are the marks on all charts of a board.
func annotations(host bool) []object {
	marks := []object{{
		"name": "Annotations & Alerts", "type": "dashboard", "builtIn": 1, "enable": true, "hide": true, "iconColor": "#56B4E9",
		"datasource": object{"type": "grafana", "uid": "-- Grafana --"},
	}}
	selector := ""
	if host {
		selector = `,host_name="$host"`
		marks = append(marks, object{
			"name": "Reboots", "enable": true, "iconColor": "#CC79A7", "datasource": datasource(Host),
			"titleFormat": "{{host_name}} started", "useValueForTime": "on",
			"target": object{"refId": "Anno", "expr": `sysotel_boot_time_seconds{host_name="$host"} * 1000`, "interval": "1m"},
		})
	}
	return append(marks, object{
		"name": "Alerts", "enable": true, "iconColor": "#D55E00", "datasource": datasource(Prometheus),
		"titleFormat": "{{alertname}}", "textFormat": "{{severity}}",
		"target": object{"refId": "Anno", "expr": `ALERTS{alertstate="firing"` + selector + `}`, "interval": "1m"},
	})
}

func datasource(s Source) object {
	if s == Prometheus {
		return object{"type": "prometheus", "uid": prometheusSource}
	}
	return object{"type": "prometheus", "uid": "${datasource}"}
}

// layOut places panels in rows, from left to right.
func layOut(list *List, panels []*Panel) []object {
	const columns = 24 // Grafana's grid.
	made := []object{}
	x, y, tallest := 0, 0, 0
	for i, p := range panels {
		w, h := 12, 8
		switch p.Draw {
		case Stat:
			w, h = 4, 4
		case Table:
			w = columns
		}
		// A panel that does not fit or has another height starts a new row.
		if x+w > columns || h != tallest {
			x, y, tallest = 0, y+tallest, h
		}
		panel := object{
			"id": i + 1, "title": p.Title, "description": p.Explain, "datasource": datasource(p.Source),
			"gridPos": object{"x": x, "y": y, "w": w, "h": h}, "targets": targetsOf(p),
		}
		maps.Copy(panel, drawing(p))
		panel["fieldConfig"] = object{"defaults": fieldDefaults(p), "overrides": fieldOverrides(list, p)}
		made = append(made, panel)
		x += w
	}
	return made
}

// targetsOf returns the queries of a panel. The edges of a band are separate queries.
// Grafana fills between two series by name only, so a query with many series has
// no bands but one line above them all: the maximum of any.
func targetsOf(p *Panel) []object {
	var targets []object
	for i := range p.Queries {
		q := &p.Queries[i]
		add := func(ref, name, expr string) {
			t := object{
				"refId": ref, "legendFormat": name, "datasource": datasource(p.Source), "editorMode": "code",
				"expr": Fill(expr, Values{
					Host: "$host", Device: "$device", Interface: "$interface", Mountpoint: "$mountpoint",
					Window: "$__interval", RateWindow: "$__rate_interval",
				}),
				"instant": p.Draw.Newest(), "range": !p.Draw.Newest(), "format": "time_series",
			}
			if p.Draw == Table {
				t["format"] = "table"
			}
			targets = append(targets, t)
		}
		add(reference(i), q.Name, q.Expr)
		switch {
		case banded(q):
			add(reference(i)+"_min", q.Name+" min", q.Min)
			add(reference(i)+"_max", q.Name+" max", q.Max)
		case q.Max != "":
			add(reference(i)+"_max", "highest"+label.ReplaceAllString(q.Name, ""), "max("+q.Max+")")
		}
	}
	return targets
}

// reference is Grafana's name for query number i.
func reference(i int) string { return string(rune('A' + i)) }

// label is a label in the name of a query.
var label = regexp.MustCompile(` *\{\{[^}]*\}\}`)

func banded(q *Query) bool { return q.Max != "" && !label.MatchString(q.Name) }

// drawing is the panel's type and the options of that type.
func drawing(p *Panel) object {
	legend := object{"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []string{}}
	newest := object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}
	switch p.Draw {
	case Bars:
		legend["showLegend"] = false
		return object{"type": "bargauge", "options": object{
			"displayMode": "basic", "orientation": "horizontal", "reduceOptions": newest, "legend": legend, "showUnfilled": true,
			"valueMode": "text", "namePlacement": "auto", "sizing": "auto", "minVizHeight": 16, "maxVizHeight": 40, "minVizWidth": 8,
		}}
	case Stat:
		return object{"type": "stat", "options": object{
			"colorMode": "value", "graphMode": "none", "textMode": "value", "justifyMode": "auto", "orientation": "auto",
			"reduceOptions": newest, "wideLayout": true, "showPercentChange": false, "percentChangeColorMode": "standard",
		}}
	case Table:
		return object{
			"type": "table", "options": object{"showHeader": true, "cellHeight": "sm", "frameIndex": 0},
			"transformations": []object{{"id": "organize", "options": object{
				"excludeByName": object{"Time": true, "Value": true, "__name__": true}, "indexByName": object{}, "renameByName": object{},
			}}},
		}
	default:
		return object{"type": "timeseries", "options": object{
			"legend": legend, "tooltip": object{"mode": "multi", "sort": "desc"},
		}}
	}
}

// fieldDefaults is how all values of a panel are shown.
func fieldDefaults(p *Panel) object {
	field := object{
		"unit": map[Unit]string{
			// Memory and disks use powers of 2, traffic powers of 10.
			Ratio: "percentunit", Bytes: "bytes", BytesPerSecond: "Bps", PerSecond: "cps", Seconds: "s", Hertz: "hertz", Count: "short", None: "short",
		}[p.Unit],
		"color": object{"mode": "palette-classic-by-name"},
	}
	if p.Draw != Mirror {
		field["min"] = 0
	}
	if p.Max != 0 {
		field["max"] = p.Max
	}
	if len(p.Thresholds) == 2 {
		field["color"] = object{"mode": "thresholds"}
		field["thresholds"] = object{"mode": "absolute", "steps": []object{
			{"color": "#009E73", "value": nil}, {"color": "#E69F00", "value": p.Thresholds[0]}, {"color": "#D55E00", "value": p.Thresholds[1]},
		}}
	}
	switch p.Draw {
	case Line, Mirror:
		field["custom"] = object{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "auto", "spanNulls": false}
	case Stack:
		field["custom"] = object{
			"drawStyle": "line", "lineWidth": 0, "fillOpacity": 70, "showPoints": "never", "spanNulls": false,
			"stacking": object{"mode": "normal", "group": "A"},
		}
	}
	return field
}

// fieldOverrides is how single queries and series of a panel are shown.
func fieldOverrides(list *List, p *Panel) []object {
	overrides := []object{}
	override := func(matcher, of string, properties ...object) {
		overrides = append(overrides, object{"matcher": object{"id": matcher, "options": of}, "properties": properties})
	}
	property := func(id string, value any) object { return object{"id": id, "value": value} }
	fixed := func(word string) object {
		return property("color", object{"mode": "fixed", "fixedColor": list.Palette[word]})
	}
	for i := range p.Queries {
		q := &p.Queries[i]
		var own []object
		// Threshold colors win over the palette.
		if q.Color != "" && p.Thresholds == nil {
			own = append(own, fixed(q.Color))
		}
		if q.Below {
			own = append(own, property("custom.transform", "negative-Y"))
		}
		if len(own) > 0 {
			override("byFrameRefID", reference(i), own...)
		}
		for _, value := range q.Values {
			override("byName", value, fixed(value))
		}
		switch {
		case banded(q):
			edge := append(slices.Clone(own), property("custom.lineWidth", 0), property("custom.showPoints", "never"),
				property("custom.hideFrom", object{"legend": true, "tooltip": false, "viz": false}))
			override("byFrameRefID", reference(i)+"_min", edge...)
			override("byFrameRefID", reference(i)+"_max", append(slices.Clone(edge),
				property("custom.fillBelowTo", q.Name+" min"), property("custom.fillOpacity", 25))...)
		case q.Max != "":
			override("byFrameRefID", reference(i)+"_max", append(slices.Clone(own), fixed("limit"),
				property("custom.lineStyle", object{"fill": "dot", "dash": []int{1, 4}}))...)
		}
	}
	return overrides
}
