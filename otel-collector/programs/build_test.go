package programs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestBuildMakesAProgramOncePerDefinition(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "defined"), "one")
	made := 0
	w := workshop{root: root, output: t.Output(), programs: []program{{
		name:      "thing",
		definedBy: []string{"defined"},
		make: func(_ context.Context, _ workshop, _, out string) error {
			made++
			return os.WriteFile(out, []byte("made"), 0o755)
		},
	}}}
	f := func(situation string, wantMade int) string {
		t.Helper()
		path, err := w.build(t.Context(), "thing")
		if err != nil {
			t.Fatalf("%s: %v", situation, err)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != "made" {
			t.Errorf("%s: the program is %q, %v", situation, content, err)
		}
		if made != wantMade {
			t.Errorf("%s: made %d times, want %d", situation, made, wantMade)
		}
		return path
	}
	first := f("missing", 1)
	f("there", 1)
	write(t, filepath.Join(root, "defined"), "two")
	if second := f("definition changed", 2); second == first {
		t.Errorf("the path %s is the same for two definitions", first)
	}
	write(t, filepath.Join(root, "defined"), "one")
	if third := f("definition changed back", 2); third != first {
		t.Errorf("the path is %s, want %s as for the same definition before", third, first)
	}
	w.programs[0].recipe = "another"
	f("recipe changed", 3)
	if got := visible(t, filepath.Join(root, "bin", "tools")); len(got) != 3 {
		t.Errorf("bin/tools has %v, want the three versions and no leftovers", got)
	}
}

func TestConcurrentBuilds(t *testing.T) {
	root := t.TempDir()
	var made atomic.Int32
	w := workshop{root: root, output: t.Output(), programs: []program{{
		name: "thing",
		make: func(_ context.Context, _ workshop, _, out string) error {
			made.Add(1)
			return os.WriteFile(out, nil, 0o755)
		},
	}}}
	// Each caller opens the lock file itself, so they exclude each other as separate
	// processes do.
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			if _, err := w.build(t.Context(), "thing"); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times, want 1", made.Load())
	}
}

func TestBuildThatFailsLeavesNothing(t *testing.T) {
	root := t.TempDir()
	broken := errors.New("broken")
	w := workshop{root: root, output: t.Output(), programs: []program{{
		name: "thing",
		make: func(_ context.Context, _ workshop, _, out string) error {
			return errors.Join(os.WriteFile(out, nil, 0o755), broken)
		},
	}}}
	if path, err := w.build(t.Context(), "thing"); !errors.Is(err, broken) {
		t.Errorf("build = %q, %v; want the error of make", path, err)
	}
	if got := visible(t, filepath.Join(root, "bin", "tools")); len(got) != 0 {
		t.Errorf("bin/tools has %v, want nothing", got)
	}
}

func TestVersionIncludesWhatIsNeeded(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "of-the-tool"), "one")
	w := workshop{root: root, programs: []program{
		{name: "thing", needs: []string{"tool"}},
		{name: "tool", definedBy: []string{"of-the-tool"}},
	}}
	before, err := w.version(w.programs[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "of-the-tool"), "two")
	after, err := w.version(w.programs[0])
	if err != nil {
		t.Fatal(err)
	}
	if before == after {
		t.Errorf("the version %s did not change with the tool's", before)
	}
}

func TestBuildErrors(t *testing.T) {
	root := t.TempDir()
	w := workshop{root: root, output: t.Output(), programs: []program{
		{name: "one", definedBy: []string{"missing"}},
		{name: "two", needs: []string{"three"}},
	}}
	f := func(name, want string) {
		t.Helper()
		path, err := w.build(t.Context(), name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("build(%q) = %q, %v; want an error with %q", name, path, err, want)
		}
	}
	f("nothing", `no program "nothing", there are: one, two`)
	f("one", "missing")
	f("two", `no program "three"`)
}

// TestGoTool builds a tiny module like those under otel-collector/tools.
func TestGoTool(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "otel-collector", "tools", "tiny")
	write(t, filepath.Join(folder, "go.mod"), "module tiny\n\ngo 1.26\n")
	write(t, filepath.Join(folder, "go.sum"), "")
	write(t, filepath.Join(folder, "main.go"), "package main\n\nvar version string\n\nfunc main() { print(version) }\n")
	var goMods []string
	flags := func(goMod string) []string {
		goMods = append(goMods, goMod)
		return []string{"-ldflags=-X main.version=seven"}
	}
	var output bytes.Buffer
	w := workshop{root: root, output: &output, programs: []program{goTool("tiny", "tiny", ".", flags)}}
	path, err := w.build(t.Context(), "tiny")
	if err != nil {
		t.Fatalf("%v\n%s", err, &output)
	}
	if !slices.ContainsFunc(goMods, func(s string) bool { return strings.HasPrefix(s, "module tiny") }) {
		t.Errorf("the flags were asked for with %q, want the content of go.mod", goMods)
	}
	p := Start(t, exec.CommandContext(t.Context(), path))
	if err := p.Err(); err != nil || p.Output() != "seven" {
		t.Errorf("the program printed %q and ended with %v", p.Output(), err)
	}

	write(t, filepath.Join(folder, "main.go"), "package main\n\nfunc main() { nonsense() }\n")
	write(t, filepath.Join(folder, "go.sum"), "\n")
	if path, err := w.build(t.Context(), "tiny"); err == nil || !strings.Contains(output.String(), "undefined: nonsense") {
		t.Errorf("build of a broken program = %q, %v, with the output\n%s\nwant the compiler's words", path, err, &output)
	}
}

func TestPrometheusFlags(t *testing.T) {
	f := func(goMod, want string) {
		t.Helper()
		flags := strings.Join(prometheusFlags(goMod), " ")
		if !strings.HasSuffix(flags, "version.Version="+want) {
			t.Errorf("flags for %q are %q, want version %s", goMod, flags, want)
		}
	}
	f("require (\n\tgithub.com/prometheus/prometheus v0.315.0 // indirect\n)\n", "3.15.0")
	f("require (\n\tgithub.com/prometheus/prometheus v0.300.12\n)\n", "3.0.12")
	f("tool (\n\tgithub.com/prometheus/prometheus/cmd/prometheus\n)\n", "unknown")
	f("", "unknown")
}

// visible returns the names in a folder, those of scratch folders included and
// those of lock files not.
func visible(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			names = append(names, entry.Name())
		}
	}
	return names
}
