package command

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sysotel/agent/config"
	"sysotel/agent/nearest"
)

// completionScripts make each shell ask the program itself, so that they fit whatever
// version is installed.
//
//go:embed completion
var completionScripts embed.FS

// completeCommand is the hidden command that the scripts call, with the words of the
// line so far. It prints a candidate per line, a tab and what it means; or one of the
// two below.
const completeCommand = "__complete"

// What the shell completes by itself.
const (
	completeFiles       = ":files"
	completeDirectories = ":directories"
)

func completionCommand() command {
	return command{
		name: "completion", summary: "print the completion script of a shell", args: "bash|zsh|fish", run: runCompletion,
		details: "The packages install them.",
		examples: []string{
			"sysotel completion bash > /etc/bash_completion.d/sysotel",
			"sysotel completion fish > ~/.config/fish/completions/sysotel.fish",
		},
	}
}

// runCompletion prints the script of a shell.
func runCompletion(c Call) int {
	script, err := completionScripts.ReadFile("completion/" + c.words[0])
	if err != nil {
		return c.misuse(fmt.Errorf("unknown shell %q%s", c.words[0], nearest.DidYouMean(c.words[0], choices(completionCommand().args))), "sysotel help completion shows its usage")
	}
	_, _ = c.Out.Write(script)
	return 0
}

// candidate is one word that may stand where the cursor is.
type candidate struct{ word, meaning string }

// complete prints what the last word may become, after those before it.
func (c Call) complete(words []string) int {
	for _, found := range candidates(words) {
		fmt.Fprintf(c.Out, "%s\t%s\n", found.word, found.meaning)
	}
	return 0
}

// candidates lists what the last of the words may become.
func candidates(words []string) (found []candidate) {
	// bash hands over --name=value as three words.
	if n := len(words); n > 0 && words[n-1] == "=" {
		words[n-1] = ""
		words = append(slices.Clone(words[:n-1]), "")
	}
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "=" })
	if len(words) == 0 {
		return nil
	}
	before, current := words[:len(words)-1], words[len(words)-1]
	for _, f := range after(before, current) {
		if strings.HasPrefix(f.word, current) || strings.HasPrefix(f.word, ":") {
			found = append(found, f)
		}
	}
	return found
}

// after lists what may follow the words before; current is what is typed of it.
func after(before []string, current string) []candidate {
	if len(before) == 0 {
		return commandNames()
	}
	cmd, err := find(before[0])
	if err != nil {
		return nil
	}
	flags, positional := cmd.allFlags(), 0
	for i := 1; i < len(before); i++ {
		flag, isFlag := flags[before[i]]
		switch {
		case isFlag && flag.value != "" && i == len(before)-1:
			return values(flag.value, "")
		case isFlag && flag.value != "":
			i++
		case !strings.HasPrefix(before[i], "-"):
			positional++
		}
	}
	if name, _, ok := strings.Cut(current, "="); ok && strings.HasPrefix(name, "-") {
		return values(flags[name].value, name+"=")
	}
	if !strings.HasPrefix(current, "-") {
		if found := cmd.positional(before[1:], positional); len(found) > 0 {
			return found
		}
	}
	var found []candidate
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if !slices.Contains(before, name) {
			found = append(found, candidate{name, flags[name].help})
		}
	}
	return found
}

// commandNames lists the commands.
func commandNames() (found []candidate) {
	for _, cmd := range commands() {
		found = append(found, candidate{cmd.name, cmd.summary})
	}
	return found
}

// allFlags returns every flag that the command takes, by name.
func (c command) allFlags() map[string]commandFlag {
	all := map[string]commandFlag{"--help": {help: "show how to use " + c.name}}
	if c.options == allOptions {
		words := config.Choices()
		for name, takesValue := range config.Flags() {
			flag := commandFlag{}
			if takesValue {
				flag.value = "FILE"
			}
			if len(words[name]) > 0 {
				flag.value = strings.Join(words[name], "|")
			}
			all[name] = flag
		}
	}
	for _, f := range c.flagsWithAgent() {
		all[f.name] = f
	}
	return all
}

// positional lists what the positional argument number n, from 0, may be.
func (c command) positional(before []string, n int) (found []candidate) {
	args := strings.Fields(c.args)
	if len(c.subcommands) > 0 {
		if n == 0 {
			for _, s := range c.subcommands {
				found = append(found, candidate{s.name, s.summary})
			}
			return found
		}
		for _, s := range c.subcommands {
			if slices.Contains(before, s.name) {
				args = append([]string{""}, strings.Fields(s.args)...)
			}
		}
	}
	if n >= len(args) {
		return nil
	}
	if args[n] == "[COMMAND]" {
		return commandNames()
	}
	return values(args[n], "")
}

// values lists what a placeholder stands for.
func values(placeholder, prefix string) (found []candidate) {
	switch placeholder {
	case "FILE":
		return []candidate{{completeFiles, ""}}
	case "DIR":
		return []candidate{{completeDirectories, ""}}
	}
	for _, word := range choices(placeholder) {
		found = append(found, candidate{prefix + word, ""})
	}
	return found
}

// choices are the words of a placeholder such as "viewer|admin", none of another.
func choices(placeholder string) []string {
	if !strings.Contains(placeholder, "|") {
		return nil
	}
	return strings.Split(placeholder, "|")
}
