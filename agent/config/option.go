package config

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"sysotel/agent/secret"
)

// option is one key of the configuration: a value, or a section of further keys.
type option struct {
	// path is the key with those above it: "instruments.cpu.timeout".
	path string
	// general is the path with names in angle brackets:
	// "instruments.<collector>.timeout".
	general string
	// help, enum (the accepted words, separated by |) and entry (what an entry of a
	// map of sections is called) come from the field's tags.
	help, enum, entry string
	// paths is set for paths, which start from the file that names them: "file"; "absolute"
	// where it has to be absolute then; "program" where only the first text is one, and only if it has a separator.
	paths string
	// foreign is set for texts in a language in which ${ means something else.
	foreign bool
	section bool
	value   reflect.Value
}

// key returns the last element of the path.
func (o option) key() string { return o.path[strings.LastIndex(o.path, ".")+1:] }

// depth returns the number of keys above this one.
func (o option) depth() int { return strings.Count(o.path, ".") }

// flag returns the option's name on the command line.
func (o option) flag() string { return flagName(o.path) }

// variable returns the option's name in the environment.
func (o option) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(o.path, ".", "_"))
}

// fileOnly reports whether the option can be set in the file only: a list of structs, or a
// block that is kept as it is, has no form on one line.
func (o option) fileOnly() bool { return o.isStructs() || o.isBlock() }

// isStructs reports whether the option is a list of structs.
func (o option) isStructs() bool {
	return o.value.Kind() == reflect.Slice && o.value.Type().Elem().Kind() == reflect.Struct
}

// isBlock reports whether the option is a block that is kept as it is.
func (o option) isBlock() bool {
	return reflect.PointerTo(o.value.Type()).Implements(reflect.TypeFor[yaml.Unmarshaler]())
}

// isSwitch reports whether the option is a switch, whose flag needs no value.
func (o option) isSwitch() bool {
	return o.value.Kind() == reflect.Bool || slices.Contains(strings.Split(o.enum, "|"), "true")
}

// flagName turns a path into a flag.
func flagName(path string) string { return "--" + strings.ReplaceAll(path, "_", "-") }

// options lists the keys of a configuration in the order of the fields, each
// section before its keys. The values are copies.
func (c Config) options() []option {
	var all []option
	walk(reflect.ValueOf(&c).Elem(), option{}, func(o option) { all = append(all, o) }, false)
	return all
}

// change calls visit for every value, which visit may set.
func (c *Config) change(visit func(option)) {
	walk(reflect.ValueOf(c).Elem(), option{}, func(o option) {
		if !o.section {
			visit(o)
		}
	}, true)
}

// walk visits the keys of a struct. Map entries are copies; keep writes them back
// after the visit.
func walk(v reflect.Value, above option, visit func(option), keep bool) {
	for _, f := range fields(v.Type()) {
		o := f.option(v, above)
		visit(o)
		switch {
		case o.value.Kind() == reflect.Struct:
			walk(o.value, o, visit, keep)
		case isSectionMap(o.value.Type()):
			walkMap(o, visit, keep)
		}
	}
}

// walkMap visits the entries of a map of sections.
func walkMap(above option, visit func(option), keep bool) {
	m := above.value
	takes, _ := reflect.TypeAssert[interface{ Takes(entry, key string) bool }](m)
	for _, name := range names(m) {
		entry := copyEntry(m, name)
		o := option{path: join(above.path, name), general: join(above.general, "<"+above.entry+">"), section: true, value: entry}
		visit(o)
		walk(entry, o, func(o option) {
			if takes == nil || takes.Takes(name, o.key()) {
				visit(o)
			}
		}, keep)
		if keep {
			m.SetMapIndex(reflect.ValueOf(name), entry)
		}
	}
}

// copyEntry returns a settable copy of a map entry, a new one if the map lacks it.
func copyEntry(m reflect.Value, name string) reflect.Value {
	entry := reflect.New(m.Type().Elem()).Elem()
	if value := m.MapIndex(reflect.ValueOf(name)); value.IsValid() {
		entry.Set(value)
	}
	return entry
}

// names lists the entries of a map of sections, in the order of its type's Names or
// else alphabetically.
func names(m reflect.Value) []string {
	if ordered, ok := reflect.TypeAssert[interface{ Names() []string }](m); ok {
		return ordered.Names()
	}
	var all []string
	for _, key := range m.MapKeys() {
		all = append(all, key.String())
	}
	slices.Sort(all)
	return all
}

// field is a struct field that is a key.
type field struct {
	reflect.StructField
	key string
}

// fields lists the keys of a struct, with those of inlined structs.
func fields(t reflect.Type) []field {
	var all []field
	for f := range t.Fields() {
		key, mode, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported():
		case mode == "inline":
			for _, inner := range fields(f.Type) {
				inner.Index = append(slices.Clone(f.Index), inner.Index...)
				all = append(all, inner)
			}
		default:
			all = append(all, field{f, key})
		}
	}
	return all
}

// help is the help text. A field that is also part of the API has its text in doc.
func (f field) help() string { return cmp.Or(f.Tag.Get("help"), f.Tag.Get("doc")) }

// option returns the option of the field in the struct v, below above.
func (f field) option(v reflect.Value, above option) option {
	value := v.FieldByIndex(f.Index)
	return option{
		path: join(above.path, f.key), general: join(above.general, f.key),
		help: f.help(), enum: f.Tag.Get("enum"), entry: f.Tag.Get("entry"), paths: f.Tag.Get("path"),
		foreign: f.Tag.Get("path") == "program" || f.Tag.Get("expand") == "references",
		section: value.Kind() == reflect.Struct || isSectionMap(value.Type()), value: value,
	}
}

// expand returns a text of the option with its references to variables and files
// resolved. Those of a secret are resolved where it is used.
func (o option) expand(text, dir string) (string, error) {
	switch {
	case !strings.Contains(text, "${") || isSecret(o.value.Type()):
		return text, nil
	case o.foreign:
		return secret.ExpandIn(text, dir)
	}
	return secret.Expand(text, dir)
}

// keys lists the keys of fields.
func keys(fields []field) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.key)
	}
	return all
}

// isSectionMap reports whether the entries of a map are sections.
func isSectionMap(t reflect.Type) bool {
	return t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct
}

// isDuration reports whether a type is time.Duration.
func isDuration(t reflect.Type) bool { return t == reflect.TypeFor[time.Duration]() }

// isSecret reports whether values of the type must not be shown.
func isSecret(t reflect.Type) bool {
	return t == reflect.TypeFor[secret.Text]() || t.Kind() == reflect.Map && isSecret(t.Elem())
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// yaml returns the option's value as in the file, on one line.
func (o option) yaml() string {
	var node yaml.Node
	if err := node.Encode(o.value.Interface()); err != nil {
		return ""
	}
	switch {
	case o.value.Kind() == reflect.Slice && o.value.Len() == 0:
		return "[]"
	case o.value.Kind() == reflect.Map && o.value.Len() == 0:
		return "{}"
	}
	node.Style |= yaml.FlowStyle
	text, err := yaml.Marshal(&node)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
