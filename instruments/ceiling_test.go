package instruments

import "testing"

// TestCeiling: which rates are believed, in the order in which they come.
func TestCeiling(t *testing.T) {
	const usual = 100
	for _, c := range []struct {
		what     string
		capacity float64
		rates    []float64
		believed string
	}{
		{"no capacity: the usual and twice the largest", unknown, []float64{100, 99, 150, 300, 301}, "yyyyy"},
		{"a true first burst is missed once", unknown, []float64{1, 5000, 5000, 1, 5000}, "ynyyy"},
		{"and once for a greater one", unknown, []float64{1, 5000, 9000, 90000, 90000}, "ynyny"},
		{"what no device can do teaches nothing", unknown, []float64{1, 4e12, 4e12, 4e12, 101}, "ynnnn"},
		{"a link", 1000, []float64{1000, 1200, 1201, 1000, 5000, 5000, 5000, 5000, 5000}, "yynynnnyy"},
		{"unknown rates say nothing", 1000, []float64{5000, 5000, unknown, 5000, 5000}, "nnyny"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var ceiling ceiling
			got := ""
			for _, rate := range c.rates {
				got += map[bool]string{true: "y", false: "n"}[ceiling.believes(rate, c.capacity, usual)]
			}
			if got != c.believed {
				t.Errorf("believed %s, want %s", got, c.believed)
			}
		})
	}
}
