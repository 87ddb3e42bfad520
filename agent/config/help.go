package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Flag is one option as --help lists it.
type Flag struct {
	// Section is the top-level key that it belongs to: "http".
	Section string
	// Path is the key in the file, Name the flag, Variable the variable.
	Path, Name, Variable string
	// Help is its meaning, with the words that it takes.
	Help string
	// Default is its value where nothing is said, as YAML.
	Default string
}

// Flags lists every option that has a flag, in the order of the example file.
func Flags() []Flag {
	var flags []Flag
	for _, o := range Defaults().options() {
		if o.section || o.fileOnly() {
			continue
		}
		section, _, _ := strings.Cut(o.path, ".")
		flags = append(flags, Flag{Section: section, Path: o.path, Name: o.flag(), Variable: o.variable(), Help: o.meaning(), Default: o.yaml()})
	}
	return flags
}

// meaning is the help text with the words that the option takes.
func (o option) meaning() string {
	if o.enum == "" {
		return o.help
	}
	return o.help + " One of " + strings.ReplaceAll(o.enum, "|", ", ") + "."
}

// helpColumns is the width of help texts, for a terminal of 80 columns.
const helpColumns = 78

// Help is the list of options for --help. Options that each family has are
// listed once.
func Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s FILE\n", configFlag)
	writeWrapped(&b, "      ", "YAML file with the options below; without it "+DefaultPath+" is read if it is there. Variable "+configVariable+".")
	b.WriteString("\nEvery option is a key of the file (http.listen), a flag (--http.listen) and a\n" +
		"variable (SYSOTEL_HTTP_LISTEN); flags win over variables, variables over the\n" +
		"file. Lists are written a,b and maps name=value,name=value. In place of\n" +
		"<family> stands one of:\n")
	writeWrapped(&b, "      ", strings.Join(Defaults().Instruments.Families.Names(), ", "))
	listed := map[string]bool{}
	for _, o := range Defaults().options() {
		if listed[o.general] || o.fileOnly() {
			continue
		}
		listed[o.general] = true
		if o.section && o.depth() == 0 {
			fmt.Fprintf(&b, "\n%s: %s\n", o.key(), o.help)
		} else if !o.section {
			fmt.Fprintf(&b, "  %s %s\n", flagName(o.general), o.placeholder())
			writeWrapped(&b, "      ", o.meaning()+" Default "+o.yaml()+".")
		}
	}
	return b.String()
}

// placeholder stands for the option's value.
func (o option) placeholder() string {
	switch {
	case isDuration(o.value.Type()):
		return "DURATION"
	case o.isSwitch():
		return "true|false"
	case o.enum != "":
		return o.enum
	case o.value.CanInt():
		return "NUMBER"
	case o.value.Kind() == reflect.Slice:
		return "A,B"
	case o.value.Kind() == reflect.Map:
		return "NAME=VALUE,…"
	default:
		return "TEXT"
	}
}

// writeWrapped writes a text in lines that begin with indent.
func writeWrapped(b *strings.Builder, indent, text string) {
	line := indent
	for word := range strings.FieldsSeq(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > helpColumns {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}
