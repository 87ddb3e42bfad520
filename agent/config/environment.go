package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"sysotel/agent/nearest"
)

// Names in the environment begin with variablePrefix; configVariable names the file
// and is not an option.
const (
	variablePrefix = "SYSOTEL_"
	configVariable = "SYSOTEL_CONFIG"
)

// environment turns the form of os.Environ into a map. An empty variable counts as
// unset, as in OpenTelemetry: compose files pass X= for an unset X.
func environment(env []string) map[string]string {
	all := map[string]string{}
	for _, line := range env {
		if name, value, ok := strings.Cut(line, "="); ok && value != "" {
			all[name] = value
		}
	}
	return all
}

// loadVariables applies the SYSOTEL_ variables. An unknown one is an error:
// otherwise it would silently do nothing.
func (l *loader) loadVariables() {
	paths := map[string]string{}
	for _, o := range l.config.options() {
		if !o.section && !o.fileOnly() {
			paths[o.variable()] = o.path
		}
	}
	known := append(slices.Sorted(maps.Keys(paths)), configVariable)
	for _, name := range slices.Sorted(maps.Keys(l.environment)) {
		path, ok := paths[name]
		switch {
		case ok:
			l.assign(path, l.environment[name], name)
		case !strings.HasPrefix(name, variablePrefix), name == configVariable, isServiceLink(name):
		default:
			l.report(ValidationError{Path: showName(name), Rule: "unknown variable" + nearest.DidYouMean(name, known), Where: "environment"})
		}
	}
}

// serviceLink matches the variables that Kubernetes and Docker add to every
// container next to a service named sysotel or sysotel-….
const serviceLink = `^SYSOTEL_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`

func isServiceLink(name string) bool { return regexp.MustCompile(serviceLink).MatchString(name) }
