package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sysotel/agent/nearest"
)

// configFlag names the file and is not an option.
const configFlag = "--config"

// setting is one flag of the command line with its value.
type setting struct{ flag, value string }

// parseFlags parses --name=value, --name value, and --name for a switch.
func (l *loader) parseFlags(args, others []string) []setting {
	known := l.config.flags()
	var settings []setting
	for i := 0; i < len(args); i++ {
		flag, value, hasValue := strings.Cut(args[i], "=")
		o, ok := known[flag]
		switch {
		case !strings.HasPrefix(flag, "-"):
			// The argument is not shown: it may be part of a secret.
			l.reportFlag(fmt.Sprintf("argument %d", i+1), "is not an option; write --name VALUE or --name=VALUE, and --name=false to turn something off")
			continue
		case !ok:
			l.reportFlag(showName(flag), "unknown option"+nearest.DidYouMean(flag, append(slices.Sorted(maps.Keys(known)), others...)))
			// What follows is likely its value, and one error is enough.
			if !hasValue && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				i++
			}
			continue
		case slices.ContainsFunc(settings, func(s setting) bool { return s.flag == flag }):
			l.reportFlag(flag, "is given twice")
		}
		switch {
		case hasValue:
		case o.isSwitch():
			value = "true"
		case i+1 < len(args) && !strings.HasPrefix(args[i+1], "--"):
			i++
			value = args[i]
		default:
			l.reportFlag(flag, "needs a value")
			continue
		}
		settings = append(settings, setting{flag, value})
	}
	return settings
}

func (l *loader) reportFlag(path, rule string) {
	l.report(ValidationError{Path: path, Rule: rule, Where: "command line"})
}

// Flags lists the flags of all options; the value reports whether the flag takes
// a value as its next argument.
func Flags() map[string]bool {
	all := map[string]bool{}
	for name, o := range Defaults().flags() {
		all[name] = !o.isSwitch()
	}
	return all
}

// Choices lists the words that flags take, for those that take one of a fixed set.
func Choices() map[string][]string {
	all := map[string][]string{}
	for name, o := range Defaults().flags() {
		if o.enum != "" {
			all[name] = strings.Split(o.enum, "|")
		}
	}
	return all
}

// flags returns the options by flag, and --config without one.
func (c Config) flags() map[string]option {
	known := map[string]option{configFlag: {}}
	for _, o := range c.options() {
		if !o.section && !o.fileOnly() {
			known[o.flag()] = o
		}
	}
	return known
}

// loadFlags applies the flags.
func (l *loader) loadFlags(settings []setting) {
	known := l.config.flags()
	for _, s := range settings {
		if s.flag != configFlag {
			l.assign(known[s.flag].path, s.value, s.flag)
		}
	}
}
