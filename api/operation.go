package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// operations has a method for each file of operations, such as
//
//	func (operations) Version(s *Server) { register(s, Operation{…}, handler) }
//
// The method is all it takes to add an operation: addOperations finds it.
type operations struct{}

// addOperations calls every method of operations, in the order of their names.
func (s *Server) addOperations() {
	methods := reflect.ValueOf(operations{})
	for i := range methods.NumMethod() {
		add, ok := reflect.TypeAssert[func(*Server)](methods.Method(i))
		if !ok {
			panic("the method " + methods.Type().Method(i).Name + " of operations must be a func(*Server)")
		}
		add(s)
	}
}

// Operation describes one operation of the API. The OpenAPI document, the access
// check and the limits are all derived from it.
type Operation struct {
	// ID names the operation in the document and in generated clients.
	ID string
	// Method and Path are those of HTTP; Path may have {parameters}.
	Method, Path string
	// Summary is one line, Description one or more paragraphs of plain text.
	Summary, Description string
	// Access is the required role and the cost of the operation.
	Access
	// Example is a response. Its type is the schema of the response if the handler
	// writes encoded bytes.
	Example any
	// Media is the media type of the response; empty is application/json.
	Media string
	// Table is the field of the response with the rows of the table that it is as CSV;
	// empty if there is none. A handler of pages that encodes the response itself also
	// writes the CSV.
	Table string
	// Failing: the same response with the status 503 says that all is not well.
	Failing bool
	// Errors are the error statuses beyond those that every operation has.
	Errors []int
}

// register adds an operation to the API. Every operation goes through register,
// every other page through routes.page: nothing else can reach the mux, because
// routes requires an Access.
func register[I, O any](s *Server, op Operation, handler func(context.Context, *I) (*O, error)) {
	if _, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		op.Errors = append(slices.Clone(op.Errors), http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	checked := errorsLogged(s, op, handler)
	body, ok := reflect.TypeFor[O]().FieldByName("Body")
	if op.Table == "" || !ok || body.Type.Kind() == reflect.Func {
		huma.Register(s.api, s.describe(op), checked)
		return
	}
	rowsOf(reflect.Zero(elementOf(body.Type)), op.Table) // Panics if there are none.
	huma.Register(s.api, s.describe(op), func(ctx context.Context, in *I) (*streamOutput, error) {
		out, err := checked(ctx, in)
		if err != nil {
			return nil, err
		}
		v, status := reflect.ValueOf(out).Elem(), 0
		if f := v.FieldByName("Status"); f.IsValid() {
			status = int(f.Int())
		}
		return &streamOutput{func(ctx huma.Context) { writeTable(ctx, op.ID, op.Table, status, v.FieldByName("Body")) }}, nil
	})
}

// elementOf is the type that t points to, or t.
func elementOf(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

// errorsLogged is a handler whose internal errors are logged.
func errorsLogged[I, O any](s *Server, op Operation, handler func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err == nil {
			return out, nil
		}
		if known := huma.StatusError(nil); errors.As(err, &known) {
			return nil, err
		}
		// Internal errors are only logged: they may contain file names and secrets.
		s.log.ErrorContext(ctx, "operation failed", "operation", op.ID, "err", err)
		return nil, problem(http.StatusInternalServerError, internalError)
	}
}

// accessKey is the metadata key by which describe passes an operation's Access to routes.
const accessKey = "access"

// meanings are the descriptions of the error statuses in the document.
var meanings = map[int]string{
	http.StatusUnauthorized:          "Not logged in, or the token or password is wrong or has expired. WWW-Authenticate lists the accepted schemes.",
	http.StatusForbidden:             "The Host or Origin of the request is not allowed, or the caller's role is insufficient.",
	http.StatusBadRequest:            "The body is missing or is not JSON.",
	http.StatusRequestTimeout:        "The body took too long.",
	http.StatusRequestEntityTooLarge: "The body is too large; detail says what is allowed.",
	http.StatusUnsupportedMediaType:  "The body must be application/json.",
	http.StatusNotAcceptable:         "The response cannot be had in the format that was asked for.",
	http.StatusNotFound:              "There is no data for that time, or no object with that ID or name.",
	http.StatusConflict:              "The request conflicts with the current state; see detail.",
	http.StatusTooManyRequests:       "Too many requests; Retry-After gives the seconds to wait.",
	http.StatusUnprocessableEntity:   "A parameter or the body is invalid; errors lists what is wrong and what is allowed.",
	http.StatusInternalServerError:   internalError,
	http.StatusServiceUnavailable:    "Temporarily unavailable; Retry-After, if present, gives the seconds to wait.",
}

// describe converts an operation for Huma.
func (s *Server) describe(op Operation) huma.Operation {
	media := op.Media
	if media == "" {
		media = jsonMedia
	}
	response := &huma.MediaType{Example: op.Example}
	if op.Example != nil {
		response.Schema = s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(op.Example), true, op.ID)
	}
	described := huma.Operation{
		OperationID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description,
		Tags:       []string{groupOf(op.Path)},
		Security:   security(op.Access),
		Errors:     append([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotAcceptable, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusInternalServerError}, op.Errors...),
		Metadata:   map[string]any{accessKey: op.Access},
		Extensions: map[string]any{"x-sysotel-role": op.Role.String(), "x-sysotel-cost": op.Cost.String()},
		Responses: map[string]*huma.Response{
			"200": {Description: "Success.", Content: map[string]*huma.MediaType{media: response}},
		},
	}
	if op.Table != "" {
		described.Responses["200"].Content[csvMedia] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: csvDescription(op.Table)}}
		described.Parameters = []*huma.Param{newFormatParameter()}
	}
	if op.Failing {
		described.Responses["503"] = &huma.Response{Description: "The same response where a component has failed.", Content: described.Responses["200"].Content}
	}
	if op.Concurrent > 0 {
		described.Extensions["x-sysotel-concurrent"] = op.Concurrent
	}
	if op.Guarded {
		described.Extensions["x-sysotel-guarded"] = true
	}
	return described
}

// Route is one method and path with its access rules.
type Route struct {
	Method, Path string
	Access       Access
}

// routes is the only access to the mux. It is Huma's adapter; pages that are not
// operations are added with page.
type routes struct {
	mux      *http.ServeMux
	list     []Route
	registry huma.Registry
	// hint ends the message of status 404.
	hint string
	// authorize reports whether a request has the required access; if not, it has
	// already responded.
	authorize func(http.ResponseWriter, *http.Request, Access) bool
	// rates limits the requests of each client; nil does not.
	rates *rates
	// proxies are trusted to report the client.
	proxies proxies
}

var _ huma.Adapter = (*routes)(nil)

// Handle implements huma.Adapter.
func (t *routes) Handle(op *huma.Operation, handler func(huma.Context)) {
	access, ok := op.Metadata[accessKey].(Access)
	if !ok {
		panic(fmt.Sprintf("operation %s %s was not added by register", op.Method, op.Path))
	}
	for status, response := range op.Responses {
		if code, _ := strconv.Atoi(status); meanings[code] != "" && (response.Description == "" || response.Description == http.StatusText(code)) {
			response.Description = meanings[code]
		}
	}
	t.page(op.Method, op.Path, access, func(w http.ResponseWriter, r *http.Request) {
		r, ok := t.negotiate(w, r, op)
		if !ok {
			return
		}
		if invalid := t.checkQuery(r.URL.RawQuery, op.Parameters); len(invalid) > 0 {
			writeProblem(w, http.StatusUnprocessableEntity, invalidQuery, invalid...)
			return
		}
		handler(humago.NewContext(op, r, w))
	})
}

// ServeHTTP implements huma.Adapter.
func (t *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.mux.ServeHTTP(w, r) }

// page adds a handler with its access rules. It panics if others than administrators
// could call what is not a GET, unless its Access says why they may.
func (t *routes) page(method, path string, access Access, handler http.HandlerFunc) {
	if method != http.MethodGet && access.Role < Admin && access.Harmless == "" {
		panic(fmt.Sprintf("%s %s must be for administrators, or its Access must say why it is Harmless", method, path))
	}
	t.list = append(t.list, Route{method, path, access})
	t.mux.HandleFunc(method+" "+path, t.rates.limit(access.Cost, t.guard(access, handler)))
}

// guard checks the access rules before a handler runs.
func (t *routes) guard(a Access, next http.HandlerFunc) http.HandlerFunc {
	var running atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if !t.authorize(w, r, a) {
			return
		}
		if a.Concurrent > 0 {
			defer running.Add(-1)
			if running.Add(1) > int64(a.Concurrent) {
				w.Header().Set("Retry-After", "10")
				writeProblem(w, http.StatusServiceUnavailable,
					fmt.Sprintf("At most %d of these requests are served at once; close one or try again later.", a.Concurrent))
				return
			}
		}
		if a.Cost == Stream {
			defer markStream(r.Context())()
		}
		if a.Cost == Query {
			r = t.proxies.named(r)
		}
		next(w, r)
	}
}

// checkQuery returns an error for each query parameter that is unknown, repeated,
// or not what its schema allows.
func (t *routes) checkQuery(raw string, known []*huma.Param) []error {
	if raw == "" {
		return nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return []error{invalidValue("query", raw, "must be name=value pairs joined by &, with other characters percent-encoded as %XX")}
	}
	var found []error
	for _, name := range slices.Sorted(maps.Keys(query)) {
		values := query[name]
		i := slices.IndexFunc(known, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
		switch {
		case i < 0:
			found = append(found, invalidValue("query."+echo(name), values[0], "is not a parameter of this operation; "+listParameters(known)))
		case len(values) > 1 && known[i].Schema.Type != huma.TypeArray:
			found = append(found, invalidValue("query."+name, strings.Join(values, ", "), "must be given only once"))
		case known[i].Schema.Type == huma.TypeArray && slices.Contains(values, ""):
			found = append(found, invalidValue("query."+name, "", "must not be empty; "+known[i].Description))
		case !t.valid(known[i].Schema, values[0]):
			found = append(found, invalidValue("query."+name, values[0], "must be "+rule(known[i].Schema)))
		}
	}
	return found
}

// listParameters lists the query parameters of an operation.
func listParameters(known []*huma.Param) string {
	var names []string
	for _, p := range known {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "it has none"
	}
	slices.Sort(names)
	return "it has " + strings.Join(names, ", ")
}

// valid reports whether the text of a parameter matches its schema.
func (t *routes) valid(schema *huma.Schema, text string) bool {
	var value any = text
	switch schema.Type {
	case huma.TypeInteger:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return false
		}
		value = int(n)
	case huma.TypeNumber:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return false
		}
		value = n
	case huma.TypeBoolean:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return false
		}
		value = b
	case huma.TypeArray:
		return true // Huma splits and checks lists itself.
	}
	result := &huma.ValidateResult{}
	huma.Validate(t.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, result)
	return len(result.Errors) == 0
}

// rule describes what the schema of a parameter allows.
func rule(s *huma.Schema) string {
	var words string
	switch s.Type {
	case huma.TypeInteger:
		words = "a whole number"
	case huma.TypeNumber:
		words = "a number"
	case huma.TypeBoolean:
		words = "true or false"
	case huma.TypeArray:
		words = "text, repeatable"
	default:
		words = "text"
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	switch {
	case len(s.Enum) > 0:
		var words []string
		for _, v := range s.Enum {
			words = append(words, fmt.Sprint(v))
		}
		return "one of " + strings.Join(words, ", ")
	case s.Minimum != nil && s.Maximum != nil:
		words += " from " + number(*s.Minimum) + " to " + number(*s.Maximum)
	case s.Minimum != nil:
		words += " of at least " + number(*s.Minimum)
	case s.Maximum != nil:
		words += " of at most " + number(*s.Maximum)
	case s.MaxLength != nil:
		words += fmt.Sprintf(" of at most %d characters", *s.MaxLength)
	}
	return words
}

// accessOf is the access rules of the route that answers a request, zero without one.
func (t *routes) accessOf(r *http.Request) Access {
	_, pattern := t.mux.Handler(r)
	method, path, _ := strings.Cut(pattern, " ")
	i := slices.IndexFunc(t.list, func(route Route) bool { return route.Method == method && route.Path == path })
	if i < 0 {
		return Access{}
	}
	return t.list[i].Access
}

// notFound responds for unknown routes: 405 if another method exists, else 404.
func (t *routes) notFound(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := t.mux.Handler(probe); pattern != "" && pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		writeProblem(w, http.StatusNotFound, "There is nothing at "+echo(r.URL.Path)+"; "+t.hint)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeProblem(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s supports %s, not %s.", echo(r.URL.Path), strings.Join(allowed, " and "), echo(r.Method)))
}
