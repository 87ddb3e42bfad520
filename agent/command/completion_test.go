package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCandidates: what may follow is what the commands say of themselves.
func TestCandidates(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		var got []string
		for _, c := range candidates(strings.Split(line, " ")) {
			got = append(got, c.word)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	var all []string
	for _, c := range commands() {
		all = append(all, c.name)
	}
	f("", all...)
	f("use", "user")
	f("nonsense x")
	f("user ", "list", "add", "role", "password", "remove")
	f("user r", "role", "remove")
	f("user role ada ", "viewer", "admin")
	f("user add --role ", "viewer", "admin")
	f("user add --role=a", "--role=admin")
	f("user add --role = a", "admin")
	f("user add --role =", "viewer", "admin")
	f("user add --ro", "--role")
	f("user add --role admin --ro")
	f("top --sort ", "cpu", "memory", "io", "time", "threads", "started", "user", "pid", "name")
	f("backup ", ":directories")
	f("backup /x --w", "--with-secrets")
	f("check --config ", ":files")
	f("check --log.f", "--log.file", "--log.format")
	f("run --log.level w", "warn")
	f("run --log.level=w", "--log.level=warn")
	f("help comp", "completion")
	f("completion ", "bash", "zsh", "fish")
	f("version --l", "--licenses")
}

// TestCompletionScripts: each shell completes by its script, with the real program.
func TestCompletionScripts(t *testing.T) {
	dir := t.TempDir()
	// A shell reads it under the name sysotel, from its PATH.
	for shell, drive := range map[string]string{
		"bash": `source ./script; compopt() { :; }; complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sysotel 2>/dev/null; printf '%s\n' "${COMPREPLY[@]}"; }`,
		"zsh": `autoload -U compinit && compinit -D -u; _describe() { print -l -- "${(@P)2}"; }; _files() { print -l scr*; }; source ./script
complete_line() { words=("$@"); CURRENT=$#; _sysotel; }`,
		"fish": `source ./script; function complete_line; complete -C (string join ' ' -- $argv); end`,
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				if os.Getenv("CI") != "" {
					t.Fatalf("%s is missing: apt-get install %s; .ci/run does", shell, shell)
				}
				t.Skipf("needs %s, which reads the script", shell)
			}
			script, err := exec.CommandContext(t.Context(), program, "completion", shell).Output()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "script"), script, 0o600); err != nil {
				t.Fatal(err)
			}
			f := func(args, want string) {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), path, "-c", drive+"\ncomplete_line sysotel "+args)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "HOME="+dir)
				out, err := cmd.CombinedOutput()
				var got []string
				for line := range strings.Lines(string(out)) {
					word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
					word, _, _ = strings.Cut(word, ":")
					got = append(got, word)
				}
				slices.Sort(got)
				if strings.Join(got, " ") != want {
					t.Errorf("sysotel %s: got %q, want %q (%v)", args, got, want, err)
				}
			}
			f("us", "user")
			f("user r", "remove role")
			f("user add --role a", "admin")
			f("check --config scr", "script")
		})
	}
	if _, err := exec.CommandContext(t.Context(), program, "completion", "ksh").Output(); err == nil {
		t.Error("there is a script for a shell that is not known")
	}
}

// TestManual: the manual page has every command and option, and a reader of roff finds
// nothing wrong with it.
func TestManual(t *testing.T) {
	page, err := exec.CommandContext(t.Context(), program, "help", "--man").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands() {
		for name := range c.allFlags() {
			// Those of each collector are there once.
			if name != "--help" && !strings.Contains(string(page), roff(name)) && strings.Count(name, ".") < 2 {
				t.Errorf("the manual page lacks %s of %s", name, c.name)
			}
		}
		if !strings.Contains(string(page), "\n.SS "+c.name+"\n") {
			t.Errorf("the manual page lacks %s", c.name)
		}
	}
	path, err := exec.LookPath("groff")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("groff is missing: apt-get install groff-base; .ci/run does")
		}
		t.Skip("needs groff, which knows what a manual page may say")
	}
	cmd := exec.CommandContext(t.Context(), path, "-man", "-Tutf8", "-ww", "-rCHECKSTYLE=3")
	cmd.Stdin = strings.NewReader(string(page))
	var said strings.Builder
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Errorf("%v\n%s", err, said.String())
	}
	if !strings.Contains(string(text), "v1.2.3") {
		t.Error("the manual page lacks the version")
	}
}
