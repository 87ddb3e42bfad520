package sanitize

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestReplace(t *testing.T) {
	for _, c := range []struct{ text, escaped, controls, unprintables, line, valid string }{
		{text: ""},
		{text: "eth0"},
		{text: "größe"},
		{text: `<script> C:\ "x"`},
		{"a\xff\xfeb", `a\xff\xfeb`, "a\uFFFD\uFFFDb", "a?b", "a\uFFFDb", "a\uFFFDb"},
		{"a\x1b[2J", `a\x1b[2J`, "a\uFFFD[2J", "a?[2J", "a\uFFFD[2J", "a\x1b[2J"},
		{"a\n\tb", `a\n\tb`, "a\uFFFD\uFFFDb", "a??b", "a  b", "a\n\tb"},
		{"\u202egpj.exe", `\u202egpj.exe`, "\uFFFDgpj.exe", "?gpj.exe", "\uFFFDgpj.exe", "\u202egpj.exe"},
		{"a\u2028b", `a\u2028b`, "a\uFFFDb", "a?b", "a b", "a\u2028b"},
		{"a\u00a0b\u200bc", `a\u00a0b\u200bc`, "a\u00a0b\u200bc", "a?b?c", "a b\uFFFDc", "a\u00a0b\u200bc"},
		{"\x7f\u0085", `\x7f\u0085`, "\uFFFD\uFFFD", "??", "\uFFFD", "\x7f\u0085"},
	} {
		if c.escaped == "" {
			c.escaped, c.controls, c.unprintables, c.line, c.valid = c.text, c.text, c.text, c.text, c.text
		}
		check := func(name, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s(%q) = %q, want %q", name, c.text, got, want)
			}
		}
		check("EscapeControl", EscapeControl(c.text), c.escaped)
		check("ReplaceControl", ReplaceControl(c.text), c.controls)
		check("ReplaceUnprintable", ReplaceUnprintable(c.text), c.unprintables)
		check("OneLine", OneLine(c.text, 50), c.line)
		check("ValidUTF8", ValidUTF8(c.text), c.valid)
	}
}

func TestTruncate(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "abcde": "abcde", "abcdef": "abcde", "äöü": "äö", "ab€€": "ab€", "abc€€": "abc",
		"a\U0001F600\U0001F600": "a\U0001F600", "abcd\U0001F600": "abcd", "\xff\xff\xff\xff\xff\xff": "\xff\xff\xff\xff\xff",
	} {
		if got := Truncate(text, 5); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := OneLine(strings.Repeat("€", 9), 3); got != "€€€…" {
		t.Errorf("the line is %q", got)
	}
}

func FuzzSanitize(f *testing.F) {
	for _, text := range []string{"eth0", "a\x1b[2J\xff", "\u202e\u2028 \u0085", "€€€"} {
		f.Add(text, 5)
	}
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = max(0, most%1000)
		for name, got := range map[string]string{
			"EscapeControl": EscapeControl(text), "ReplaceControl": ReplaceControl(text),
			"ReplaceUnprintable": ReplaceUnprintable(text), "OneLine": OneLine(text, most),
		} {
			if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool {
				return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
			}) {
				t.Errorf("%s(%q) = %q", name, text, got)
			}
		}
		if got := ValidUTF8(text); !utf8.ValidString(got) {
			t.Errorf("ValidUTF8(%q) = %q", text, got)
		}
		got := Truncate(text, most)
		if len(got) > most || !strings.HasPrefix(text, got) || utf8.ValidString(text) && (!utf8.ValidString(got) || len(text) > most && len(got) <= most-utf8.UTFMax) {
			t.Errorf("Truncate(%q, %d) = %q", text, most, got)
		}
		if got := utf8.RuneCountInString(OneLine(text, most)); got > most+1 {
			t.Errorf("OneLine(%q, %d) has %d characters", text, most, got)
		}
	})
}
