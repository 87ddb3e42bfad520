package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// DefaultPath is the file that is read where nobody names one, if it is there.
const DefaultPath = "/etc/sysotel/sysotel.yaml"

// Options are the places from which a configuration comes. Load reads nothing
// else, so that a test can give all of it.
type Options struct {
	// Path is a file that is read if it is there and no other is named
	// (DefaultPath); "" for none.
	Path string
	// Env is the environment, as os.Environ gives it.
	Env []string
	// Args are the flags, without the program's name and command.
	Args []string
	// Root tells whether the agent runs as root, for the default of data_dir.
	Root bool
}

// Load makes the configuration: defaults, then the file, then the OTEL_
// variables, then the SYSOTEL_ variables, then the flags. It always returns
// every mistake it can see; with one, the configuration must not be used.
func Load(options Options) (Config, []Mistake) {
	l := &loader{config: Defaults(), environment: environment(options.Env)}
	flags := l.parseFlags(options.Args)
	l.loadFile(options.Path, flags)
	l.loadOpenTelemetry()
	l.loadVariables()
	l.loadFlags(flags)
	l.findDataDir(options.Root)
	for _, m := range l.config.Validate() {
		if !l.covered(m.Path) {
			l.mistake(m)
		}
	}
	return l.config, l.mistakes
}

// loader is a configuration in the making.
type loader struct {
	config      Config
	environment map[string]string
	mistakes    []Mistake
}

func (l *loader) mistake(m Mistake) { l.mistakes = append(l.mistakes, m) }

// covered tells whether a value that breaks a rule was never taken from where it
// was set, so that the rule is about a value nobody wrote. It can be so in
// entries of lists only: everything else has kept its default.
func (l *loader) covered(path string) bool {
	return slices.ContainsFunc(l.mistakes, func(m Mistake) bool {
		return strings.Contains(m.Path, "[") && (path == m.Path || strings.HasPrefix(path, m.Path+"."))
	})
}

// assign sets the option at a path from a text.
func (l *loader) assign(path, text, where string) {
	l.config.change(func(o option) {
		if o.path != path {
			return
		}
		if rule := o.parse(text); rule != "" {
			value := show(text)
			if isSecret(o.value.Type()) {
				value = ""
			}
			l.mistake(Mistake{Path: path, Value: value, Rule: rule, Where: where})
			return
		}
		// What the file said of single entries of a list or map is gone.
		for old := range l.config.origins {
			if strings.HasPrefix(old, path+".") || strings.HasPrefix(old, path+"[") {
				delete(l.config.origins, old)
			}
		}
		l.config.origins[path] = where
	})
}

// loadFile reads the file that a flag or variable names, else the one at
// fallback where there is one.
func (l *loader) loadFile(fallback string, flags []setting) {
	path, where := fallback, ""
	if value := l.environment[configVariable]; value != "" {
		path, where = value, configVariable
	}
	if i := slices.IndexFunc(flags, func(s setting) bool { return s.flag == configFlag }); i >= 0 {
		path, where = flags[i].value, configFlag
	}
	if path == "" && where == "" {
		return
	}
	content, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && where == "" {
		return
	}
	if err != nil {
		l.mistake(Mistake{Path: "configuration file", Rule: fmt.Sprintf("cannot read %s: %v", show(path), err), Where: where})
		return
	}
	document, mistake := parseYAML(path, content)
	if mistake != nil {
		l.mistake(*mistake)
	}
	if document == nil {
		return
	}
	d := decoder{file: path, origins: l.config.origins, mistakes: &l.mistakes}
	d.decode(document, option{value: reflect.ValueOf(&l.config).Elem()})
}

// findDataDir decides where data is kept where nobody said it.
func (l *loader) findDataDir(root bool) {
	state, home := l.environment["XDG_STATE_HOME"], l.environment["HOME"]
	switch {
	case l.config.DataDir != "":
	case root:
		l.config.DataDir = "/var/lib/sysotel"
	case filepath.IsAbs(state): // A relative one must be ignored, says the XDG specification.
		l.config.DataDir = filepath.Join(state, "sysotel")
	case home != "":
		l.config.DataDir = filepath.Join(home, ".local", "state", "sysotel")
	case l.environment["LOCALAPPDATA"] != "": // Windows.
		l.config.DataDir = filepath.Join(l.environment["LOCALAPPDATA"], "sysotel")
	default:
		l.mistake(Mistake{Path: "data_dir", Rule: "must be set, because no variable says where this user keeps data (XDG_STATE_HOME, HOME)"})
	}
}
