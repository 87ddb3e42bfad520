package pattern

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestGlob(t *testing.T) {
	f := func(pattern, name string, want bool) {
		t.Helper()
		if got := Glob(pattern, name); got != want {
			t.Errorf("Glob(%q, %q) = %v, want %v", pattern, name, got, want)
		}
	}
	f("sda", "sda", true)
	f("sda", "sda1", false)
	f("sd?", "sda", true)
	f("sd?", "sd", false)
	f("sd*", "sd", true)
	f("*", "", true)
	f("", "", true)
	f("", "a", false)
	f("/mnt/*", "/mnt/a/b", true)
	f("*b*b", "abab", true)
	f("*aab", "aaaaab", true)
	f("*aab", "aaaaac", false)
	f("br-????????????", "br-0123456789ab", true)
	f("br-????????????", "br-lan", false)
	f("?", "é", true)
	f("caf?", "caf\xe9", true)
	f("[a-z]", "a", false)
	f("[a-z]", "[a-z]", true)
	f("a**b", "ab", true)
}

func TestPatterns(t *testing.T) {
	keys := []string{"device", "mountpoint", "type"}
	f := func(patterns string, want bool, pairs ...string) {
		t.Helper()
		p, err := Parse(strings.Fields(patterns), keys...)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(pairs...); got != want {
			t.Errorf("%q on %q: %v, want %v", patterns, pairs, got, want)
		}
	}
	f("", false, "device", "sda")
	f("tmpfs", true, "device", "none", "type", "tmpfs")
	f("type:tmpfs", true, "device", "none", "type", "tmpfs")
	f("device:tmpfs", false, "device", "none", "type", "tmpfs")
	f("device:nas:/export", true, "device", "nas:/export", "type", "nfs4")
	f("xfs type:nfs*", true, "type", "nfs4")
}

func TestWrongPatterns(t *testing.T) {
	f := func(pattern, want string, keys ...string) {
		t.Helper()
		if _, err := Parse([]string{pattern}, keys...); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", pattern, err, want)
		}
	}
	f("", `pattern "": is empty and would match nothing; * matches everything`, "device")
	f("device:", `pattern "device:": is empty and would match nothing; * matches everything`, "device")
	f("type:x", `pattern "type:x": "type" cannot stand before the colon, only device can; a name with a colon in it is written device:type:x`, "device")
	f("a:b", `pattern "a:b": nothing can stand before a colon here`)
}

// FuzzGlob compares Glob with the same pattern as a regular expression.
func FuzzGlob(f *testing.F) {
	f.Add("sd*", "sda1")
	f.Add("*a?b*", "xxaabyy")
	f.Add("/mnt/*é?", "/mnt/a/éb")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(name) || len(pattern) > 100 {
			return
		}
		expression := regexp.QuoteMeta(pattern)
		expression = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(expression)
		want := regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(name)
		if got := Glob(pattern, name); got != want {
			t.Errorf("Glob(%q, %q) = %v, want %v", pattern, name, got, want)
		}
	})
}
