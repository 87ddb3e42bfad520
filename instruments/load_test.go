package instruments

import (
	"fmt"
	"testing"
)

func TestParseLoad(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"0.52 1.41 12.30 2/345 40000\n", "0.52 1.41 12.3 []"},
		{"1 2\n", `1 2 NaN [{/proc/loadavg: 15m there is no number false}]`},
		{"1 x -3 1/2 3", `1 NaN NaN [{/proc/loadavg: 5m "x" is not a number that can be false} {/proc/loadavg: 15m "-3" is not a number that can be false}]`},
		{"NaN 2 Inf", `NaN 2 NaN [{/proc/loadavg: 1m "NaN" is not a number that can be false} {/proc/loadavg: 15m "Inf" is not a number that can be false}]`},
		{"18446744073709551615 0 0", `NaN 0 0 [{/proc/loadavg: 1m "18446744073709551615" is not a number that can be false}]`},
	} {
		r, err := parseLoad([]byte(c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := fmt.Sprint(r.One, r.Five, r.Fifteen, r.Missing()); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
	for _, text := range []string{"", "\n", "a b c\n", "-1 -1 -1"} {
		if got, err := parseLoad([]byte(text)); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add([]byte("0.52 1.41 12.30 2/345 40000\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := parseLoad(text); err == nil && (r.One < 0 || r.Five < 0 || r.Fifteen < 0) {
			t.Errorf("%q gives %+v", text, r)
		}
	})
}
