package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // The page's template and style.
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// The documentation page is generated from the OpenAPI document. It uses no scripts and nothing from other servers.
var (
	//go:embed docs.html
	docsTemplate string
	//go:embed docs.css
	docsStyle []byte
)

const (
	docsStylePath = "/docs/style.css"
	docsPolicy    = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// docsLoginPolicy also allows the script that shows the logged-in user.
	docsLoginPolicy = "script-src 'self'; connect-src 'self'; " + docsPolicy
)

// docsPage is the data of the template.
type docsPage struct {
	Title, Version, Agent, Hostname string
	Introduction                    []template.HTML
	// Root goes before the paths of links, Base before those of examples.
	Root, Style, Base string
	Groups            []docsGroup
	Problem           template.HTML
	Metrics, Login    bool
	Guides            []guide
}

// docsGroup has the operations of one tag of the document.
type docsGroup struct {
	Name, Description string
	Operations        []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary string
	Short                     string // Path without the common prefix.
	Role, Cost                string
	Description               []template.HTML
	Parameters                []docsField
	Fields                    []docsField
	Media                     string
	Curl                      string
	Try                       string // URL that a browser can open, empty if there is none.
	Example                   template.HTML
	Errors                    []docsError
}

// docsField is a parameter, or a field of a response with its nested fields.
type docsField struct {
	Parent, Name, Type string
	Help               template.HTML
	Default            string
	Fields             []docsField
	// Inside counts the nested fields at every depth.
	Inside int
	// Folded hides the nested fields until they are opened.
	Folded bool
}

type docsError struct {
	Status, Text string
	Help         string
}

// renderDocs renders the page.
func (s *Server) renderDocs() ([]byte, error) {
	document := s.api.OpenAPI()
	sum := sha256.Sum256(docsStyle)
	page := docsPage{
		Title: document.Info.Title, Version: document.Info.Version,
		Agent: s.options.Version, Hostname: s.options.Hostname,
		Introduction: paragraphs(document.Info.Description),
		Root:         s.base(),
		Style:        s.base() + docsStylePath + "?v=" + hex.EncodeToString(sum[:6]),
		Base:         s.baseURL(), Metrics: s.options.MetricsPage != nil, Login: s.options.Authenticate,
		Guides: guides,
	}
	for _, tag := range document.Tags {
		page.Groups = append(page.Groups, docsGroup{Name: tag.Name, Description: tag.Description})
	}
	for _, route := range s.routes.list {
		op := operationAt(document, route)
		if op == nil {
			continue // A page, not an operation.
		}
		at := slices.IndexFunc(page.Groups, func(g docsGroup) bool { return slices.Contains(op.Tags, g.Name) })
		described, err := s.describeForPeople(op, route)
		if err != nil {
			return nil, fmt.Errorf("document %s: %w", op.OperationID, err)
		}
		page.Groups[at].Operations = append(page.Groups[at].Operations, described) // Each has a tag of the document.
	}
	for _, g := range page.Groups {
		slices.SortStableFunc(g.Operations, compareOperations)
	}
	example, err := indented(problem(http.StatusUnprocessableEntity, invalidQuery,
		invalidValue("query.top", "0", "must be a whole number from 1 to 1000")))
	if err != nil {
		return nil, err
	}
	page.Problem = colour(compact(example))
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, page); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// compareOperations is the order of a group: the newest reading, which most clients want,
// then the rest by path.
func compareOperations(a, b docsOperation) int {
	rank := func(o docsOperation) int {
		if o.Short == "metrics/current" {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Path, b.Path))
}

// base is the base path of the server, see below.
func (s *Server) base() string { return s.options.Config.BasePath() }

// baseURL is the URL of the server in examples and links. For an unspecified listen
// address it uses the host name.
func (s *Server) baseURL() string {
	if s.options.Config.ExternalURL != "" {
		return s.options.Config.PublicURL()
	}
	host, port, err := net.SplitHostPort(s.options.Config.Listen)
	if addr := s.Addr(); port == "0" && addr != nil {
		_, port, err = net.SplitHostPort(addr.String())
	}
	if err != nil || host == "" || host == "0.0.0.0" || host == "::" {
		host = cmp.Or(s.options.Hostname, "localhost")
	}
	scheme := "http://"
	if s.options.TLS.on() {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port)
}

// operationAt finds a route's operation in the document.
func operationAt(document *huma.OpenAPI, route Route) *huma.Operation {
	item := document.Paths[route.Path]
	if item == nil {
		return nil
	}
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[route.Method]
}

func (s *Server) describeForPeople(op *huma.Operation, route Route) (docsOperation, error) {
	d := docsOperation{
		ID: op.OperationID, Method: route.Method, Path: route.Path, Summary: op.Summary,
		Short: strings.TrimPrefix(route.Path, "/api/v1/"), Role: route.Access.Role.String(), Cost: route.Access.Cost.String(),
		Description: paragraphs(op.Description),
	}
	query := url.Values{}
	for _, p := range op.Parameters {
		field := docsField{Name: p.Name, Type: rule(p.Schema), Help: inline(p.Description)}
		if p.Schema.Default != nil {
			field.Default = fmt.Sprint(p.Schema.Default)
		}
		if len(p.Schema.Examples) > 0 {
			query.Set(p.Name, fmt.Sprint(p.Schema.Examples[0]))
		}
		d.Parameters = append(d.Parameters, field)
	}
	d.Curl = curl(route, s.baseURL(), query, s.bodyExample(op))
	if route.Method == http.MethodGet && !strings.Contains(route.Path, "{") {
		d.Try = s.base() + strings.TrimSuffix(route.Path+"?"+query.Encode(), "?")
	}
	for media, content := range op.Responses["200"].Content {
		if content.Example == nil {
			continue // Another format of the same response.
		}
		d.Media = media
		if text, ok := content.Example.(string); ok {
			d.Example = template.HTML(template.HTMLEscapeString(strings.TrimSpace(text))) //nolint:gosec // Escaped.
			continue
		}
		text, err := indented(content.Example)
		if err != nil {
			return d, err
		}
		d.Example = colour(compact(text))
		order, err := keyOrder(text)
		if err != nil {
			return d, err
		}
		d.Fields = s.fields(content.Schema, "", order)
	}
	for status, response := range op.Responses {
		if status != "200" {
			var code int
			_, _ = fmt.Sscan(status, &code)
			d.Errors = append(d.Errors, docsError{Status: status, Text: http.StatusText(code), Help: response.Description})
		}
	}
	slices.SortFunc(d.Errors, func(a, b docsError) int { return strings.Compare(a.Status, b.Status) })
	return d, nil
}

// curl is the command of the example.
func curl(route Route, base string, query url.Values, body string) string {
	words, address := "curl ", base+route.Path
	if route.Access.Cost == Stream {
		words += "-N "
	}
	if route.Method != http.MethodGet {
		words += "-X " + route.Method + " "
	}
	if body != "" {
		words += "--json '" + body + "' "
	}
	if len(query) > 0 {
		return words + "'" + address + "?" + query.Encode() + "'"
	}
	return words + address
}

// bodyExample is a request body made of the examples of its fields, "" if there are none.
func (s *Server) bodyExample(op *huma.Operation) string {
	if op.RequestBody == nil {
		return ""
	}
	schema := op.RequestBody.Content["application/json"].Schema
	if schema.Ref != "" {
		schema = s.routes.registry.SchemaFromRef(schema.Ref)
	}
	body := map[string]any{}
	for name, property := range schema.Properties {
		if len(property.Examples) > 0 {
			body[name] = property.Examples[0]
		}
	}
	b, err := json.Marshal(body)
	if err != nil || len(body) == 0 {
		return ""
	}
	return string(b)
}

// fields lists the fields of a schema with their nested fields.
func (s *Server) fields(schema *huma.Schema, parent string, order map[string]int) []docsField {
	if schema.Ref != "" {
		schema = s.routes.registry.SchemaFromRef(schema.Ref)
	}
	// In the order of the example.
	names := slices.SortedFunc(maps.Keys(schema.Properties), func(a, b string) int {
		return cmp.Or(cmp.Compare(order[parent+a], order[parent+b]), strings.Compare(a, b))
	})
	list := make([]docsField, 0, len(names))
	for _, name := range names {
		property := schema.Properties[name]
		kind, below, inside := s.kind(property)
		field := docsField{Parent: parent, Name: name, Type: kind, Help: inline(property.Description)}
		if below != nil {
			field.Fields = s.fields(below, parent+name+inside+".", order)
			for _, f := range field.Fields {
				field.Inside += 1 + f.Inside
			}
			field.Folded = parent == "" && field.Inside > 4
		}
		list = append(list, field)
	}
	return list
}

// kind is the type of a property in words, and the schema of its nested fields.
func (s *Server) kind(p *huma.Schema) (words string, below *huma.Schema, inside string) {
	if p.Ref != "" {
		p = s.routes.registry.SchemaFromRef(p.Ref)
	}
	switch {
	case p.Type == huma.TypeArray:
		item, below, _ := s.kind(p.Items)
		return "list of " + strings.TrimSuffix(item, " or null") + "s" + orNull(p), below, "[]"
	case p.Type == huma.TypeObject && len(p.Properties) > 0:
		return "object", p, ""
	case p.Format == "date-time":
		return "time", nil, ""
	case len(p.Enum) == 1:
		return fmt.Sprint("always ", p.Enum[0]), nil, ""
	case len(p.Enum) > 0:
		return rule(p), nil, ""
	}
	return p.Type + orNull(p), nil, ""
}

func orNull(p *huma.Schema) string {
	if p.Nullable {
		return " or null"
	}
	return ""
}

// keyOrder numbers the paths of a JSON text, such as disk.devices[].name, by their first occurrence.
func keyOrder(text string) (map[string]int, error) {
	order := map[string]int{}
	decoder := json.NewDecoder(strings.NewReader(text))
	var walk func(path string) error
	walk = func(path string) error {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'):
			for decoder.More() {
				key, err := decoder.Token()
				if err != nil {
					return err
				}
				at := path + key.(string)
				if _, ok := order[at]; !ok {
					order[at] = len(order) + 1
				}
				if err := walk(at + "."); err != nil {
					return err
				}
			}
		case json.Delim('['):
			for decoder.More() {
				if err := walk(strings.TrimSuffix(path, ".") + "[]."); err != nil {
					return err
				}
			}
		default:
			return nil
		}
		_, err = decoder.Token()
		return err
	}
	return order, walk("")
}

// paragraphs splits a text at its empty lines.
func paragraphs(text string) []template.HTML {
	var all []template.HTML
	for part := range strings.SplitSeq(text, "\n\n") {
		if part != "" {
			all = append(all, inline(part))
		}
	}
	return all
}

var code = regexp.MustCompile("`([^`]+)`")

// inline converts a text with `code` to HTML.
func inline(text string) template.HTML {
	return template.HTML(code.ReplaceAllString(template.HTMLEscapeString(text), "<code>$1</code>")) //nolint:gosec // Escaped first.
}

// innermost matches a list or an object without nested ones, with the start of its
// line.
var innermost = regexp.MustCompile(`(?m)^( *(?:"[^"]*": )?[\[{])\s+([^\[\]{}]*?)\s+([\]}])`)

// compact puts lists and objects on one line if they fit the column of the page.
func compact(text string) string {
	const column = 54
	return innermost.ReplaceAllStringFunc(text, func(part string) string {
		m := innermost.FindStringSubmatch(part)
		line := m[1] + strings.Join(strings.Fields(m[2]), " ") + m[3]
		if len(line) > column {
			return part
		}
		return line
	})
}

var tokens = regexp.MustCompile(`("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*)|\b(true|false|null)\b`)

// colour marks the tokens of a JSON text for the style sheet.
func colour(text string) template.HTML {
	var b strings.Builder
	end := 0
	span := func(class, word string) {
		b.WriteString(`<span class="` + class + `">` + template.HTMLEscapeString(word) + `</span>`)
	}
	for _, m := range tokens.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(template.HTMLEscapeString(text[end:m[0]]))
		end = m[1]
		switch {
		case m[4] >= 0:
			span("k", text[m[2]:m[3]])
			b.WriteString(text[m[4]:m[5]])
		case m[2] >= 0:
			span("s", text[m[2]:m[3]])
		case m[6] >= 0:
			span("n", text[m[6]:m[7]])
		default:
			span("w", text[m[8]:m[9]])
		}
	}
	b.WriteString(template.HTMLEscapeString(text[end:]))
	return template.HTML(b.String()) //nolint:gosec // Every part was escaped.
}
