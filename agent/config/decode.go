package config

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sysotel/agent/nearest"

	"go.yaml.in/yaml/v3"
)

// decoder fills a configuration from the nodes of a file. It walks the nodes
// itself, because yaml's decoder stops at the first unknown key of a mapping and
// does not report paths.
type decoder struct {
	file    string
	origins map[string]string
	invalid *[]ValidationError
	// literal is told of an option and its text.
	literal func(o option, text string)
}

// decode fills the value of o from a node.
func (d decoder) decode(n *yaml.Node, o option) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	kind := o.value.Kind()
	switch {
	case kind == reflect.Struct:
		d.section(n, o)
		return
	case isSectionMap(o.value.Type()):
		d.sectionMap(n, o)
		return
	}
	d.origins[o.path] = d.where(n)
	defer d.locate(o)
	if own, ok := reflect.TypeAssert[yaml.Unmarshaler](o.value.Addr()); ok && !isNull(n) {
		if err := own.UnmarshalYAML(n); err != nil {
			d.wrong(n, o, err.Error())
		}
		return
	}
	switch {
	case isNull(n):
		d.wrong(n, o, "has no value; remove the line for the default"+map[reflect.Kind]string{
			reflect.String: `, or write "" for an empty text`, reflect.Slice: ", or write [] for an empty list", reflect.Map: ", or write {} for none",
		}[kind])
	case kind == reflect.Map:
		d.textMap(n, o)
	case kind == reflect.Slice:
		d.list(n, o)
	default:
		d.scalar(n, o)
	}
}

// located are values that contain paths.
type located interface {
	// StartFrom makes relative paths start from a directory.
	StartFrom(dir string)
}

// locate makes relative paths start from the directory of the file that names them.
func (d decoder) locate(o option) {
	dir := filepath.Dir(d.file)
	if paths, ok := reflect.TypeAssert[located](o.value.Addr()); ok {
		paths.StartFrom(dir)
		return
	}
	if o.paths == "absolute" || o.paths == "program" { // absent in . is ./absent, not a program of PATH.
		if whole, err := filepath.Abs(dir); err == nil {
			dir = whole
		}
	}
	start := func(v reflect.Value) {
		if path := v.String(); path != "" && !filepath.IsAbs(path) {
			v.SetString(filepath.Join(dir, path))
		}
	}
	switch o.paths {
	case "file", "absolute":
		if o.value.Kind() != reflect.Slice {
			start(o.value)
			return
		}
		for i := range o.value.Len() {
			start(o.value.Index(i))
		}
	case "program":
		if o.value.Len() > 0 && strings.ContainsRune(filepath.ToSlash(o.value.Index(0).String()), '/') {
			start(o.value.Index(0))
		}
	}
}

// section fills a struct; keys that the file omits keep their value.
func (d decoder) section(n *yaml.Node, o option) {
	known := fields(o.value.Type())
	d.mapping(n, o, "must be a section with the options "+strings.Join(keys(known), ", "), func(key string, line, value *yaml.Node) {
		i := slices.IndexFunc(known, func(f field) bool { return f.key == key })
		if i < 0 {
			d.unknown(line, join(o.path, showName(key)), "option", key, keys(known))
			return
		}
		d.decode(value, known[i].option(o.value, o))
	})
}

// sectionMap fills a map whose entries are sections with known names.
func (d decoder) sectionMap(n *yaml.Node, o option) {
	known, m := names(o.value), o.value
	d.mapping(n, o, "must be a section with an entry for "+strings.Join(known, ", "), func(key string, line, value *yaml.Node) {
		if !slices.Contains(known, key) {
			d.unknown(line, join(o.path, showName(key)), o.entry, key, known)
			return
		}
		entry := copyEntry(m, key)
		d.decode(value, option{path: join(o.path, key), value: entry})
		m.SetMapIndex(reflect.ValueOf(key), entry)
	})
}

// textMap fills a map with arbitrary names.
func (d decoder) textMap(n *yaml.Node, o option) {
	m := reflect.MakeMap(o.value.Type())
	d.mapping(n, o, "must be a mapping of names to values", func(key string, _, value *yaml.Node) {
		entry := reflect.New(m.Type().Elem()).Elem()
		d.decode(value, option{path: join(o.path, showName(key)), value: entry})
		m.SetMapIndex(reflect.ValueOf(key), entry)
	})
	o.value.Set(m)
}

// list fills a list of strings or structs.
func (d decoder) list(n *yaml.Node, o option) {
	if n.Kind != yaml.SequenceNode {
		d.wrong(n, o, "must be a list, such as [a, b]")
		return
	}
	list := reflect.MakeSlice(o.value.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		entry := list.Index(i)
		if e, ok := reflect.TypeAssert[interface{ SetDefaults() }](entry.Addr()); ok {
			e.SetDefaults()
		}
		d.decode(item, option{path: fmt.Sprintf("%s[%d]", o.path, i), value: entry, foreign: o.foreign})
	}
	o.value.Set(list)
}

// scalar fills a single value.
func (d decoder) scalar(n *yaml.Node, o option) {
	kind := o.value.Kind()
	d.literal(o, n.Value)
	text, err := o.expand(n.Value, filepath.Dir(d.file))
	if n.Kind == yaml.ScalarNode && (err != nil || text != n.Value) {
		rule := ""
		if err != nil {
			rule = err.Error()
		} else { // It has the type that the option wants.
			rule = o.parse(text)
		}
		if rule != "" {
			d.wrong(n, o, rule)
		}
		return
	}
	switch tag := n.ShortTag(); {
	case n.Kind != yaml.ScalarNode:
		d.wrong(n, o, "must be a single value")
	case kind == reflect.String && tag != "!!str" && o.enum == "":
		d.wrong(n, o, "must be text; write it in quotes")
	case kind == reflect.Int && tag != "!!int":
		d.wrong(n, o, "must be a whole number")
	case isFloat(o.value.Type()) && tag != "!!int" && tag != "!!float":
		d.wrong(n, o, "must be a number")
	case kind == reflect.Bool && tag != "!!bool":
		d.wrong(n, o, "must be true or false")
	default:
		if rule := o.parse(n.Value); rule != "" {
			d.wrong(n, o, rule)
		}
	}
}

// mapping calls visit for each key of a mapping; an empty section is one too.
func (d decoder) mapping(n *yaml.Node, o option, rule string, visit func(key string, line, value *yaml.Node)) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n, o, rule)
		return
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if line, ok := first[key.Value]; ok {
			d.add(key, join(o.path, showName(key.Value)), "", fmt.Sprintf("is duplicated; first set on line %d", line))
		} else {
			first[key.Value] = key.Line
		}
		visit(key.Value, key, value)
	}
}

// unknown reports a key that is not among the known ones.
func (d decoder) unknown(n *yaml.Node, path, what, key string, known []string) {
	hint := nearest.DidYouMean(key, known)
	if hint == "" {
		hint = "."
	}
	d.add(n, path, "", fmt.Sprintf("unknown %s%s Allowed here: %s", what, hint, strings.Join(nearest.Sort(key, known), ", ")))
}

// wrong reports an invalid value. The value of a secret option is not shown.
func (d decoder) wrong(n *yaml.Node, o option, rule string) {
	value := ""
	switch {
	case isSecret(o.value.Type()):
	case isNull(n):
	case n.Kind == yaml.MappingNode:
		value = "a mapping"
	case n.Kind == yaml.SequenceNode:
		value = "a list"
	default:
		value = show(n.Value)
	}
	d.add(n, o.path, value, rule)
}

func (d decoder) add(n *yaml.Node, path, value, rule string) {
	*d.invalid = append(*d.invalid, ValidationError{Path: path, Value: value, Rule: rule, Where: d.where(n)})
}

func (d decoder) where(n *yaml.Node) string { return fmt.Sprintf("%s line %d", d.file, n.Line) }

// isNull reports whether a value is missing.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
