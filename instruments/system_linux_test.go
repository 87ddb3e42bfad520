package instruments

import "testing"

func TestParseUptime(t *testing.T) {
	for text, want := range map[string]float64{"98765.40 190000.00\n": 98765.4, "5\n": 5, "0.00 0.00": 0} {
		if got, err := parseUptime([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-5 1", "NaN 1", "Inf 1"} {
		if got, err := parseUptime([]byte(text)); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func FuzzParseUptime(f *testing.F) {
	f.Add([]byte("98765.40 190000.00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, err := parseUptime(text); err == nil && !(v >= 0) {
			t.Errorf("%q gives %v", text, v)
		}
	})
}
