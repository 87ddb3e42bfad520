package regex

import (
	"regexp/syntax"
	"strings"
	"testing"
)

// TestMeasureIsAnUpperBound compares with the compiled programs.
func TestMeasureIsAnUpperBound(t *testing.T) {
	for _, pattern := range []string{
		"", "a", "web-[0-9]+", "(a|b|cd)*", "x{1000}", "x{2,5}", "(x{2,}y?){3}", `[\pL\pN]{1,64}`, "(?i)straße", "^(?:a|ab|abc)$", ".*a.*b.*", "(((a+)+)+)+", "a{0}", "[^a]?",
	} {
		bounded(t, pattern)
	}
}

func FuzzMeasure(f *testing.F) {
	for _, seed := range []string{"", "(a|b|cd)*", "(x{2,}y?){3}", `[\pL\pN]{1,64}`, "a{0}|", "(?i:k)+?"} {
		f.Add(seed)
	}
	f.Fuzz(bounded)
}

func bounded(t *testing.T, pattern string) {
	size, err := Measure(pattern)
	if err != nil || size.Check() != nil {
		return
	}
	tree, err := syntax.Parse(pattern, syntax.Perl|syntax.DotNL)
	if err != nil {
		t.Fatalf("%q was measured, but is invalid: %v", pattern, err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		t.Fatalf("compile %q: %v", pattern, err)
	}
	const ends = 2 // A program begins with a failure and ends with the match.
	if n := len(program.Inst) - ends; n > size.Program {
		t.Errorf("%q takes %d instructions, measured are %d", pattern, n, size.Program)
	}
}

func TestCheck(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		err := Check(pattern)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40q: %v, want %q", pattern, err, want)
		}
	}
	f("", "")
	f("web-[0-9]+|db", "")
	f(strings.Repeat("host|", 10_000)+"host", "")
	f("(", "is invalid: error parsing regexp: missing closing )")
	f(strings.Repeat("h", 100_001), "at most 100000 are allowed")
	f(strings.Repeat("x{1000}", 21)+"z*", "has repetitions such as * or ?, at most 20000")
	f(strings.Repeat("[a-z]|", 257), "has 257 character classes, at most 256")
	f(strings.Repeat(".", 256)+"|"+strings.Repeat(`\d\.`, 256), "")
	f("a|"+strings.Repeat(`b.\.`, 257), "has 257 signs such as . or \\d in one alternative, at most 256 are allowed")
	f(strings.Repeat("h|", 128<<10)+"h", "has 262145 bytes, at most 262144")
	f(strings.Repeat(`\pL`, 65), "has 65 Unicode classes")
}
