package instruments

import "testing"

func TestUnescapeOctal(t *testing.T) {
	for path, want := range map[string]string{
		"/home": "/home", `/my\040disk`: "/my disk", `/tab\011line\012back\134`: "/tab\tline\nback\\",
		`/half\04`: `/half\04`, `/no\999`: `/no\999`, `\`: `\`, "": "", `\377`: "\xff", `\400`: `\400`,
	} {
		if got := unescapeOctal([]byte(path)); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}

func FuzzUnescapeOctal(f *testing.F) {
	f.Add([]byte(`/my\040disk`))
	f.Fuzz(func(t *testing.T, path []byte) {
		if got := unescapeOctal(path); len(got) > len(path) {
			t.Errorf("%q grew to %q", path, got)
		}
	})
}
