package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sysotel/agent/secret"
	"sysotel/instruments/sanitize"
)

// openTelemetryPrefix begins the names of the standard variables.
const openTelemetryPrefix = "OTEL_"

// standardVariable is a variable of the OpenTelemetry specification.
type standardVariable struct {
	// name is X in OTEL_EXPORTER_OTLP_X for all signals and OTEL_EXPORTER_OTLP_METRICS_X,
	// which wins, for metrics; a whole name begins with OTEL_.
	name string
	// path is the option that it sets.
	path string
	// note is what else its help says.
	note string
	set  func(l *loader, path, name string)
}

// standardVariables lists those that do something, in the order in which they are applied.
// All others in the environment are named in one warning.
func standardVariables() []standardVariable {
	return []standardVariable{
		{"ENDPOINT", "otlp.endpoint", "without http:// or https:// as INSECURE says; a path is ignored", (*loader).assignEndpoint},
		{"INSECURE", "otlp.endpoint", "true for no TLS, for an endpoint without http:// or https://", nil},
		{"PROTOCOL", "", "must be grpc, for the push knows no other", nil},
		{"HEADERS", "otlp.headers", "", (*loader).assignVariable},
		{"CERTIFICATE", "otlp.tls.ca", "", (*loader).assignVariable},
		{"CLIENT_CERTIFICATE", "otlp.tls.cert", "", (*loader).assignVariable},
		{"CLIENT_KEY", "otlp.tls.key", "", (*loader).assignVariable},
		{"COMPRESSION", "otlp.compression", "", (*loader).assignLenient},
		{"TIMEOUT", "otlp.timeout", "in milliseconds", (*loader).assignMilliseconds},
		{"OTEL_METRIC_EXPORT_INTERVAL", "otlp.interval", "in milliseconds", (*loader).assignMilliseconds},
		{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "otlp.temporality", "cumulative, delta or lowmemory", (*loader).assignTemporality},
		{"OTEL_RESOURCE_ATTRIBUTES", "resource.attributes", "service.name and host.name in it set those options", (*loader).assignResource},
		{"OTEL_SERVICE_NAME", "resource.service_name", "", (*loader).assignVariable},
		{"OTEL_METRICS_EXPORTER", "", "nothing is pushed if it is set and otlp is not in this list", nil},
		{"OTEL_SDK_DISABLED", "", "with true nothing is pushed", nil},
	}
}

// names returns the variables' full names, the one that wins first.
func (v standardVariable) names() []string {
	if strings.HasPrefix(v.name, openTelemetryPrefix) {
		return []string{v.name}
	}
	return []string{"OTEL_EXPORTER_OTLP_METRICS_" + v.name, "OTEL_EXPORTER_OTLP_" + v.name}
}

// standard returns the name and the value of a standard variable, "" for none.
func (l *loader) standard(v standardVariable) (name, value string) {
	for _, name := range v.names() {
		if value := l.environment[name]; value != "" {
			return name, value
		}
	}
	return "", ""
}

// loadOpenTelemetry applies the standard variables.
func (l *loader) loadOpenTelemetry() {
	known := map[string]bool{}
	for _, v := range standardVariables() {
		for _, name := range v.names() {
			known[name] = true
		}
		if name, value := l.standard(v); value != "" && v.set != nil {
			v.set(l, v.path, name)
		}
	}
	// They override the file like the others, and are overridden by our own variables.
	if where := l.config.Where("otlp.endpoint"); where != "" {
		if reason := l.noPush(); reason != "" {
			l.warn("otlp.endpoint (%s) is not used, because %s; SYSOTEL_OTLP_ENDPOINT would be", where, reason)
			l.config.Export.OTLP.Endpoint = ""
			delete(l.config.origins, "otlp.endpoint")
		}
	}
	var others []string
	for _, name := range slices.Sorted(maps.Keys(l.environment)) {
		if strings.HasPrefix(name, openTelemetryPrefix) && !known[name] {
			others = append(others, sanitize.OneLine(name, 80))
		}
	}
	const most = 20
	if n := len(others) - most; n > 0 {
		others = append(others[:most], fmt.Sprintf("and %d more", n))
	}
	if len(others) > 0 {
		l.warn("these standard variables do nothing here: %s", strings.Join(others, ", "))
	}
}

// warn notes what is ignored; see Config.Warnings.
func (l *loader) warn(format string, args ...any) {
	l.config.warnings = append(l.config.warnings, fmt.Sprintf(format, args...))
}

// assignVariable sets an option from a variable.
func (l *loader) assignVariable(path, name string) { l.assign(path, l.environment[name], name) }

// assignLenient sets an option from a variable. The specification has a wrong value
// ignored with a warning.
func (l *loader) assignLenient(path, name string) { l.lenient(path, l.environment[name], name) }

func (l *loader) lenient(path, value, name string) {
	before := len(l.invalid)
	l.assign(path, value, name)
	for _, e := range l.invalid[before:] {
		l.warn("%s is ignored: %s is not allowed: %s", name, show(l.environment[name]), e.Rule)
	}
	l.invalid = l.invalid[:before]
}

// assignMilliseconds sets a duration from a variable without a unit.
func (l *loader) assignMilliseconds(path, name string) {
	value := l.environment[name]
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		l.warn("%s is ignored: %s is not allowed: must be a whole number of milliseconds", name, show(value))
		return
	}
	l.assign(path, (time.Duration(n) * time.Millisecond).String(), name)
}

// noPush is why standard variables say that there is no push over OTLP, "" if they do not.
func (l *loader) noPush() string {
	if strings.EqualFold(l.environment["OTEL_SDK_DISABLED"], "true") {
		return "OTEL_SDK_DISABLED is true"
	}
	if list := l.environment["OTEL_METRICS_EXPORTER"]; list != "" && !slices.Contains(splitList(list), "otlp") {
		return "OTEL_METRICS_EXPORTER is " + show(list)
	}
	return ""
}

// assignEndpoint sets the endpoint, unless other variables say that there is no push over
// OTLP.
func (l *loader) assignEndpoint(path, name string) {
	if reason := l.noPush(); reason != "" {
		l.warn("%s is not used, because %s", name, reason)
		return
	}
	value := l.environment[name]
	if !strings.Contains(value, "://") {
		scheme := "https://"
		if _, insecure := l.standard(standardVariable{name: "INSECURE"}); strings.EqualFold(insecure, "true") {
			scheme = "http://"
		}
		value = scheme + value
	}
	if u, err := url.Parse(value); err == nil && u.Path != "" && u.Path != "/" {
		u.Path, u.RawPath = "", ""
		value = u.String()
		l.warn("the path in %s is ignored: over gRPC there is none", name)
	}
	l.assign(path, value, name)
}

// checkProtocol refuses a protocol other than gRPC for the endpoint of a standard
// variable. Where sysotel's own options set the endpoint, they mean gRPC.
func (l *loader) checkProtocol() {
	name, value := l.standard(standardVariable{name: "PROTOCOL"})
	endpoint := l.config.Where("otlp.endpoint")
	switch {
	case value == "" || value == "grpc":
	case strings.HasPrefix(endpoint, openTelemetryPrefix):
		l.report(ValidationError{Path: "otlp.endpoint", Value: show(secret.WithoutPassword(l.config.Export.OTLP.Endpoint)), Where: endpoint,
			Rule: fmt.Sprintf("is for %s, as %s says, and the push is over gRPC; set SYSOTEL_OTLP_ENDPOINT to the gRPC port of the receiver, usually http://HOST:4317, or %s to grpc where the endpoint is that", show(value), name, name)})
	default:
		l.warn("%s is ignored: %s is not supported, the push is over gRPC", name, show(value))
	}
}

// assignTemporality applies the preference, in any case. lowmemory means delta for
// synchronous instruments only, and ours are not.
func (l *loader) assignTemporality(path, name string) {
	value := strings.ToLower(l.environment[name])
	if value == "lowmemory" {
		value = "cumulative"
	}
	l.lenient(path, value, name)
}

// assignResource applies the resource's attributes. Two of them are options of their
// own. With an error in it the specification has all of the variable left out.
func (l *loader) assignResource(path, name string) {
	own := map[string]string{"service.name": "resource.service_name", "host.name": "host.name"}
	set := map[string]string{}
	var rest []string
	for _, pair := range splitList(l.environment[name]) {
		key, value, ok := strings.Cut(pair, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		decodedKey, keyErr := url.PathUnescape(key)
		decoded, valueErr := url.PathUnescape(value)
		if !ok || decodedKey == "" || keyErr != nil || valueErr != nil {
			l.warn("%s is ignored: %s is not allowed: must be name=value pairs separated by commas, with %%2C for a comma in a value and %%25 for a %%", name, show(pair))
			return
		}
		if option := own[decodedKey]; option != "" {
			set[option] = decoded
			continue
		}
		rest = append(rest, pair)
	}
	for option, value := range set {
		l.assign(option, value, name)
	}
	if len(rest) > 0 {
		l.assign(path, strings.Join(rest, ","), name)
	}
}

// standardHelp lists the standard variables.
func standardHelp(b *strings.Builder) {
	b.WriteString("\nThe standard variables of OpenTelemetry override the file, and SYSOTEL_ variables\noverride them. All others of that name are named in a warning.\n")
	for _, v := range standardVariables() {
		fmt.Fprintf(b, "  %s\n", v.names()[len(v.names())-1])
		text := v.path
		switch {
		case text != "" && v.note != "":
			text += ": " + v.note
		case text == "":
			text = v.note
		}
		if len(v.names()) > 1 {
			text += "; " + v.names()[0] + " wins"
		}
		writeWrapped(b, "      ", text+".")
	}
}
