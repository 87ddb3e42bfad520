package instruments

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryMetricIsListed: a metric that Metrics leaves out is never sent. This
// covers the files of all systems.
func TestEveryMetricIsListed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared, listed := map[string]string{}, map[string]bool{"readingTime": true} // Observed for every collector.
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok && len(v.Values) == 1 && isMetric(v.Values[0]) {
						declared[v.Names[0].Name] = name
					}
				}
			case *ast.FuncDecl:
				if d.Name.Name == "Metrics" {
					ast.Inspect(d.Body, func(n ast.Node) bool {
						if id, ok := n.(*ast.Ident); ok {
							listed[id.Name] = true
						}
						return true
					})
				}
			}
		}
	}
	if len(declared) < 50 {
		t.Fatalf("only %d metrics were found", len(declared))
	}
	for metric, file := range declared {
		if !listed[metric] {
			t.Errorf("%s: no Metrics() lists %s, so it is never sent", file, metric)
		}
	}
}

// isMetric reports whether an expression is &Metric{...}.
func isMetric(e ast.Expr) bool {
	address, ok := e.(*ast.UnaryExpr)
	if !ok {
		return false
	}
	literal, ok := address.X.(*ast.CompositeLit)
	if !ok {
		return false
	}
	id, ok := literal.Type.(*ast.Ident)
	return ok && id.Name == "Metric"
}

// TestEveryMetricHasAFixture: without a recorded machine that has it, a new metric,
// or a new collector, would be read by nothing but the machine of the tests, or
// pass as "not available".
func TestEveryMetricHasAFixture(t *testing.T) {
	// Collectors and metrics that other tests hold.
	exceptions := map[string]string{
		"agent":                               "its numbers are those of the test and not of a machine",
		"custom":                              "its sources are the operator's files and programs, see custom_test.go",
		"sysotel.process.exits":               "told by the kernel and in no file, see process_exits_linux_test.go",
		"sysotel.process.exits.overflows":     "as sysotel.process.exits",
		"sysotel.process.top.cpu.utilization": "sent with processes.pid only, see process_table_linux_test.go",
		"sysotel.process.top.memory.usage":    "as sysotel.process.top.cpu.utilization",
		"sysotel.process.top.threads":         "as sysotel.process.top.cpu.utilization",
	}
	sent, used := sentValues(t), map[string]bool{}
	for _, c := range everyCollector() {
		for _, m := range c.Metrics() {
			name := m.Name + m.Semconv
			for _, exception := range []string{c.Name(), name} {
				if exceptions[exception] != "" {
					used[exception] = used[exception] || sent[m] == nil
					sent[m] = map[string]map[string]bool{}
				}
			}
			if sent[m] == nil {
				t.Errorf("%s: no machine of testdata/hosts has %s: add the file it is read from to a step, then run make golden", c.Name(), name)
			}
		}
	}
	for exception := range exceptions {
		if !used[exception] {
			t.Errorf("the exception of %s is not needed any more", exception)
		}
	}
}
