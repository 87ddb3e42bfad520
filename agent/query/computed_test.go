package query

import "testing"

// TestExtrapolated: of seconds the answer is Prometheus': up to both ends of the range,
// but for a counter not before the moment at which it was zero; a gauge may be below.
func TestExtrapolated(t *testing.T) {
	for function, want := range map[string]float64{"increase": 899, "delta": 900} {
		c := &computedIterator{by: &computedSet{function: function, width: 900_000, seconds: true}}
		for i := range int64(900) { // From zero, one more each second.
			c.points = append(c.points, computedPoint{t: (i + 1) * 1000, v: float64(i)})
		}
		if got, ok := c.answer(900_000); !ok || got != want {
			t.Errorf("%s is %v, want %v", function, got, want)
		}
	}
}
