package grafana

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "rewrite the boards and the web app's list of panels")

const panelsFile = "../panels.json"

// made returns the boards generated from panels.json.
func made(t *testing.T) map[string][]byte {
	t.Helper()
	list, err := Read(panelsFile)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Boards(list)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestGoldenBoards: the boards in the repository are up to date.
func TestGoldenBoards(t *testing.T) {
	const folder = "boards"
	files := made(t)
	if *update {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(files) {
		t.Errorf("%s has %d files, want %d; run `make golden`", folder, len(entries), len(files))
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(folder, name)); err != nil || string(got) != string(want) {
			t.Errorf("%s is out of date (%v); run `make golden`", name, err)
		}
	}
}

func TestUnknownPanel(t *testing.T) {
	_, err := Boards(&List{Boards: []Board{{ID: "one", Panels: []string{"gone"}}}})
	if err == nil || !strings.Contains(err.Error(), "board one has panel gone") {
		t.Errorf("a board with an unknown panel: got error %v", err)
	}
}

// TestLayout: panels do not overlap and stay inside the grid.
func TestLayout(t *testing.T) {
	for name, text := range made(t) {
		var board struct {
			Panels []struct {
				Title   string
				GridPos struct{ X, Y, W, H int }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		taken := map[[2]int]string{}
		for _, p := range board.Panels {
			if p.GridPos.X+p.GridPos.W > 24 {
				t.Errorf("%s: panel %s is outside the grid: %+v", name, p.Title, p.GridPos)
			}
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other := taken[at]; other != "" {
						t.Fatalf("%s: panel %s covers panel %s", name, p.Title, other)
					}
					taken[at] = p.Title
				}
			}
		}
	}
}

// TestVariables: an expression uses only variables of its board or of Grafana.
func TestVariables(t *testing.T) {
	named := regexp.MustCompile(`\$\{?(\w+)`)
	for name, text := range made(t) {
		var board struct {
			Templating struct{ List []struct{ Name string } }
			Panels     []struct{ Targets []struct{ Expr string } }
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{"__interval": true, "__rate_interval": true}
		for _, v := range board.Templating.List {
			known[v.Name] = true
		}
		used := map[string]bool{"datasource": true}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				for _, m := range named.FindAllStringSubmatch(target.Expr, -1) {
					if !known[m[1]] {
						t.Errorf("%s: %s uses $%s, which the board does not have", name, target.Expr, m[1])
					}
				}
			}
		}
		for _, v := range board.Templating.List {
			if !used[v.Name] {
				t.Errorf("%s has the variable %s, which nothing uses", name, v.Name)
			}
		}
	}
}

// TestProvisioning: the data sources that boards use are provisioned, and so
// are the boards.
func TestProvisioning(t *testing.T) {
	type source struct {
		Name, UID, Type, URL string
		IsDefault            bool              `yaml:"isDefault"`
		JSONData             map[string]any    `yaml:"jsonData"`
		SecureJSONData       map[string]string `yaml:"secureJsonData"`
	}
	var provisioned struct{ Datasources []source }
	read := func(path string, to any) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("provisioning", path))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, to); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	read("datasources/sysotel.yaml", &provisioned)
	var uids, standard []string
	for _, s := range provisioned.Datasources {
		if s.Type != "prometheus" || s.URL == "" || s.JSONData["httpMethod"] != "POST" || s.JSONData["timeInterval"] == nil {
			t.Errorf("data source %s is not a Prometheus with a URL, POST and an interval: %+v", s.Name, s)
		}
		if slices.Contains(uids, s.UID) {
			t.Errorf("two data sources have the ID %s", s.UID)
		}
		uids = append(uids, s.UID)
		if s.IsDefault {
			standard = append(standard, s.UID)
		}
		for name, secret := range s.SecureJSONData {
			if !strings.Contains(secret, "$__file{") {
				t.Errorf("data source %s has %s in the file itself", s.Name, name)
			}
		}
	}
	if !slices.Equal(standard, []string{agentSource}) {
		t.Errorf("the default data sources are %q, want %q alone", standard, agentSource)
	}
	for _, uid := range []string{agentSource, prometheusSource, "victoriametrics-1s", "victoriametrics-1m", "victoriametrics-5m", "victoriametrics-1h"} {
		if !slices.Contains(uids, uid) {
			t.Errorf("data source %s is not provisioned", uid)
		}
	}
	named := regexp.MustCompile(`"uid": "([^"]+)"`)
	for name, text := range made(t) {
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			built := m[1] == "-- Grafana --" || m[1] == "${datasource}" || strings.TrimSuffix(name, ".json") == m[1]
			if !built && !slices.Contains(uids, m[1]) {
				t.Errorf("%s uses data source %s, which is not provisioned", name, m[1])
			}
		}
	}
	var providers struct {
		Providers []struct{ Name, Type string }
	}
	read("dashboards/sysotel.yaml", &providers)
	if len(providers.Providers) != 1 || providers.Providers[0].Type != "file" {
		t.Errorf("the providers of boards are %+v, want one of files", providers.Providers)
	}
}

// compiler is the TypeScript compiler with Grafana's types, in its own folder.
type compiler struct{ folder string }

// newCompiler installs check/package-lock.json. Without npm the test is skipped;
// in CI it fails.
func newCompiler(t *testing.T) *compiler {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("this test needs npm, and CI must run it: %v", err)
		}
		t.Skipf("checking boards against Grafana's types needs npm: %v", err)
	}
	c := &compiler{folder: t.TempDir()}
	if err := os.CopyFS(c.folder, os.DirFS("check")); err != nil {
		t.Fatal(err)
	}
	if output, err := c.run(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, output)
	}
	return c
}

func (c *compiler) run(ctx context.Context, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = c.folder
	output, err := command.CombinedOutput()
	return string(output), err
}

// compile compiles boards, JSON by name, and returns the compiler's errors by name.
func (c *compiler) compile(t *testing.T, boards map[string]string) map[string][]string {
	t.Helper()
	folder := filepath.Join(c.folder, "boards")
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range boards {
		program := "import type { Board } from '../board';\nexport const board: Board = " + text + ";\n"
		if err := os.WriteFile(filepath.Join(folder, name+".ts"), []byte(program), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output, err := c.run(t.Context(), "node", filepath.Join("node_modules", "typescript", "bin", "tsc"), "--project", ".", "--pretty", "false")
	errors := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^boards/([\w-]+)\.ts(\(.*)$`).FindAllStringSubmatch(output, -1) {
		errors[m[1]] = append(errors[m[1]], m[2])
	}
	if err != nil && len(errors) == 0 {
		t.Fatalf("tsc: %v\n%s", err, output)
	}
	return errors
}

// TestSchema checks the boards against the types of the stack's Grafana version,
// and checks that the compiler finds errors.
func TestSchema(t *testing.T) {
	t.Parallel()
	c := newCompiler(t)
	boards := map[string]string{}
	for name, text := range made(t) {
		boards[strings.TrimSuffix(name, ".json")] = string(text)
	}
	// Both in one run: reading Grafana's types takes most of the time.
	all, broken := maps.Clone(boards), map[string]string{}
	f := func(board, old, other string) {
		t.Helper()
		text := boards["sysotel-"+board]
		if !strings.Contains(text, old) {
			t.Fatalf("board %s has no %s to break", board, old)
		}
		name := fmt.Sprintf("broken-%d", len(broken))
		broken[name] = other
		all[name] = strings.Replace(text, old, other, 1)
	}
	f("cpu", `"schemaVersion": 42`, `"schemaVersion": "42"`)
	f("cpu", `"graphTooltip"`, `"sharedCrosshair"`)
	f("cpu", `"drawStyle": "line"`, `"drawStyle": "lines"`)
	f("cpu", `"fillOpacity"`, `"fillOpaqueness"`)
	f("cpu", `"mode": "multi"`, `"mode": "many"`)
	f("cpu", `"type": "timeseries"`, `"type": "graph"`)
	f("cpu", `"id": "custom.lineWidth"`, `"id": "custom.lineWeight"`)
	f("cpu", `"gridPos"`, `"position"`)
	f("disk", `"displayMode": "basic"`, `"displayMode": "simple"`)
	f("overview", `"graphMode": "none"`, `"graphMode": "sparkle"`)
	f("alerts", `"cellHeight": "sm"`, `"cellHeight": "tiny"`)
	f("cpu", `"uid": "${datasource}"`, `"uid": "influx"`)
	errors := c.compile(t, all)
	for name := range boards {
		if len(errors[name]) > 0 {
			t.Errorf("%s does not match Grafana's types:\n%s", name, strings.Join(errors[name], "\n"))
		}
	}
	for name, text := range broken {
		if len(errors[name]) == 0 {
			t.Errorf("the compiler accepts %s", text)
		}
	}
}
