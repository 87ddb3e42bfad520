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
		examples: []string{"sysotel help run", "sysotel help token"},
	}
}

// runHelp prints the list of commands, or the help of one.
func runHelp(c Call) int {
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

// writeList writes the list of commands.
func writeList(w io.Writer) {
	fmt.Fprint(w, "sysotel measures this machine every second and serves the readings to browsers,\nscripts, Prometheus and OpenTelemetry collectors.\n\nUsage: sysotel COMMAND [OPTION ...]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.summary)
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

// writeFlags writes the command's own flags, and those by which it finds the
// running agent.
func (c command) writeFlags(w io.Writer) {
	flags := c.flags
	if c.options == agentOptions {
		flags = append(slices.Clip(flags),
			commandFlag{name: "--data-dir", value: "DIR", help: "data directory of the agent", preset: "as for run"},
			commandFlag{name: "--config", value: "FILE", help: "configuration file that sets it", preset: "as for run"},
		)
	}
	if len(flags) == 0 {
		return
	}
	fmt.Fprint(w, "\nOptions:\n")
	for _, f := range flags {
		text := f.help
		if f.preset != "" {
			text += " (default: " + f.preset + ")"
		}
		fmt.Fprintf(w, "  %-24s %s\n", strings.TrimSpace(f.name+" "+f.value), text)
	}
}
