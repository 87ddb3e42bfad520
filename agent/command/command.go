// Package command is the command line of sysotel: one file per command. It turns
// arguments into calls and results into text and exit codes; the agent itself is
// in package app.
//
// To add a command, write one file with a function that returns its command, and
// list it in commands. Its arguments are checked and its help is printed from
// that value. Read command.go first, then arguments.go.
package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"sysotel/agent/config"
	"sysotel/agent/nearest"
)

// Call is one call of the program: everything a command may look at.
type Call struct {
	// Args are the arguments, the command's name first.
	Args []string
	Env  []string
	// In is where a password is read from; a terminal does not echo it.
	In  *os.File
	Out io.Writer
	Err io.Writer
	// Version is the program's version.
	Version string
	// Stop ends when the program must end. Reload delivers each request to reload
	// the configuration.
	Stop   context.Context
	Reload <-chan os.Signal

	// started is called once the agent runs, log receives its log; both may be nil.
	started func()
	log     io.Writer

	// words and flags are what parse found for the command that runs: its
	// positional arguments and its own flags with their values. Args then holds
	// the options of the configuration.
	words []string
	flags map[string]string
	// ownFlags are the names of all flags of the command.
	ownFlags []string
}

// command is one command and all that its help says.
type command struct {
	name string
	// summary is its line in the list of commands.
	summary string
	// details are further sentences for its own help.
	details string
	// args are its positional arguments as the help shows them, such as "DIR".
	args string
	// subcommands are its forms; a command has either these or run.
	subcommands []subcommand
	flags       []commandFlag
	options     options
	examples    []string
	run         func(Call) int
}

// subcommand is one form of a command, such as "user add NAME".
type subcommand struct {
	name, args, summary string
	// flags are the names of the command's flags that it accepts.
	flags []string
	run   func(Call) error
}

// commandFlag is a flag of one command, beside the options of the configuration.
type commandFlag struct {
	// name includes the dashes; value is the placeholder of its value, "" for a
	// switch.
	name, value string
	help        string
	// preset is the default as the help shows it, "" for none.
	preset string
}

// options says which options of the configuration a command accepts.
type options int

const (
	noOptions options = iota
	// agentOptions: the command needs the data directory of the running agent.
	agentOptions
	// allOptions: the command uses the whole configuration.
	allOptions
)

// commands lists the commands in the order of the help.
func commands() []command {
	return slices.Concat([]command{
		runCommand(),
		checkCommand(),
		healthCommand(),
		topCommand(),
		backupCommand(),
		userCommand(),
		tokenCommand(),
		openAPICommand(),
		completionCommand(),
		versionCommand(),
		helpCommand(),
	}, systemCommands())
}

// Main runs the command that the arguments name and returns the exit code:
// 0 for success, 1 for a failure, 2 for invalid arguments.
func Main(c Call) int {
	if len(c.Args) == 0 {
		writeList(c.Err)
		return 2
	}
	name := c.Args[0]
	if name == completeCommand {
		return c.complete(c.Args[1:])
	}
	if isHelp(name) {
		name = "help"
	}
	cmd, err := find(name)
	if err != nil {
		return c.misuse(err, "sysotel help lists the commands")
	}
	c.Args = c.Args[1:]
	if slices.ContainsFunc(c.Args, isHelp) {
		cmd.writeHelp(c.Out)
		return 0
	}
	if c, err = c.parse(cmd); err != nil {
		return c.misuse(err, "sysotel help "+cmd.name+" shows its usage")
	}
	if len(cmd.subcommands) > 0 {
		return c.runSubcommand(cmd)
	}
	return cmd.run(c)
}

// isHelp reports whether an argument asks for help.
func isHelp(arg string) bool { return arg == "--help" || arg == "-h" }

// find returns the command with a name.
func find(name string) (command, error) {
	var names []string
	for _, known := range commands() {
		if known.name == name {
			return known, nil
		}
		names = append(names, known.name)
	}
	return command{}, fmt.Errorf("unknown command %q%s", name, nearest.DidYouMean(name, names))
}

// read reads the configuration and returns every error in it.
func (c Call) read() (config.Config, []config.ValidationError) {
	path, err := defaultPath()
	loaded, wrong := config.Load(config.Options{
		Path: path, Env: c.Env, Args: c.Args, Others: c.ownFlags, Root: isRoot(), Shared: sharedDirectory(),
	})
	if err != nil {
		wrong = append(wrong, config.ValidationError{Path: "configuration file", Rule: err.Error()})
	}
	return loaded, wrong
}

// load is read, but prints the errors.
func (c Call) load() (config.Config, bool) {
	loaded, wrong := c.read()
	for _, w := range wrong {
		fmt.Fprintf(c.Err, "sysotel: error: %s\n", w)
	}
	return loaded, len(wrong) == 0
}

// fail prints an error and returns exit code 1.
func (c Call) fail(err error) int {
	fmt.Fprintf(c.Err, "sysotel: error: %v\n", err)
	return 1
}

// misuse prints what is wrong with the arguments and where to read on, and
// returns exit code 2.
func (c Call) misuse(err error, hint string) int {
	fmt.Fprintf(c.Err, "sysotel: error: %v\nsysotel: hint: %s\n", err, hint)
	return 2
}
