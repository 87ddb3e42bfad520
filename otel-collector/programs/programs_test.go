package programs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRootIsFoundFromAnyFolder(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "// A comment.\nmodule sysotel // with one here\n")
	write(t, filepath.Join(root, "tools", "lint", "go.mod"), "module sysotel/tools/lint\n")
	f := func(dir string) {
		t.Helper()
		mkdir(t, filepath.Join(root, dir))
		got, err := findRoot(filepath.Join(root, dir))
		if err != nil || got != root {
			t.Errorf("findRoot(%q) = %q, %v; want %q", dir, got, err, root)
		}
	}
	f(".")
	f("agent/store")
	f("tools/lint")
	f("tools/lint/deeper")

	if got, err := findRoot(t.TempDir()); err == nil {
		t.Errorf("findRoot outside of the repository = %q, want an error", got)
	}
}

func TestModuleName(t *testing.T) {
	f := func(goMod, want string) {
		t.Helper()
		if got := moduleName(goMod); got != want {
			t.Errorf("moduleName(%q) = %q, want %q", goMod, got, want)
		}
	}
	f("module sysotel\n\ngo 1.26.0\n", "sysotel")
	f("module\tsysotel", "sysotel")
	f("module \"sysotel\"\n", "sysotel")
	f("// module other\nmodule sysotel\n", "sysotel")
	f("go 1.26.0\n", "")
	f("module\n", "")
	f("", "")
}

// TestTableMatchesTheFiles: the files that define a program exist, and its go.mod pins
// the package that its row builds.
func TestTableMatchesTheFiles(t *testing.T) {
	root, err := findRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	w := workshop{root: root, programs: table()}
	seen := map[string]bool{}
	for _, p := range w.programs {
		if seen[p.name] {
			t.Errorf("two programs are named %s", p.name)
		}
		seen[p.name] = true
		if version, err := w.version(p); err != nil || len(version) != 12 {
			t.Errorf("version of %s = %q, %v; want 12 digits", p.name, version, err)
		}
		for _, name := range p.definedBy {
			if !strings.HasSuffix(name, "go.mod") {
				continue
			}
			content, err := os.ReadFile(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			pkg := p.recipe[strings.LastIndex(p.recipe, " ")+1:]
			if pkg != "." && !slices.Contains(toolsOf(string(content)), pkg) {
				t.Errorf("%s has no tool line for %s, which %s is built from", name, pkg, p.name)
			}
		}
	}
	if got := Names(); len(got) != len(w.programs) {
		t.Errorf("Names() has %d names, want %d", len(got), len(w.programs))
	}
}

// TestManifestHasOneVersion keeps the Collector's manifest and its builder at one
// version: with another builder the build breaks, or the result does.
func TestManifestHasOneVersion(t *testing.T) {
	root, err := findRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile(filepath.Join(root, "otel-collector", "builder.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	goMod, err := os.ReadFile(filepath.Join(root, "otel-collector", "tools", "collector", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	core := moduleVersion(string(goMod), "go.opentelemetry.io/collector/cmd/builder")
	stable := map[string]bool{}
	components := 0
	for line := range strings.Lines(string(manifest)) {
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[1] != "gomod:" {
			continue
		}
		components++
		if strings.HasPrefix(fields[2], "go.opentelemetry.io/collector/confmap/provider/") {
			stable[fields[3]] = true
		} else if fields[3] != core {
			t.Errorf("%s is at %s, the builder is at %s", fields[2], fields[3], core)
		}
	}
	if components == 0 || len(stable) != 1 {
		t.Errorf("%d components, providers at %v; want some components and providers at one version", components, stable)
	}
	if !strings.Contains(string(manifest), "\n  version: "+strings.TrimPrefix(core, "v")+"\n") {
		t.Errorf("the distribution does not have the version of its core, %s", core)
	}
}

func TestPathBuildsOnce(t *testing.T) {
	// gofumpt is the smallest program of the table.
	path := Path(t, "gofumpt")
	if again := Path(t, "gofumpt"); again != path {
		t.Errorf("Path = %s, then %s", path, again)
	}
	if folder := filepath.Base(filepath.Dir(path)); folder != "tools" {
		t.Errorf("Path = %s, want it in bin/tools", path)
	}
	if output, err := Command(t, "gofumpt", "--version").CombinedOutput(); err != nil {
		t.Errorf("gofumpt --version: %v\n%s", err, output)
	}
}

// toolsOf returns the packages that the tool lines of a go.mod name.
func toolsOf(goMod string) []string {
	var tools []string
	inside := false
	for line := range strings.Lines(goMod) {
		line = strings.TrimSpace(line)
		switch {
		case line == "tool (":
			inside = true
		case line == ")":
			inside = false
		case inside:
			tools = append(tools, line)
		case strings.HasPrefix(line, "tool "):
			tools = append(tools, strings.TrimPrefix(line, "tool "))
		}
	}
	return tools
}

// write writes a file and makes its folders.
func write(t *testing.T, path, content string) {
	t.Helper()
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// mkdir makes a folder and its parents.
func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}
