package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// otelExporter are the exporter's variables in the OpenTelemetry specification:
// OTEL_EXPORTER_OTLP_X for all signals, OTEL_EXPORTER_OTLP_METRICS_X, which wins,
// for metrics.
var otelExporter = [...]struct{ name, path string }{
	{"ENDPOINT", "otlp.endpoint"},
	{"HEADERS", "otlp.headers"},
	{"CERTIFICATE", "otlp.tls.ca"},
	{"CLIENT_CERTIFICATE", "otlp.tls.cert"},
	{"CLIENT_KEY", "otlp.tls.key"},
	{"COMPRESSION", "otlp.compression"},
	{"TIMEOUT", "otlp.timeout"},
}

// loadOpenTelemetry applies the standard variables.
func (l *loader) loadOpenTelemetry() {
	for _, v := range otelExporter {
		name := "OTEL_EXPORTER_OTLP_METRICS_" + v.name
		if l.environment[name] == "" {
			name = "OTEL_EXPORTER_OTLP_" + v.name
		}
		if v.name == "TIMEOUT" {
			l.assignMilliseconds(v.path, name)
		} else {
			l.assignVariable(v.path, name)
		}
	}
	l.assignMilliseconds("otlp.interval", "OTEL_METRIC_EXPORT_INTERVAL")
	l.assignTemporality()
	l.assignResource()
	l.assignVariable("resource.service_name", "OTEL_SERVICE_NAME")
}

// assignVariable sets an option from a variable, if that is set.
func (l *loader) assignVariable(path, name string) {
	if value := l.environment[name]; value != "" {
		l.assign(path, value, name)
	}
}

// assignMilliseconds sets a duration from a variable without a unit.
func (l *loader) assignMilliseconds(path, name string) {
	value := l.environment[name]
	if value == "" {
		return
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		l.report(ValidationError{Path: path, Value: show(value), Rule: "must be a whole number of milliseconds", Where: name})
		return
	}
	l.assign(path, (time.Duration(n) * time.Millisecond).String(), name)
}

// assignTemporality applies the preference, in any case. lowmemory means delta for
// synchronous instruments only, and ours are not.
func (l *loader) assignTemporality() {
	const name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
	switch value := strings.ToLower(l.environment[name]); value {
	case "":
	case "lowmemory":
		l.assign("otlp.temporality", "cumulative", name)
	default:
		l.assign("otlp.temporality", value, name)
	}
}

// assignResource applies the resource's attributes. Two of them are options of their
// own.
func (l *loader) assignResource() {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	var rest []string
	for _, pair := range splitList(l.environment[name]) {
		key, value, _ := strings.Cut(pair, "=")
		switch strings.TrimSpace(key) {
		case "service.name":
			l.assignDecoded("resource.service_name", value, name)
		case "host.name":
			l.assignDecoded("host.name", value, name)
		default:
			rest = append(rest, pair)
		}
	}
	if len(rest) > 0 {
		l.assign("resource.attributes", strings.Join(rest, ","), name)
	}
}

// assignDecoded sets an option from a percent-encoded value.
func (l *loader) assignDecoded(path, value, name string) {
	text, err := url.PathUnescape(strings.TrimSpace(value))
	if err != nil {
		l.report(ValidationError{Path: path, Value: show(value), Rule: "must be percent-encoded, with %25 for a %", Where: name})
		return
	}
	l.assign(path, text, name)
}
