package command

import (
	"fmt"
	"slices"
	"strings"

	"sysotel/agent/config"
	"sysotel/agent/nearest"
)

// parse separates the arguments into positional ones, the command's own flags,
// and the options of the configuration, which stay in Args: config.Load checks
// those and reports all that is wrong with them at once.
func (c Call) parse(cmd command) (Call, error) {
	known, rest := config.Flags(), c.Args
	c.Args, c.words, c.flags, c.ownFlags = nil, nil, map[string]string{}, cmd.flagNames()
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		name, value, hasValue := strings.Cut(arg, "=")
		own, isOwn := cmd.flag(name)
		switch {
		case !strings.HasPrefix(arg, "-") && cmd.takesWords():
			c.words = append(c.words, arg)
		case isOwn:
			if own.value != "" && !hasValue && len(rest) > 0 {
				value, rest = rest[0], rest[1:]
			}
			if (own.value == "") == (value != "" || hasValue) {
				return c, own.misuse()
			}
			c.flags[own.name] = value
		case cmd.options == noOptions:
			return c, fmt.Errorf("%s: unknown option%s", name, nearest.DidYouMean(name, cmd.flagNames()))
		default:
			c.Args = append(c.Args, arg)
			if takesValue, ok := known[name]; (takesValue || !ok) && !hasValue && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
				c.Args, rest = append(c.Args, rest[0]), rest[1:]
			}
		}
	}
	if len(cmd.subcommands) == 0 && cmd.takesWords() {
		return c, checkCount(cmd.name, cmd.args, c.words)
	}
	return c, nil
}

// takesWords reports whether the command has positional arguments. Where it has
// none and takes options, config.Load reports a stray word.
func (c command) takesWords() bool {
	return c.args != "" || len(c.subcommands) > 0 || c.options == noOptions
}

// flag finds one of the command's own flags; -name is accepted for --name.
func (c command) flag(name string) (commandFlag, bool) {
	for _, f := range c.flags {
		if name == f.name || "-"+name == f.name {
			return f, true
		}
	}
	return commandFlag{}, false
}

func (c command) flagNames() []string {
	var names []string
	for _, f := range c.flags {
		names = append(names, f.name)
	}
	return names
}

// misuse is the error of a flag with no value, or of a switch with one.
func (f commandFlag) misuse() error {
	if f.value == "" {
		return fmt.Errorf("%s takes no value", f.name)
	}
	return fmt.Errorf("%s needs a value: %s %s", f.name, f.name, f.value)
}

// checkCount compares the positional arguments with those that the help shows;
// one in brackets is optional.
func checkCount(name, args string, words []string) error {
	all := strings.Fields(args)
	if len(all)-strings.Count(args, "[") <= len(words) && len(words) <= len(all) {
		return nil
	}
	if args == "" {
		return fmt.Errorf("%s takes no arguments, got %q", name, words)
	}
	return fmt.Errorf("%s takes %s, got %d arguments", name, args, len(words))
}

// runSubcommand runs the subcommand that the first positional argument names.
func (c Call) runSubcommand(cmd command) int {
	sub, err := c.subcommand(cmd)
	if err != nil {
		return c.misuse(err, "sysotel help "+cmd.name+" shows its usage")
	}
	c.words = c.words[1:]
	if err := sub.run(c); err != nil {
		return c.fail(err)
	}
	return 0
}

// subcommand finds the subcommand and checks its arguments and flags.
func (c Call) subcommand(cmd command) (subcommand, error) {
	var names []string
	for _, s := range cmd.subcommands {
		names = append(names, s.name)
	}
	if len(c.words) == 0 {
		return subcommand{}, fmt.Errorf("%s needs a subcommand: %s", cmd.name, strings.Join(names, ", "))
	}
	i := slices.Index(names, c.words[0])
	if i < 0 {
		return subcommand{}, fmt.Errorf("%s: unknown subcommand %q%s", cmd.name, c.words[0], nearest.DidYouMean(c.words[0], names))
	}
	sub, name := cmd.subcommands[i], cmd.name+" "+names[i]
	if err := checkCount(name, sub.args, c.words[1:]); err != nil {
		return subcommand{}, err
	}
	for flag := range c.flags {
		if !slices.Contains(sub.flags, flag) {
			return subcommand{}, fmt.Errorf("%s does not take %s", name, flag)
		}
	}
	return sub, nil
}
