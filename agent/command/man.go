package command

import (
	"fmt"
	"io"
	"strings"

	"sysotel/agent/config"
)

// writeManual writes the manual page sysotel(1) in roff, from the help of each command.
func writeManual(w io.Writer, version string) {
	m := manual{w}
	m.line(`.TH SYSOTEL 1 "" "sysotel %s" "User Commands"`, version)
	m.line(".SH NAME\nsysotel \\- machine monitor with history, alerts and a dashboard")
	m.line(".SH SYNOPSIS\n.B sysotel\n.I COMMAND\n.RI [ OPTION \\ ...]")
	m.line(".SH DESCRIPTION")
	m.text(description)
	m.line(".SH COMMANDS")
	for _, c := range commands() {
		m.command(c)
	}
	m.line(".SH OPTIONS")
	m.options(config.Help())
	m.line(".SH EXIT STATUS")
	m.text("0 for success, 1 for a failure, 2 for invalid arguments.")
	m.line(".SH FILES")
	m.item(config.DefaultPath, "", "the configuration, if it exists")
	m.item("/var/lib/sysotel", "", "the data directory of an agent that runs as a service or as root")
}

// manual writes roff.
type manual struct{ io.Writer }

// line writes a request, in roff.
func (m manual) line(format string, args ...any) { fmt.Fprintf(m, format+"\n", args...) }

// text writes plain text as a paragraph.
func (m manual) text(s string) {
	m.line(".PP")
	for line := range strings.Lines(s) {
		m.line("%s", roff(strings.TrimSpace(line)))
	}
}

// item writes a term, its placeholder and its meaning.
func (m manual) item(name, value, meaning string) {
	m.line(".TP")
	if value != "" {
		m.line(`\fB%s\fR \fI%s\fR`, roff(name), roff(value))
	} else {
		m.line(`\fB%s\fR`, roff(name))
	}
	m.line("%s", roff(meaning))
}

// command writes the help of a command.
func (m manual) command(c command) {
	m.line(".SS %s", roff(c.name))
	m.line("%s.", roff(strings.ToUpper(c.summary[:1])+c.summary[1:]))
	if c.details != "" {
		m.text(c.details)
	}
	m.line(".PP\nUsage:\n.B %s", roff(c.usage()))
	for _, s := range c.subcommands {
		m.item(s.name, s.args, s.summary)
	}
	for _, f := range c.flagsWithAgent() {
		m.item(f.name, f.value, f.meaning())
	}
	if c.options == allOptions {
		m.text("Its options are below.")
	}
	m.line(".PP\nExamples:\n.nf")
	for _, e := range c.examples {
		m.line("%s", roff(e))
	}
	m.line(".fi")
}

// options writes the help of the configuration: flags stand behind two blanks, what
// they mean behind six.
func (m manual) options(help string) {
	paragraph := false
	for line := range strings.Lines(help) {
		line = strings.TrimRight(line, "\n")
		flag := strings.TrimLeft(line, " ")
		switch indent := len(line) - len(flag); {
		case flag == "":
			paragraph = false
		case strings.HasPrefix(flag, "--"):
			name, value, _ := strings.Cut(flag, " ")
			m.line(".TP")
			m.line(`\fB%s\fR \fI%s\fR`, roff(name), roff(value))
		case indent == 0 && !paragraph:
			m.line(".PP\n%s", roff(flag))
			paragraph = true
		default:
			m.line("%s", roff(flag))
		}
	}
}

// roff escapes text for a line of roff.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", `\&...`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
