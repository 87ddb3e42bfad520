package programs

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSummary: .ci/summary ends with the reason of every skipped test and the text of
// every failed one, and keeps the exit code.
func TestSummary(t *testing.T) {
	summary, err := filepath.Abs("../../.ci/summary")
	if err != nil {
		t.Fatal(err)
	}
	const (
		passes = "func TestPass(t *testing.T) { t.Log(\"not shown\") }\n"
		skips  = "func TestSkip(t *testing.T) { t.Skip(\"needs a moon\") }\n"
		fails  = "func TestFail(t *testing.T) { t.Run(\"inside\", func(t *testing.T) { t.Error(\"the moon is gone\") }) }\n"
	)
	const (
		late  = "func TestLate(t *testing.T) { t.Run(\"inside\", func(t *testing.T) { if os.Mkdir(\"seen\", 0o700) == nil { t.Error(\"too early\") } }) }\n"
		again = "run twice, and how often each failed:"
	)
	f := func(situation, body string, code int, want ...string) {
		t.Helper()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "go.mod"), "module moon\n\ngo 1.26\n")
		write(t, filepath.Join(dir, "moon_test.go"), "package moon\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nvar _ = os.Args\n\n"+body)
		c := exec.CommandContext(t.Context(), summary, "go", "test", "-json", ".")
		c.Dir = dir
		output, err := c.CombinedOutput()
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
		if got := c.ProcessState.ExitCode(); got != code {
			t.Errorf("%s: exit code %d, want %d\n%s", situation, got, code, output)
		}
		for _, w := range want {
			if !strings.Contains(string(output), w) {
				t.Errorf("%s: the output lacks %q\n%s", situation, w, output)
			}
		}
		if strings.Contains(string(output), "not shown") {
			t.Errorf("%s: the output of a test that passed is shown\n%s", situation, output)
		}
	}
	f("all passes", passes, 0, "DONE 1 tests in")
	f("a skip", passes+skips, 0, "=== SKIP: . TestSkip", "needs a moon", "DONE 2 tests, 1 skipped in")
	f("a failure", passes+skips+fails, 1, "needs a moon", "=== FAIL: . TestFail/inside", "the moon is gone", "DONE 4 tests, 1 skipped, 2 failures in", again, "moon.TestFail: 2 runs, 2 failures")
	f("a failure that passes alone", passes+late, 0, "=== FAIL: . TestLate/inside", "too early", again, "moon.TestLate: 2 runs, 1 failures")
	four := ""
	for _, name := range []string{"TestA", "TestB", "TestC", "TestD"} {
		four += strings.ReplaceAll(fails, "TestFail", name)
	}
	f("more failures than are run again", four, 1, "=== FAIL: . TestD/inside", "number of test failures (4) exceeds maximum (3)")
	f("no program", "func TestBroken(t *testing.T) { moon() }\n", 1, "undefined: moon", "DONE")
}
