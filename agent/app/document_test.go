package app

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSoakDocument follows the OpenAPI document: it sends every operation with valid and
// invalid parameters, bodies and headers, and compares each response with what the document
// says. There is no status, media type or body that it does not describe, and none is an
// internal error. A JSON Schema library other than the server's decides.
func TestSoakDocument(t *testing.T) {
	length := time.Duration(0) // One round.
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		length = soakLength(t) / 2
	}
	for name, flags := range map[string][]string{
		"everything": nil,
		"no history": {"--store.backend=none"},
	} {
		t.Run(name, func(t *testing.T) {
			a := run(t, configure(t, append(flags, "--rate-limit.enabled=false", "--rate-limit.logins=100")...))
			a.ticks(2)
			f := newFollower(t, a)
			deadline := time.Now().Add(length)
			for round := 0; round == 0 || time.Now().Before(deadline); round++ {
				for i := range f.operations {
					f.follow(&f.operations[i])
				}
			}
			for _, what := range slices.Sorted(maps.Keys(f.found)) {
				t.Errorf("%s\n  such as %s", what, f.found[what])
			}
			if log := a.journal.String(); strings.Contains(log, `"panic"`) || strings.Contains(log, "operation failed") {
				t.Errorf("requests broke something, see the log")
			}
			t.Logf("%d requests; by status %v; %d bodies were valid by their schema", f.sent, f.statuses, f.valid)
		})
	}
}

// follower follows a document.
type follower struct {
	*agent
	random     *rand.Rand
	document   map[string]any
	compiler   *jsonschema.Compiler
	compiled   map[string]*jsonschema.Schema
	operations []followedOperation
	// found are the differences, with the first request that showed each.
	found    map[string]string
	sent     int
	valid    int
	statuses map[int]int
	dir      string
}

type followedOperation struct {
	method, path string
	op           map[string]any
}

// documentURL is the name by which schemas refer to the document.
const documentURL = "http://sysotel.invalid/openapi.json"

func newFollower(t *testing.T, a *agent) *follower {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("the seed is %d", seed)
	f := &follower{
		agent: a, random: rand.New(rand.NewPCG(seed, 0)), compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{},
		found: map[string]string{}, statuses: map[int]int{}, dir: t.TempDir(),
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(get(t, a.socket, "/openapi.json")))
	if err != nil {
		t.Fatal(err)
	}
	f.document = document.(map[string]any)
	f.compiler.AssertFormat()
	if err := f.compiler.AddResource(documentURL, document); err != nil {
		t.Fatal(err)
	}
	for path, item := range f.document["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			f.operations = append(f.operations, followedOperation{strings.ToUpper(method), path, op.(map[string]any)})
		}
	}
	slices.SortFunc(f.operations, func(x, y followedOperation) int {
		return cmp.Or(cmp.Compare(x.path, y.path), cmp.Compare(x.method, y.method))
	})
	if len(f.operations) < 35 {
		t.Fatalf("the document has %d operations", len(f.operations))
	}
	return f
}

// schema compiles a schema of the document; the schemas of responses are references.
func (f *follower) schema(of any) *jsonschema.Schema {
	f.tb.Helper()
	ref, _ := dig(of, "$ref").(string)
	if ref == "" {
		return nil // Text.
	}
	if f.compiled[ref] == nil {
		compiled, err := f.compiler.Compile(documentURL + ref)
		if err != nil {
			f.tb.Fatalf("%s is no schema: %v", ref, err)
		}
		f.compiled[ref] = compiled
	}
	return f.compiled[ref]
}

// follow sends an operation in several forms.
func (f *follower) follow(o *followedOperation) {
	parameters, _ := o.op["parameters"].([]any)
	send := func(mutate bool) {
		query, path := url.Values{}, o.path
		for _, p := range parameters {
			name, _ := dig(p, "name").(string)
			value := f.parameter(p, mutate && f.random.IntN(3) == 0)
			switch {
			case dig(p, "in") == "path":
				path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(cmp.Or(value, "x")))
			case f.random.IntN(3) == 0:
				query.Add(name, value)
			}
		}
		if mutate && f.random.IntN(8) == 0 {
			query.Set([]string{"colour", "start", "format", "%00", "Top"}[f.random.IntN(5)], "x")
		}
		header := http.Header{}
		if f.random.IntN(4) == 0 {
			header.Set("Accept", []string{"*/*", "application/json", "text/csv", "text/csv, */*;q=0.5", "text/html", ";q=,", "application/problem+json", "text/event-stream"}[f.random.IntN(8)])
		}
		f.send(o, path, query, header, f.body(o, mutate, header))
	}
	send(false)
	send(false)
	for range 6 {
		send(true)
	}
}

// texts are values that are wrong for most parameters.
var hostileTexts = []string{"", " ", "x", "-1", "0", "1e309", "NaN", "null", "true", "\x00", "\xff", "%", "'; --", "<script>", "../../etc/passwd", "é‮", "9223372036854775808", "2026-02-30T00:00:00Z", "-99999d", strings.Repeat("a", 300), "{}", "[1]", "a,b,c"}

// parameter makes a value of a parameter, valid unless mutated.
func (f *follower) parameter(p any, mutate bool) string {
	if mutate {
		return hostileTexts[f.random.IntN(len(hostileTexts))]
	}
	s := dig(p, "schema")
	if items := dig(s, "items"); items != nil {
		s = items
	}
	if enum, ok := dig(s, "enum").([]any); ok {
		return fmt.Sprint(enum[f.random.IntN(len(enum))])
	}
	name, _ := dig(p, "name").(string)
	if dig(s, "type") == "integer" {
		from, _ := strconv.Atoi(fmt.Sprint(dig(s, "minimum")))
		to, err := strconv.Atoi(fmt.Sprint(dig(s, "maximum")))
		if err != nil {
			to = from + 1000
		}
		return strconv.Itoa(from + f.random.IntN(to-from+1))
	}
	known := map[string][]string{
		"start": {"-1h", "-10s", "-7d", "2020-01-01T00:00:00Z"}, "end": {"now", "-1s"}, "at": {"-1s", "-5s", "now", "-1h"},
		"step": {"1s", "30s", "5"}, "agg": {"avg", "min", "max"}, "metric": {"cpu_usage_total", "memory_percent", "disk_percent", "net_bytes_sent"},
		"q": {"a", "1"}, "core": {"cpu0"}, "interface": {"lo"}, "device": {"sda"}, "mountpoint": {"/"},
		"name": {"log", "ProcessorsBusy", "HighCPUUsage", "absent", "x/y"}, "id": {"x", "01JM3ZC8V5T1"}, "rule": {"ProcessorsBusy"}, "host": {"absent"}, "cursor": {"1.1"},
	}[name]
	if len(known) == 0 {
		return "x"
	}
	return known[f.random.IntN(len(known))]
}

// body makes a body: nil for none.
func (f *follower) body(o *followedOperation, mutate bool, header http.Header) []byte {
	schema := dig(o.op, "requestBody", "content", "application/json", "schema")
	if schema == nil {
		return nil
	}
	header.Set("Content-Type", "application/json")
	if mutate {
		switch f.random.IntN(10) {
		case 0:
			return nil
		case 1:
			return []byte([]string{"{", "", "null", "[]", `"x"`, "{}", "{\"a\":}", "\xff\xfe", `{"name":"x","name":"y"}`}[f.random.IntN(9)])
		case 2:
			header.Set("Content-Type", []string{"text/plain", "application/xml", "application/x-www-form-urlencoded", "x"}[f.random.IntN(4)])
		}
	}
	value := f.value(schema, mutate, 0)
	if object, ok := value.(map[string]any); ok && o.path == "/api/v1/backup" {
		object["directory"] = []any{filepath.Join(f.dir, strconv.Itoa(f.random.IntN(3))), 1, nil, "relative", ""}[f.random.IntN(5)]
	}
	b, err := json.Marshal(value)
	if err != nil {
		f.tb.Fatal(err)
	}
	return b
}

// value makes a value of a schema, valid unless mutated.
func (f *follower) value(schema any, mutate bool, depth int) any {
	if ref, ok := dig(schema, "$ref").(string); ok {
		schema = dig(f.document, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	if mutate && f.random.IntN(6) == 0 && depth > 0 {
		return []any{nil, true, -1, 1e300, 1.5, "", "x", hostileTexts[f.random.IntN(len(hostileTexts))], []any{}, []any{nil}, map[string]any{}, map[string]any{"x": nil}}[f.random.IntN(12)]
	}
	if enum, ok := dig(schema, "enum").([]any); ok {
		return enum[f.random.IntN(len(enum))]
	}
	kind := fmt.Sprint(dig(schema, "type"))
	examples, _ := dig(schema, "examples").([]any)
	switch {
	case strings.Contains(kind, "object") && dig(schema, "properties") != nil:
		object := map[string]any{}
		required, _ := dig(schema, "required").([]any)
		for name, property := range dig(schema, "properties").(map[string]any) {
			if slices.Contains(required, any(name)) && !(mutate && f.random.IntN(10) == 0) || f.random.IntN(3) == 0 {
				object[name] = f.value(property, mutate, depth+1)
			}
		}
		if mutate && f.random.IntN(10) == 0 {
			object["unknown"] = 1
		}
		return object
	case len(examples) > 0 && f.random.IntN(2) == 0:
		return examples[0]
	case strings.Contains(kind, "object"):
		return map[string]any{"a": "b"}
	case strings.Contains(kind, "array"):
		list := []any{}
		for range 1 + f.random.IntN(2) {
			list = append(list, f.value(dig(schema, "items"), mutate, depth+1))
		}
		return list
	case strings.Contains(kind, "integer"):
		return 1 + f.random.IntN(100)
	case strings.Contains(kind, "number"):
		return f.random.Float64() * 100
	case strings.Contains(kind, "boolean"):
		return f.random.IntN(2) == 0
	case dig(schema, "format") == "date-time":
		return time.Now().Add(time.Duration(f.random.IntN(3600)) * time.Second).UTC().Format(time.RFC3339)
	case len(examples) > 0:
		return examples[0]
	}
	return "text " + strconv.Itoa(f.random.IntN(1000))
}

// send sends a request and compares the response with the document.
func (f *follower) send(o *followedOperation, path string, query url.Values, header http.Header, body []byte) {
	target := "http://localhost" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(f.tb.Context(), o.method, target, bytes.NewReader(body))
	if err != nil {
		f.tb.Fatal(err)
	}
	request.Header = header
	said := fmt.Sprintf("%s %s %v %s", o.method, strings.TrimPrefix(target, "http://localhost"), header, body)
	response, err := f.socket.Do(request)
	if err != nil {
		f.note(o, "no response", said+": "+err.Error())
		return
	}
	defer func() { _ = response.Body.Close() }()
	f.sent++
	f.statuses[response.StatusCode]++
	media, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	var text []byte
	if media != "text/event-stream" { // Which does not end.
		text, err = io.ReadAll(response.Body)
	}
	if err != nil {
		f.note(o, "an unfinished response", said+": "+err.Error())
		return
	}
	said += fmt.Sprintf(" gave %d %s %.500s", response.StatusCode, media, text)
	if response.StatusCode == http.StatusInternalServerError {
		f.note(o, "an internal error", said)
	}
	described, ok := dig(o.op, "responses", strconv.Itoa(response.StatusCode)).(map[string]any)
	if !ok {
		f.note(o, fmt.Sprintf("the status %d, which is not in the document", response.StatusCode), said)
		return
	}
	content, ok := dig(described, "content", media).(map[string]any)
	if !ok {
		f.note(o, fmt.Sprintf("the media type %q with the status %d, which is not in the document", media, response.StatusCode), said)
		return
	}
	switch {
	case media == "text/csv":
		if lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll(); err != nil || len(lines) == 0 {
			f.note(o, "CSV that cannot be read", fmt.Sprintf("%s: %v", said, err))
		}
	case strings.HasSuffix(media, "json"):
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			f.note(o, "what is not JSON", said)
			return
		}
		schema := f.schema(content["schema"])
		if schema == nil {
			f.note(o, "JSON without a schema", said)
			return
		}
		if err := schema.Validate(value); err != nil {
			f.note(o, fmt.Sprintf("a body that its schema refuses with the status %d: %v", response.StatusCode, err), said)
			return
		}
		f.valid++
	}
}

// note keeps a difference with its first request.
func (f *follower) note(o *followedOperation, what, said string) {
	what = fmt.Sprintf("%s %s gives %s", o.method, o.path, what)
	if _, ok := f.found[what]; !ok && len(f.found) < 100 {
		f.found[what] = said
	}
}
