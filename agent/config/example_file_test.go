package config

import (
	"reflect"
	"strings"
)

const exampleHeader = `# sysotel.yaml: every option of the agent, with its default.
#
# All values are commented out, so that this file changes nothing as it is; remove
# the # before a key to set it. Every option is also a flag (--http.listen) and a
# variable (SYSOTEL_HTTP_LISTEN). The standard OTEL_ variables override this file,
# SYSOTEL_ variables override those, and flags override all.
#
# Relative paths start from the directory of this file, and those of flags and
# variables from the working directory.
#
# Any value may contain ${env:NAME} and ${file:PATH}, for the value of a variable and
# the content of a file; $${ stands for the characters ${ themselves.
#
# Validate a file with "sysotel check". This one is generated.
`

// exampleFile returns sysotel.example.yaml: every key with its help and default. A
// line that begins with # and no space is an option; the other comments are help.
func exampleFile() []byte {
	var b strings.Builder
	b.WriteString(exampleHeader)
	explained := map[string]bool{}
	for _, o := range Defaults().options() {
		indent := strings.Repeat("  ", o.depth())
		if o.depth() == 0 {
			b.WriteString("\n")
		}
		// An option that several collectors have is explained once.
		if !explained[o.general] && o.help != "" {
			explained[o.general] = true
			writeWrapped(&b, indent+"# ", o.meaning())
		}
		if o.section {
			b.WriteString(indent + o.key() + ":\n")
			continue
		}
		b.WriteString(indent + "#" + o.key() + ": " + o.yaml() + "\n")
		if o.isStructs() {
			writeEntry(&b, indent, o.value.Type().Elem())
		}
	}
	return []byte(b.String())
}

// meaning returns the help text with the words that the option accepts.
func (o option) meaning() string {
	if o.enum == "" {
		return o.help
	}
	return o.help + " One of " + strings.ReplaceAll(o.enum, "|", ", ") + "."
}

// writeEntry explains the keys of a list's entries.
func writeEntry(b *strings.Builder, indent string, t reflect.Type) {
	entry := reflect.New(t)
	if e, ok := reflect.TypeAssert[interface{ SetDefaults() }](entry); ok {
		e.SetDefaults()
	}
	writeWrapped(b, indent+"# ", "Keys of an entry:")
	writeKeys(b, indent+"#   ", entry.Elem())
}

// writeKeys explains the keys of a struct, recursively.
func writeKeys(b *strings.Builder, indent string, v reflect.Value) {
	for _, f := range fields(v.Type()) {
		o := f.option(v, option{})
		text := f.key + ": " + o.meaning()
		if !o.section && !o.value.IsZero() {
			text += " Default " + o.yaml() + "."
		}
		writeWrapped(b, indent, text)
		if o.section {
			writeKeys(b, indent+"  ", o.value)
		}
	}
}
