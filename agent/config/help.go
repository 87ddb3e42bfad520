package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// helpColumns is the width of help texts, for a terminal of 80 columns.
const helpColumns = 78

// Help returns the list of options. Options that every collector has are listed
// once.
func Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s FILE\n", configFlag)
	writeWrapped(&b, "      ", "YAML file with the options below. Default "+DefaultPath+", on Windows %ProgramData%\\"+WindowsPath+", if it exists. Variable "+configVariable+".")
	b.WriteString("\nEvery option is a key of the file (http.listen), a flag (--http.listen) and a\n" +
		"variable (SYSOTEL_HTTP_LISTEN); flags override variables, variables override\n" +
		"the file. Lists are written a,b and maps name=value,name=value. <collector> is\n" +
		"one of the collectors:\n")
	writeWrapped(&b, "      ", strings.Join(Defaults().Instruments.Collectors.Names(), ", "))
	listed := map[string]bool{}
	for _, o := range Defaults().options() {
		if listed[o.general] || o.fileOnly() {
			continue
		}
		listed[o.general] = true
		if o.depth() == 0 {
			b.WriteString("\n")
		}
		if !o.section {
			o.writeHelp(&b)
		} else if o.depth() == 0 {
			fmt.Fprintf(&b, "%s: %s\n", o.key(), o.help)
		}
	}
	standardHelp(&b)
	return b.String()
}

// writeHelp writes the option's flag and help.
func (o option) writeHelp(b *strings.Builder) {
	text := o.help
	if value := o.yaml(); !slices.Contains([]string{`""`, "[]", "{}"}, value) {
		text += " Default " + value + "."
	}
	fmt.Fprintf(b, "  %s%s\n", flagName(o.general), o.placeholder())
	writeWrapped(b, "      ", text)
}

// placeholder returns the placeholder of the option's value.
func (o option) placeholder() string {
	switch {
	case isDuration(o.value.Type()):
		return " DURATION"
	case isText(o.value.Type()):
		return " SIZE"
	case o.isSwitch() && o.enum != "":
		return "[=" + o.enum + "]"
	case o.isSwitch():
		return "[=true|false]"
	case o.enum != "":
		return " " + o.enum
	case o.value.CanInt():
		return " NUMBER"
	case o.value.Kind() == reflect.Slice:
		return " A,B"
	case o.value.Kind() == reflect.Map:
		return " NAME=VALUE,…"
	default:
		return " TEXT"
	}
}

// writeWrapped writes a text in lines indented by indent.
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
