package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// allowed lists which of our packages may import which others of ours, and why. It is
// policy: change the code to fit the table, or change both the policy and the table.
var allowed = map[string]map[string]string{
	"instruments": {
		"instruments/command":    "custom metrics come from there",
		"instruments/exposition": "custom metrics are read and merged there",
		"instruments/pattern":    "operators choose devices by patterns",
		"instruments/sanitize":   "names that the machine gives are hostile",
		"instruments/scrub":      "command lines hold secrets",
		"instruments/textfile":   "custom metrics come from there",
	},
	"instruments/command": {
		"instruments/exposition": "what a program prints is read there",
		"instruments/sanitize":   "what a program prints is hostile",
	},
	"instruments/exposition":  {},
	"instruments/heaptest":    {},
	"instruments/pattern":     {},
	"instruments/permissions": {"instruments": "it tries what the collectors do"},
	"instruments/portowner":   {},
	"instruments/sanitize":    {},
	"instruments/scrub":       {"instruments/pattern": "operators name secrets by patterns"},
	"instruments/textfile": {
		"instruments/exposition": "what a file holds is read there",
		"instruments/sanitize":   "names of files are hostile",
	},
	"agent/sampler": {
		"agent/clock":   "its ticks are of that time, and a step is an event",
		"instruments":   "it reads the collectors",
		"agent/health":  "components are defined there",
		"agent/records": "the process tables and events that it hands over are defined there",
	},
	"agent/export": {
		"instruments":            "it hands the collectors' readings to the SDK",
		"agent/clienttls":        "the receiver may have a private certificate authority",
		"agent/fresh":            "headers and certificates are read again when their files change",
		"agent/health":           "components are defined there",
		"agent/store":            "one of its destinations, which defines the readings to store",
		"agent/queue":            "requests of the push wait there",
		"agent/secret":           "headers are secret",
		"instruments/sanitize":   "labels of custom metrics are hostile",
		"instruments/exposition": "whether a custom metric counts is decided there",
	},
	"agent/store": {
		"agent/clock":      "it asks it what time it is",
		"agent/atomicfile": "small files are written by it",
		"agent/health":     "its health has its type from there",
	},
	"agent/query": {
		"agent/regex": "regular expressions are bounded there",
		"agent/store": "roll-ups are defined there, and its tiers are one of the sources",
	},
	"agent/query/difftest": {
		"agent/query":           "its answers are held against those of Prometheus",
		"agent/store":           "it feeds histories to a store",
		"agent/store/storetest": "its clocks can be set",
	},
	"agent/query/victoriametrics": {
		"agent/loopback": "a node on this machine is asked without compression",
		"agent/query":    "sources and query errors are defined there",
		"agent/store":    "tiers and roll-ups are defined there",
	},
	// Leaves that do one thing.
	"agent/atomicfile": {},
	"agent/clienttls":  {"agent/fresh": "certificates are read again when their files change"},
	"agent/disktest":   {},
	"agent/fresh":      {},
	"agent/clock": {
		"agent/atomicfile": "its state is a small file",
		"agent/health":     "its health has its type from there",
	},
	"agent/health":   {},
	"agent/loopback": {},
	"agent/jsonfile": {
		"agent/atomicfile": "its file is replaced whole",
		"agent/sqlite":     "how a damaged file is named, and the error of a newer one",
	},
	"agent/peer":     {},
	"agent/socket":   {},
	"agent/secret":   {"agent/fresh": "secrets are read again when their files change"},
	"agent/regex":    {},
	"agent/template": {"agent/regex": "regular expressions are bounded there"},
	"agent/alerting": {
		"agent/clock":    "it asks it what time it is",
		"agent/health":   "its health has its type from there",
		"agent/notify":   "notices are defined there",
		"agent/store":    "the series that rules make are kept there",
		"agent/records":  "an alert is an event, which is defined there",
		"agent/jsonfile": "the rules of the API are in such a file",
		"agent/sqlite":   "it keeps a file",
		"agent/template": "templates of rules are bounded there",
		"agent/regex":    "regular expressions of callers are bounded there",
		"agent/query":    "rules are evaluated by it; results and errors have their types from there",
		"agent/nearest":  "names that match nothing are likely misspelt",
	},
	"agent/nearest": {},
	"agent/store/storetest": {
		"agent/clock":  "its stores have clocks that can be set",
		"agent/health": "a store that made history must be healthy",
		"agent/query":  "the conformance suite asks sources by its queries",
		"agent/store":  "it makes history with a store",
	},
	"agent/auth": {
		"agent/atomicfile": "it writes the accounts and the keys",
		"agent/clock":      "sessions and tokens keep their age when the clock is set",
	},
	"agent/sqlite": {},
	"agent/top": {
		"agent/alerting":       "states of alerts have their type from there",
		"api":                  "it decodes the agent's responses",
		"instruments/sanitize": "names of processes are hostile",
	},
	"agent/records": {
		"agent/clock":          "it asks it what time it is",
		"agent/sqlite":         "it keeps a file",
		"instruments/sanitize": "what it keeps are names of processes and what they were started with",
		"agent/health":         "its health has its type from there",
	},
	"agent/queue": {
		"agent/clock":  "its requests keep their age when the clock is set",
		"agent/sqlite": "it keeps a file",
	},
	"agent/notify": {
		"agent/clock":          "notices keep their age when the clock is set",
		"agent/clienttls":      "mail servers and webhooks may have private certificate authorities",
		"agent/health":         "its health has its type from there",
		"agent/loopback":       "a password in plain text stays on this machine",
		"agent/secret":         "passwords and URLs of channels are secrets",
		"agent/jsonfile":       "the channels of the API are in such a file",
		"agent/sqlite":         "it keeps a file",
		"agent/template":       "templates of messages are bounded there",
		"instruments/sanitize": "what notices quote is hostile",
	},
	"api/promql": {
		"agent/alerting": "rules and their alerts are listed as it knows them",
		"agent/query":    "queries are evaluated there, and errors have their types from there",
	},
	"api": {
		"agent/fresh":          "its certificates are read again when their files change",
		"agent/health":         "the type of a component's health is there",
		"agent/atomicfile":     "it writes its own certificate",
		"agent/loopback":       "what only this machine reaches needs no login",
		"agent/peer":           "root and the agent's user need no login there",
		"agent/socket":         "the commands reach it there",
		"agent/alerting":       "alerts, rules and silences have their types from there",
		"agent/auth":           "callers and their roles have their types from there",
		"agent/notify":         "channels and their errors have their types from there",
		"instruments":          "the documents are made from typed readings",
		"instruments/sanitize": "what clients send is hostile",
		"agent/query":          "series queries, their results and errors have their types from there",
		"agent/records":        "queries of past processes and events, and their results, have their types from there",
	},
	"agent/config": {
		"agent/nearest":        "misspelt names get a hint",
		"agent/loopback":       "a listener that others reach needs TLS",
		"instruments/sanitize": "names of variables are hostile",
		"instruments":          "one struct made of each package's own Config",
		"agent/alerting":       "one struct made of each package's own Config",
		"agent/notify":         "one struct made of each package's own Config",
		"agent/secret":         "secrets are not shown",
		"agent/export":         "one struct made of each package's own Config",
		"agent/sampler":        "one struct made of each package's own Config",
		"agent/query":          "one struct made of each package's own Config",
		"agent/store":          "one struct made of each package's own Config",
		"api":                  "one struct made of each package's own Config",
	},
	"agent/app": {
		"agent/atomicfile":            "whether the data directory can be written is tried by it",
		"agent/clock":                 "it wires everything",
		"instruments/portowner":       "it wires everything",
		"agent/auth":                  "it wires everything",
		"agent/store":                 "it wires everything",
		"agent/sqlite":                "damage to a file becomes an event",
		"agent/query":                 "it wires everything",
		"agent/query/victoriametrics": "it wires everything",
		"agent/records":               "it wires everything",
		"agent/queue":                 "it wires everything",
		"api/promql":                  "it wires everything",
		"instruments":                 "it wires everything",
		"instruments/command":         "children that custom commands leave behind are waited for",
		"instruments/exposition":      "metadata have the types of custom metrics from there",
		"agent/sampler":               "it wires everything",
		"agent/export":                "it wires everything",
		"agent/config":                "it wires everything",
		"api":                         "it wires everything",
		"dashboards":                  "it wires everything",
		"agent/alerting":              "it wires everything",
		"agent/notify":                "it wires everything",
		"agent/health":                "it wires everything",
		"agent/loopback":              "whether a node_exporter listens to the network is decided by it",
	},
	"agent/command": {
		"agent/nearest":           "misspelt names get a hint",
		"agent/health":            "health prints components",
		"agent/app":               "run starts the agent",
		"agent/atomicfile":        "token add writes a file",
		"agent/config":            "every command reads the configuration",
		"agent/clienttls":         "top may ask another machine, with a private certificate authority",
		"agent/socket":            "the running agent is reached there",
		"agent/top":               "top runs it",
		"api":                     "health decodes its answers",
		"instruments":             "check reads the machine as the agent would",
		"instruments/permissions": "check reports what this user's permissions do not allow",
		"instruments/sanitize":    "what it prints are names that others chose",
	},
	"agent/packaging/release":       {},
	"agent":                         {"agent/command": "main has the command line only"},
	"dashboards":                    {},
	"dashboards/grafana":            {},
	"otel-collector/programs":       {},
	"otel-collector/programs/build": {"otel-collector/programs": "its command line for the Makefile"},
	"otel-collector/programs/fleet": {},
	"otel-collector/programs/stack": {"otel-collector/programs": "it runs what is built there"},
}

// onlyIn lists third-party packages that only one of our packages, or a few separated by
// spaces, may import, and why.
var onlyIn = []struct{ module, where, why string }{
	{"github.com/shirou/gopsutil", "instruments", "gopsutil is frozen at v3; with one importer it can be replaced in one place"},
	{"go.opentelemetry.io/otel/sdk", "agent/export", "other packages hand over readings and do not depend on how they are exported"},
	{"go.opentelemetry.io/otel/exporters", "agent/export", "destinations live there"},
	{"github.com/danielgtaylor/huma", "api", "the REST framework is a detail of the API"},
	{"github.com/prometheus/client_golang/prometheus/promhttp", "agent/export", "the scrape page is a destination; the store's library only has the client's types in its signatures"},
	{"github.com/prometheus/exporter-toolkit", "api", "access to the HTTP listeners is decided there; agent/config validates files through it"},
	{"google.golang.org/grpc", "agent/export", "the push is a destination"},
	{"github.com/json-iterator/go", "agent/query/victoriametrics", "the standard library reads a stream of numbers half as fast, or whole into memory; other packages use the standard library"},
	{"github.com/Microsoft/go-winio", "agent/socket", "only Windows has named pipes; the others do not link it"},
	{"modernc.org/sqlite", "agent/sqlite", "files are opened, migrated and set aside in one way"},
	{"github.com/prometheus/alertmanager", "agent/notify", "notifications are sent there; other packages hand it notices"},
	{"github.com/wneessen/go-mail", "agent/notify", "mail is a channel"},
	{"charm.land/bubbletea", "agent/top", "the terminal program is one package; the agent must not draw"},
	{"os/exec", "instruments/command agent/packaging/release", "only custom commands start programs, and what builds a release; a monitor must not"},
}

// sources returns our Go files without tests, by folder.
func sources(t *testing.T) map[string][]*ast.File {
	t.Helper()
	found := map[string][]*ast.File{}
	walk(t, ".go", func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", path), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		found[dir] = append(found[dir], file)
	})
	return found
}

// walk calls f with each of our files of the given ending, from the root.
func walk(t *testing.T, ending string, f func(path string)) {
	t.Helper()
	for _, top := range []string{"agent", "api", "instruments", "otel-collector", "dashboards"} {
		err := filepath.WalkDir(filepath.Join("..", top), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				if os.IsNotExist(err) {
					return nil
				}
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if strings.HasSuffix(path, ending) {
				f(strings.TrimPrefix(filepath.ToSlash(path), "../"))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestImports(t *testing.T) {
	for dir, files := range sources(t) {
		table, known := allowed[dir]
		if !known {
			t.Errorf("package %s is not in the table of allowed imports", dir)
		}
		for _, file := range files {
			for _, i := range file.Imports {
				path, _ := strconv.Unquote(i.Path.Value)
				if ours, ok := strings.CutPrefix(path, "sysotel/"); ok {
					if _, fine := table[ours]; !fine {
						t.Errorf("%s imports %s, which the table does not allow", dir, ours)
					}
				}
				for _, rule := range onlyIn {
					if strings.HasPrefix(path, rule.module) && !slices.Contains(strings.Fields(rule.where), dir) && !strings.HasPrefix(dir, "otel-collector") {
						t.Errorf("%s imports %s, which is allowed in %s only: %s", dir, path, rule.where, rule.why)
					}
				}
			}
		}
	}
}

// TestTableIsAlive fails if the tables name a package or an import that is gone.
func TestTableIsAlive(t *testing.T) {
	found := sources(t)
	imported := func(dir, prefix string) bool {
		return slices.ContainsFunc(found[dir], func(f *ast.File) bool {
			return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool {
				path, _ := strconv.Unquote(i.Path.Value)
				return strings.HasPrefix(path, prefix)
			})
		})
	}
	for dir, table := range allowed {
		if len(found[dir]) == 0 {
			t.Errorf("the table names package %s, which is gone", dir)
		}
		for other := range table {
			if !imported(dir, "sysotel/"+other) {
				t.Errorf("the table lets %s import %s, which it does not need", dir, other)
			}
		}
	}
	for _, rule := range onlyIn {
		for where := range strings.FieldsSeq(rule.where) {
			if !imported(where, rule.module) {
				t.Errorf("%s is allowed only in %s, which does not import it", rule.module, where)
			}
		}
	}
}

func TestPackageComments(t *testing.T) {
	for dir, files := range sources(t) {
		n := 0
		for _, f := range files {
			if f.Doc != nil {
				n++
			}
		}
		if n != 1 {
			t.Errorf("package %s has %d package comments, it needs one", dir, n)
		}
	}
}

func TestMainIsThin(t *testing.T) {
	text, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n >= 80 {
		t.Errorf("main.go has %d lines; what is more than the command line, signals and the exit code belongs elsewhere", n)
	}
}

func TestNames(t *testing.T) {
	empty := regexp.MustCompile(`(^|[/_])(util|utils|common|helper|helpers|base|misc|manager|types|data)(_test)?(\.go|/|$)`)
	walk(t, ".go", func(path string) {
		if empty.MatchString(path) {
			t.Errorf("%s: the name says nothing; name what is inside", path)
		}
	})
}

// TestNoSleep: a test that sleeps is slow on a fast machine and wrong on a slow
// one. In the bubble of testing/synctest sleeping costs nothing.
func TestNoSleep(t *testing.T) {
	sleep := "time." + "Sleep("
	walk(t, "_test.go", func(path string) {
		text, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), sleep) && !strings.Contains(string(text), `"testing/synctest"`) {
			t.Errorf("%s sleeps; wait for an event, or use testing/synctest", path)
		}
	})
}

// TestWritersOfGoldenFiles holds the tests that write golden files to the name TestGolden,
// by which make golden finds them, and no others. It follows the flag -update
// through the functions of each package's test files.
func TestWritersOfGoldenFiles(t *testing.T) {
	packages := map[string][]*ast.FuncDecl{}
	updates := map[string]bool{}
	walk(t, "_test.go", func(path string) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", path), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				packages[dir] = append(packages[dir], d)
			case *ast.GenDecl:
				if mentions(d, map[string]bool{`"update"`: true}) {
					updates[dir] = true
				}
			}
		}
	})
	if len(updates) == 0 {
		t.Fatal("no package has the flag -update")
	}
	for dir := range updates {
		// The flag, and every function that comes to it.
		writers := map[string]bool{"update": true}
		for before := 0; before != len(writers); {
			before = len(writers)
			for _, f := range packages[dir] {
				if mentions(f.Body, writers) {
					writers[f.Name.Name] = true
				}
			}
		}
		for _, f := range packages[dir] {
			name := f.Name.Name
			if !strings.HasPrefix(name, "Test") {
				continue
			}
			if named := strings.HasPrefix(name, "TestGolden"); named != writers[name] {
				t.Errorf("%s: %s: a test that writes with -update is named TestGolden..., and no other is", dir, name)
			}
		}
	}
}

// mentions reports whether a piece of code has one of the names or literals.
func mentions(code ast.Node, names map[string]bool) bool {
	found := false
	ast.Inspect(code, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			found = found || mentions(n.X, names)
			return false
		case *ast.Ident:
			found = found || names[n.Name]
		case *ast.BasicLit:
			found = found || names[n.Value]
		}
		return !found
	})
	return found
}

// TestSkipsHaveReasons: the summary of make test prints the reason of each
// skipped test, so there must be one.
func TestSkipsHaveReasons(t *testing.T) {
	bare := regexp.MustCompile(`\.Skip(Now)?\(\)`)
	walk(t, "_test.go", func(path string) {
		text, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		if bare.Match(text) {
			t.Errorf("%s skips a test without a reason", path)
		}
	})
}

// TestTopLevel: the top level has a fixed set of files and folders.
func TestTopLevel(t *testing.T) {
	// The checkout may belong to another user; git then asks for safe.directory.
	listed, err := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "-C", "..", "ls-files").Output()
	if err != nil {
		t.Fatalf("list the files: %v", err)
	}
	fixed := []string{
		"agent", "instruments", "api", "otel-collector", "dashboards", "findings",
		"go.mod", "go.sum", "Makefile", "README.md", "docker-compose.yml", "LICENSE",
	}
	for path := range strings.Lines(string(listed)) {
		top, _, _ := strings.Cut(strings.TrimSpace(path), "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(fixed, top) {
			t.Errorf("%s is at the top level, where only %v and dot-files may be", top, fixed)
		}
	}
}

func TestModule(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "replace ") {
		t.Error("go.mod replaces a module; then `go install` of the agent fails")
	}
}

// TestDocumentsNameWhatExists: a document that names a file that is gone
// misleads. Paths stand in back-quotes.
func TestDocumentsNameWhatExists(t *testing.T) {
	quoted := regexp.MustCompile("`((?:agent|api|instruments|otel-collector|dashboards|\\.ci|\\.github)(?:/[A-Za-z0-9_.*<>-]+)+)`")
	var documents []string
	walk(t, ".md", func(path string) { documents = append(documents, filepath.Join("..", path)) })
	for _, document := range append(documents, "../README.md", "../.github/SECURITY.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
			path := regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m[1], "*")
			if found, err := filepath.Glob(filepath.Join("..", path)); err != nil || len(found) == 0 {
				t.Errorf("%s names %s, which does not exist", document, m[1])
			}
		}
	}
}

// TestThreatModelNamesTests: each promise of SECURITY.md has a test, which exists.
func TestThreatModelNamesTests(t *testing.T) {
	made := map[string]bool{}
	walk(t, "_test.go", func(path string) {
		text, err := os.ReadFile(filepath.Join("..", path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			made[m[1]] = true
		}
	})
	text, err := os.ReadFile("../.github/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, model, _ := strings.Cut(string(text), "## Threat model")
	model, _, _ = strings.Cut(model, "\n## ")
	rows := 0
	for line := range strings.Lines(model) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[1]) == "who" {
			continue
		}
		rows++
		named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(cells[3], -1)
		if len(named) == 0 {
			t.Errorf("no test holds %q", strings.TrimSpace(cells[2]))
		}
		for _, m := range named {
			if !made[m[1]] {
				t.Errorf("SECURITY.md names %s, which does not exist", m[1])
			}
		}
	}
	if rows < 15 {
		t.Errorf("the threat model has %d promises; has its form changed?", rows)
	}
}

// TestReadmeIsShort: what needs more words goes into a guide.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(string(text))); n > 2000 {
		t.Errorf("README.md has %d words, at most 2,000", n)
	}
}

// TestPackageCommentsNameWhatExists: a package comment names files of its own package.
func TestPackageCommentsNameWhatExists(t *testing.T) {
	named := regexp.MustCompile(`\b\w+\.go\b`)
	for dir, files := range sources(t) {
		for _, file := range files {
			for _, name := range named.FindAllString(file.Doc.Text(), -1) {
				if _, err := os.Stat(filepath.Join("..", dir, name)); err != nil {
					t.Errorf("the package comment of %s names %s, which does not exist", dir, name)
				}
			}
		}
	}
}

// TestTranslatedReadme: a translation has the same sections, code, paths and
// links as the README; so it cannot fall behind unseen.
func TestTranslatedReadme(t *testing.T) {
	shape := func(path string) (found []string) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?ms)^```.*?^```|^(#+) |`[^`\n]+`|\\]\\((?:\\.\\./|\\.github/)?([^)]+)\\)|^\\d+\\. |^\\| ").FindAllStringSubmatch(string(text), -1) {
			part := m[0]
			if m[2] != "" {
				part = m[2]
			}
			if !strings.Contains(part, "README") {
				found = append(found, part)
			}
		}
		slices.Sort(found) // A sentence may be in another order.
		return found
	}
	want, got := shape("../README.md"), shape("../.github/README.ko.md")
	for _, part := range want {
		if i := slices.Index(got, part); i >= 0 {
			got = slices.Delete(got, i, i+1)
		} else {
			t.Errorf("README.ko.md lacks %q", part)
		}
	}
	for _, part := range got {
		t.Errorf("README.ko.md has %q, which README.md lacks", part)
	}
}

// oldWords are words of an earlier vocabulary, with what to write instead; see
// GLOSSARY.md. The first two lines are built so that this file does not match.
var oldWords = map[string]string{
	"fa" + "res": "status, works", "gree" + "diest": "top", "want of" + " memory": "killed by the OOM killer", "chron" + "icle": "event recorder",
	"te" + "lls": "returns, reports, says", "whoe" + "ver": "the caller, the client, the user", "jud" + "ges": "evaluates, decides",
	"great" + "est": "maximum, highest", "mist" + "akes": "validation errors",
}

// TestGlossary: the glossary stays short and in order, and the words that it
// replaced do not come back.
func TestGlossary(t *testing.T) {
	text, err := os.ReadFile("GLOSSARY.md")
	if err != nil {
		t.Fatal(err)
	}
	var terms []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z][^|]*) \|`).FindAllStringSubmatch(string(text), -1) {
		terms = append(terms, m[1])
	}
	if len(terms) == 0 || len(terms) > 40 || !slices.IsSorted(terms) {
		t.Errorf("the glossary has %d terms, sorted: %t; want at most 40, sorted", len(terms), slices.IsSorted(terms))
	}
	for _, ending := range []string{".go", ".ts", ".tsx", ".md", ".yml"} {
		walk(t, ending, func(path string) {
			text, err := os.ReadFile(filepath.Join("..", path))
			if err != nil {
				t.Fatal(err)
			}
			lower := strings.ToLower(string(text))
			for word, instead := range oldWords {
				if regexp.MustCompile(`\b` + word + `\b`).MatchString(lower) {
					t.Errorf("%s says %q; write %s", path, word, instead)
				}
			}
		})
	}
}
