package command

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sysotel/agent/config"
)

func helpCommand() command {
	return command{
		name: "help", summary: "list the commands, or show how to use one", args: "[COMMAND]", run: runHelp,
		flags:    []commandFlag{{name: "--man", help: "print all of it as a manual page, in roff"}},
		examples: []string{"sysotel help run", "sysotel help token", "sysotel help --man | man -l -"},
	}
}

// runHelp prints the list of commands, the help of one, or the manual page.
func runHelp(c Call) int {
	if _, ok := c.flags["--man"]; ok {
		writeManual(c.Out, c.Version)
		return 0
	}
	if len(c.words) == 0 {
		writeList(c.Out)
		return 0
	}
	cmd, err := find(c.words[0])
	if err != nil {
		return c.misuse(err, "sysotel help lists the commands")
	}
	cmd.writeHelp(c.Out)
	return 0
}

// description says what the program is for.
const description = "sysotel measures this machine every second and serves the readings to browsers,\nscripts, Prometheus and OpenTelemetry collectors."

// writeList writes the list of commands.
func writeList(w io.Writer) {
	fmt.Fprint(w, description+"\n\nUsage: sysotel COMMAND [OPTION ...]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nsysotel help COMMAND shows how to use one, sysotel help run every option.\n")
}

// writeHelp writes the command's own help.
func (c command) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "sysotel %s: %s.\n", c.name, c.summary)
	if c.details != "" {
		fmt.Fprintf(w, "\n%s\n", c.details)
	}
	fmt.Fprintf(w, "\nUsage: %s\n", c.usage())
	if len(c.subcommands) > 0 {
		fmt.Fprint(w, "\nSubcommands:\n")
		for _, s := range c.subcommands {
			fmt.Fprintf(w, "  %-24s %s\n", strings.TrimSpace(s.name+" "+s.args), s.summary)
		}
	}
	c.writeFlags(w)
	fmt.Fprint(w, "\nExamples:\n")
	for _, e := range c.examples {
		fmt.Fprintf(w, "  %s\n", e)
	}
	if c.options == allOptions {
		fmt.Fprintf(w, "\nOptions:\n\n%s", config.Help())
	}
}

// usage is the line that shows what may follow the command's name.
func (c command) usage() string {
	line := "sysotel " + c.name
	switch {
	case len(c.subcommands) > 0:
		line += " SUBCOMMAND [ARGUMENT ...]"
	case c.args != "":
		line += " " + c.args
	}
	if len(c.flags) > 0 || c.options != noOptions {
		line += " [OPTION ...]"
	}
	return line
}

// flagsWithAgent returns the command's own flags, and those by which it finds the
// running agent.
func (c command) flagsWithAgent() []commandFlag {
	if c.options != agentOptions {
		return c.flags
	}
	return append(slices.Clip(c.flags),
		commandFlag{name: "--data-dir", value: "DIR", help: "data directory of the agent", preset: "as for run"},
		commandFlag{name: "--config", value: "FILE", help: "configuration file that sets it", preset: "as for run"},
	)
}

// meaning is the help of a flag and its default.
func (f commandFlag) meaning() string {
	if f.preset == "" {
		return f.help
	}
	return f.help + " (default: " + f.preset + ")"
}

// writeFlags writes the flags.
func (c command) writeFlags(w io.Writer) {
	flags := c.flagsWithAgent()
	if len(flags) == 0 {
		return
	}
	fmt.Fprint(w, "\nOptions:\n")
	for _, f := range flags {
		fmt.Fprintf(w, "  %-24s %s\n", strings.TrimSpace(f.name+" "+f.value), f.meaning())
	}
}
