package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"sysotel/agent/secret"
)

// DefaultPath is the file that is read if no other is named and it exists; on Windows it
// is WindowsPath.
const DefaultPath = "/etc/sysotel/sysotel.yaml"

// WindowsPath is below %ProgramData%, where Windows has what programs share.
const WindowsPath = `sysotel\sysotel.yaml`

// Options are the sources of a configuration. Load reads nothing else.
type Options struct {
	// Path is a file that is read if it exists and no other is named (DefaultPath);
	// "" for none.
	Path string
	// Env is the environment, in the form of os.Environ.
	Env []string
	// Args are the flags, without the program's name and command.
	Args []string
	// Others are the command's own flags, which are not in Args. A hint about an
	// unknown flag may name them.
	Others []string
	// Root reports whether the agent runs as root, for the default of data_dir.
	Root bool
	// Shared is the directory of Windows that programs share, %ProgramData%, for the same.
	Shared string
}

// Load applies the defaults, the file, the OTEL_ variables, the SYSOTEL_ variables
// and the flags, in this order. It returns all errors it finds; if there are any, the
// configuration must not be used.
func Load(options Options) (Config, []ValidationError) {
	l := &loader{config: Defaults(), environment: environment(options.Env)}
	flags := l.parseFlags(options.Args, options.Others)
	l.loadFile(options.Path, flags)
	l.loadOpenTelemetry()
	l.loadVariables()
	l.loadFlags(flags)
	l.checkProtocol()
	l.findDataDir(options.Root, options.Shared)
	for _, m := range l.config.Validate() {
		if !l.covered(m.Path) {
			l.report(m)
		}
	}
	if len(l.invalid) == 0 {
		l.config.warnings = append(l.config.warnings, l.config.Alerting.Notify.Warnings()...)
	}
	return l.config, l.invalid
}

// loader is a configuration in the making.
type loader struct {
	config      Config
	environment map[string]string
	invalid     []ValidationError
}

func (l *loader) report(e ValidationError) { l.invalid = append(l.invalid, e) }

// covered reports whether the value at a path could not be parsed, so that a rule
// broken there is about a value that was not set. That happens in list entries only:
// everything else keeps its default.
func (l *loader) covered(path string) bool {
	return slices.ContainsFunc(l.invalid, func(m ValidationError) bool {
		return strings.Contains(m.Path, "[") && (path == m.Path || strings.HasPrefix(path, m.Path+"."))
	})
}

// assign parses a text into the option at a path.
func (l *loader) assign(path, text, where string) {
	l.config.change(func(o option) {
		if o.path != path {
			return
		}
		l.noteLiteral(o, text)
		rule := ""
		if expanded, err := o.expand(text, ""); err != nil {
			rule = err.Error()
		} else {
			rule = o.parse(expanded)
		}
		if rule != "" {
			value := show(text)
			if isSecret(o.value.Type()) {
				value = ""
			}
			l.report(ValidationError{Path: path, Value: value, Rule: rule, Where: where})
			return
		}
		// Entries that the file set are replaced with the list or map.
		for old := range l.config.origins {
			if strings.HasPrefix(old, path+".") || strings.HasPrefix(old, path+"[") {
				delete(l.config.origins, old)
			}
		}
		l.config.origins[path] = where
	})
}

// noteLiteral warns of a reference to a variable in a notation of other programs, which is
// used as it stands. The text is not shown: it may be a secret.
func (l *loader) noteLiteral(o option, text string) {
	if warning := secret.Unexpanded(text); warning != "" && !o.foreign {
		l.config.warnings = append(l.config.warnings, o.path+" "+warning)
	}
}

// loadFile reads the file that a flag or variable names, else fallback if it exists.
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
		l.report(ValidationError{Path: "configuration file", Rule: fmt.Sprintf("cannot read %s: %v", show(path), err), Where: where})
		return
	}
	document, invalid := parseYAML(path, content)
	if invalid != nil {
		l.report(*invalid)
	}
	if document == nil {
		return
	}
	d := decoder{file: path, origins: l.config.origins, invalid: &l.invalid, literal: l.noteLiteral}
	d.decode(document, option{value: reflect.ValueOf(&l.config).Elem()})
}

// findDataDir sets the default of data_dir.
func (l *loader) findDataDir(root bool, shared string) {
	state, home := l.environment["XDG_STATE_HOME"], l.environment["HOME"]
	switch {
	case l.config.DataDir != "":
	case runtime.GOOS == "windows" && root && shared != "":
		l.config.DataDir = filepath.Join(shared, filepath.Dir(WindowsPath), "data")
	case runtime.GOOS == "windows" && l.ofWindows("LOCALAPPDATA") != "":
		l.config.DataDir = filepath.Join(l.ofWindows("LOCALAPPDATA"), "sysotel")
	case runtime.GOOS == "windows":
		l.report(ValidationError{Path: "data_dir", Rule: "must be set, because LOCALAPPDATA is not"})
	case root:
		l.config.DataDir = "/var/lib/sysotel"
	case filepath.IsAbs(state): // The XDG specification says to ignore a relative one.
		l.config.DataDir = filepath.Join(state, "sysotel")
	case home != "":
		l.config.DataDir = filepath.Join(home, ".local", "state", "sysotel")
	default:
		l.report(ValidationError{Path: "data_dir", Rule: "must be set, because neither XDG_STATE_HOME nor HOME is"})
	}
}

// ofWindows is a variable of Windows, which may be written in any case.
func (l *loader) ofWindows(name string) string {
	for known, value := range l.environment {
		if strings.EqualFold(known, name) {
			return value
		}
	}
	return ""
}
