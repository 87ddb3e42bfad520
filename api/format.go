package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// The media types of responses.
const (
	jsonMedia = "application/json"
	csvMedia  = "text/csv"
)

// formatParameter is the query parameter that chooses the format of a table: links and
// spreadsheets cannot set a header.
const formatParameter = "format"

// newFormatParameter describes it.
func newFormatParameter() *huma.Param {
	schema := &huma.Schema{Type: huma.TypeString, Enum: []any{"json", "csv"}}
	schema.PrecomputeMessages()
	return &huma.Param{
		Name: formatParameter, In: "query", Schema: schema,
		Description: "Format of the response. Default: as the Accept header says, else json.",
	}
}

// csvDescription describes the table of an operation.
func csvDescription(rows string) string {
	text := "A table in CSV (RFC 4180) with a header row"
	if rows != "" {
		text += ": the entries of `" + rows + "`, one per line, with a column for each of their fields, which is empty where the JSON has null or nothing; lists and objects are JSON"
	}
	return text + ". Numbers and times are as in the JSON. Text that a spreadsheet would take for a formula, or that begins with an apostrophe, has one more apostrophe before it; without that it is the original text."
}

// csvKey is the key of the context of requests for CSV.
type csvKey struct{}

// wantsCSV reports whether the response to a request is to be CSV.
func wantsCSV(ctx context.Context) bool { return ctx.Value(csvKey{}) != nil }

// negotiate decides between JSON and CSV. It responds with 406 where the client accepts
// only what the operation does not have.
func (t *routes) negotiate(w http.ResponseWriter, r *http.Request, op *huma.Operation) (*http.Request, bool) {
	table := op.Responses["200"].Content[csvMedia] != nil
	asked := ""
	if strings.Contains(r.URL.RawQuery, formatParameter) {
		asked = r.URL.Query().Get(formatParameter)
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	switch {
	case table && (asked == "csv" || asked == "" && prefersCSV(accept)):
		return r.WithContext(context.WithValue(r.Context(), csvKey{}, true)), true
	case !table && (asked == "csv" || asked == "" && acceptsOnlyCSV(accept, op)):
		writeProblem(w, http.StatusNotAcceptable, "This response is no table and cannot be had as CSV, only as "+strings.Join(mediaTypes(op), ", ")+".")
		return r, false
	}
	return r, true
}

// mediaTypes lists the media types of an operation's response.
func mediaTypes(op *huma.Operation) (list []string) {
	for media := range op.Responses["200"].Content {
		list = append(list, media)
	}
	slices.Sort(list)
	return list
}

// qualities are the qualities by media type in an Accept header, 0 where one is invalid.
func qualities(accept string) map[string]float64 {
	all := map[string]float64{}
	for part := range strings.SplitSeq(accept, ",") {
		media, parameters, _ := strings.Cut(part, ";")
		quality := 1.0
		for parameter := range strings.SplitSeq(parameters, ";") {
			if text, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q="); ok {
				quality, _ = strconv.ParseFloat(text, 64)
			}
		}
		media = strings.ToLower(strings.TrimSpace(media))
		all[media] = max(all[media], quality)
	}
	return all
}

// prefersCSV reports whether the client prefers CSV to JSON. It must name CSV: wildcards
// are for JSON.
func prefersCSV(accept string) bool {
	if accept == "" {
		return false
	}
	all := qualities(accept)
	object, named := all[jsonMedia]
	if !named {
		object = max(all["*/*"], all["application/*"])
	}
	return all[csvMedia] > object || !named && all[csvMedia] > 0 && all[csvMedia] == object
}

// acceptsOnlyCSV reports whether the client asks for CSV and accepts nothing that the
// operation has.
func acceptsOnlyCSV(accept string, op *huma.Operation) bool {
	if accept == "" {
		return false
	}
	all := qualities(accept)
	if all[csvMedia] <= 0 || all["*/*"] > 0 {
		return false
	}
	for media := range op.Responses["200"].Content {
		kind, _, _ := strings.Cut(media, "/")
		if all[media] > 0 || all[kind+"/*"] > 0 {
			return false
		}
	}
	return true
}

// setCSVHeaders sets the headers of a table.
func setCSVHeaders(h http.Header, name string) {
	h.Set("Content-Type", csvMedia+"; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="sysotel-`+name+`.csv"`)
}

// writeTable writes a response as JSON, or its rows as CSV. Status is 0 for 200.
func writeTable(ctx huma.Context, name, rows string, status int, body reflect.Value) {
	_, w := humago.Unwrap(ctx)
	h := w.Header()
	h.Set("Vary", "Accept")
	buffered := bufio.NewWriterSize(w, 32<<10)
	var write func()
	if wantsCSV(ctx.Context()) {
		setCSVHeaders(h, name)
		write = func() { writeRows(buffered, rowsOf(body, rows)) }
	} else {
		h.Set("Content-Type", jsonMedia)
		write = func() { _ = jsonFormat.Marshal(buffered, body.Interface()) } // What the document describes can be encoded.
	}
	if status != 0 {
		w.WriteHeader(status)
	}
	write()
	_ = buffered.Flush() // The client may have disconnected.
}

// rowsOf is the list in a response that its table shows.
func rowsOf(body reflect.Value, name string) reflect.Value {
	body = reflect.Indirect(body)
	for _, c := range columnsOf(body.Type()) {
		if c.name == name {
			return body.FieldByIndex(c.index)
		}
	}
	panic(fmt.Sprintf("%s has no field %s", body.Type(), name))
}

// tableColumn is a field of the rows.
type tableColumn struct {
	name  string
	index []int
	// emptied fields are absent from the JSON if they are empty or zero.
	emptied bool
}

// columnsOf lists the fields of a type as in its JSON, so that the header row is the same
// whatever the data is.
func columnsOf(t reflect.Type) (list []tableColumn) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for _, inner := range columnsOf(f.Type) {
				inner.index = append(slices.Clone(f.Index), inner.index...)
				list = append(list, inner)
			}
		case f.IsExported() && name != "-":
			list = append(list, tableColumn{name, f.Index, strings.Contains(options, "omit")})
		}
	}
	return list
}

// writeRows writes a list of structs.
func writeRows(w *bufio.Writer, rows reflect.Value) {
	columns := columnsOf(rows.Type().Elem())
	line := make([]string, len(columns))
	for i, c := range columns {
		line[i] = c.name
	}
	table := csv.NewWriter(w)
	_ = table.Write(line)
	for i := range rows.Len() {
		for j, c := range columns {
			line[j] = cell(rows.Index(i).FieldByIndex(c.index), c.emptied)
		}
		if table.Write(line) != nil {
			return // The client has disconnected.
		}
	}
	table.Flush()
}

// cell is a value as in JSON, text without its quotes.
func cell(v reflect.Value, emptied bool) string {
	if emptied && (v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0) {
		return ""
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v.Interface()); err != nil {
		return "" // As in JSON, which cannot have it either.
	}
	text := strings.TrimSuffix(b.String(), "\n")
	switch {
	case text == "null":
		return ""
	case strings.HasPrefix(text, `"`):
		var s string
		_ = json.Unmarshal([]byte(text), &s) // It was encoded just now.
		return harmlessCell(s)
	}
	return text
}

// harmlessCell marks text that spreadsheets would treat as a formula with an apostrophe: a
// device name could otherwise make them fetch a page or run a command. Text that begins
// with an apostrophe gets one more, so that the original text can be told.
func harmlessCell(text string) string {
	// Some ignore leading spaces and accept full-width signs.
	first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(text, unicode.IsSpace))
	if strings.ContainsRune("'=+-@|%\uff1d\uff0b\uff0d\uff20", first) || text != "" && strings.ContainsRune("\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
