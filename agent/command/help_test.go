package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sysotel/agent/config"
)

// TestGoldenHelp: each command in the list explains itself by both ways of
// asking, and testdata/help.golden shows all of it.
func TestGoldenHelp(t *testing.T) {
	help := func(args ...string) string {
		t.Helper()
		var out, complaints bytes.Buffer
		if code := Main(Call{Args: args, Out: &out, Err: &complaints, Stop: t.Context()}); code != 0 || complaints.Len() > 0 {
			t.Fatalf("sysotel %s: exit code %d\n%s", strings.Join(args, " "), code, &complaints)
		}
		return out.String()
	}
	all := help("help")
	for _, c := range commands() {
		text := help("help", c.name)
		if asked := help(c.name, "--help"); asked != text {
			t.Errorf("%s --help differs from help %s:\n%s", c.name, c.name, asked)
		}
		parts := []string{"sysotel " + c.name + ": " + c.summary + ".", "Usage: sysotel " + c.name, "\nExamples:\n  sysotel " + c.name, c.args}
		for _, s := range c.subcommands {
			parts = append(parts, "\n  "+strings.TrimSpace(s.name+" "+s.args)+" ", s.summary)
			for _, name := range s.flags {
				if _, ok := c.flag(name); !ok {
					t.Errorf("%s %s accepts %s, which the command does not have", c.name, s.name, name)
				}
			}
		}
		for _, f := range c.flags {
			parts = append(parts, "\n  "+strings.TrimSpace(f.name+" "+f.value)+" ", f.help, f.preset)
		}
		if c.options == allOptions {
			if !strings.HasSuffix(text, config.Help()) {
				t.Errorf("the help of %s lacks the options", c.name)
			}
			text = strings.TrimSuffix(text, config.Help()) + "...\n" // config has a golden file of them
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("the help of %s lacks %q", c.name, part)
			}
		}
		all += "\n--- sysotel help " + c.name + "\n" + text
	}
	for line := range strings.Lines(all) {
		if len(line) > 81 {
			t.Errorf("longer than 80 columns: %s", line)
		}
	}
	path := filepath.Join("testdata", "help.golden")
	if *update {
		if err := os.WriteFile(path, []byte(all), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if all != string(want) {
		t.Errorf("the help differs from %s; run go test -update if that is intended\n%s", path, all)
	}
}
