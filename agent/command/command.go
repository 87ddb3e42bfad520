// Package command is the command line of sysotel: one file a command. It turns
// arguments into calls and results into text and exit codes; the agent itself
// is in package app.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"sysotel/agent/config"
)

// Call is one call of the program: everything a command may look at.
type Call struct {
	// Args are the arguments after the command's name.
	Args []string
	Env  []string
	// In is where a password is read from; a terminal is not shown what is typed.
	In  *os.File
	Out io.Writer
	Err io.Writer
	// Version is the program's.
	Version string
	// Stop ends when the program is told to stop; Reload delivers when it is
	// told to read its configuration again.
	Stop   context.Context
	Reload <-chan os.Signal
}

// command is one command with its line in the help.
type command struct {
	name, help string
	run        func(Call) int
}

// commands lists them in the order of the help.
func commands() []command {
	return []command{
		{"run", "measure this machine, until SIGTERM or Ctrl-C; SIGHUP reads the configuration again", runAgent},
		{"check", "check the configuration and print every mistake, and what this user's rights cost; exit code 1 where there is a mistake", runCheck},
		{"health", "ask the running agent how it fares; exit code 1 where it has failed or does not answer", runHealth},
		{"top", "show the running agent's process table", runTop},
		{"backup", "copy the running agent's history into a directory: sysotel backup DIR", runBackup},
		{"user", "list, add, change and remove those who log in: sysotel user list|add|role|password|remove", runUser},
		{"token", "list, make and revoke tokens for programs: sysotel token list|add|revoke", runToken},
		{"openapi", "print the OpenAPI document of the REST API", runOpenAPI},
		{"version", "print the version; --licenses prints the licences of what is built in", runVersion},
		{"help", "print this help; help run prints every option", runHelp},
	}
}

// Main runs the command that the arguments name and returns the exit code:
// 0 for success, 1 for a failure, 2 for arguments that make no sense.
func Main(c Call) int {
	if len(c.Args) == 0 {
		printHelp(c.Err)
		return 2
	}
	name := c.Args[0]
	c.Args = c.Args[1:]
	if name == "--help" || name == "-h" {
		name = "help"
	}
	for _, known := range commands() {
		if known.name != name {
			continue
		}
		if len(c.Args) > 0 && (c.Args[0] == "--help" || c.Args[0] == "-h") {
			c.Args = []string{name}
			return runHelp(c)
		}
		return known.run(c)
	}
	var names []string
	for _, known := range commands() {
		names = append(names, known.name)
	}
	fmt.Fprintf(c.Err, "sysotel: error: there is no command %q\nsysotel: hint: the commands are %s\n", name, strings.Join(names, ", "))
	return 2
}

func printHelp(w io.Writer) {
	fmt.Fprint(w, "sysotel measures this machine every second and tells what it sees to browsers,\nscripts, Prometheus and OpenTelemetry collectors.\n\nUsage: sysotel COMMAND [OPTION ...]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-9s %s\n", c.name, c.help)
	}
	fmt.Fprint(w, "\nsysotel help run lists the options.\n")
}

func runHelp(c Call) int {
	printHelp(c.Out)
	if len(c.Args) > 0 && (c.Args[0] == "run" || c.Args[0] == "check") {
		fmt.Fprintf(c.Out, "\nOptions:\n\n%s", config.Help())
	}
	return 0
}

// load reads the configuration and prints every mistake.
func (c Call) load() (config.Config, bool) {
	loaded, mistakes := config.Load(config.Options{
		Path: config.DefaultPath, Env: c.Env, Args: c.Args, Root: os.Geteuid() == 0,
	})
	for _, m := range mistakes {
		fmt.Fprintf(c.Err, "sysotel: error: %s\n", m)
	}
	return loaded, len(mistakes) == 0
}

// fail prints an error and returns exit code 1.
func (c Call) fail(err error) int {
	fmt.Fprintf(c.Err, "sysotel: error: %v\n", err)
	return 1
}
