package instruments

import "testing"

func TestParseLoad(t *testing.T) {
	got, err := parseLoad([]byte("0.52 1.41 12.30 2/345 40000\n"))
	if want := (Load{One: 0.52, Five: 1.41, Fifteen: 12.30}); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "1 2", "1 2 x 1/2 3", "1 NaN 2", "1 2 Inf", "-1 2 3", "a b c\n"} {
		if got, err := parseLoad([]byte(text)); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add([]byte("0.52 1.41 12.30 2/345 40000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := parseLoad(text); err == nil && !(r.One >= 0 && r.Five >= 0 && r.Fifteen >= 0) {
			t.Errorf("%q gives %v", text, r)
		}
	})
}
