package instruments

import (
	"fmt"
	"math"
	"testing"
)

const pressureText = "some avg10=2.50 avg60=1.25 avg300=0.10 total=5000000\nfull avg10=0.00 avg60=0.00 avg300=100.00 total=7\n"

func TestParsePressure(t *testing.T) {
	full := pressureLine{avg300: 100, total: 7, known: true}
	for _, c := range []struct {
		text    string
		want    resourceStalls
		missing string
	}{
		{pressureText, resourceStalls{some: pressureLine{avg10: 2.5, avg60: 1.25, avg300: 0.1, total: 5000000, known: true}, full: full}, "[]"},
		// irq has no line some; the first kernels with this have no line full for the processors.
		{"full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n", resourceStalls{full: pressureLine{total: 9, known: true}}, "[]"},
		// The kernel's means can be a little above 100.
		{"some avg10=100.02 avg60=0.00 avg300=0.00 total=9\n", resourceStalls{some: pressureLine{avg10: 100, total: 9, known: true}}, "[]"},
		{"some avg10=9 avg60=1 avg300=1 total=-1\nfull avg10=0 avg60=0 avg300=100 total=7\n", resourceStalls{some: pressureLine{avg10: 9, avg60: 1, avg300: 1}, full: full},
			`[{/proc/pressure/io: some total "-1" is not a number that can be false}]`},
		{"", resourceStalls{}, "[{/proc/pressure/io there is no line some or full with a total false}]"},
	} {
		var odd misread
		if got := parsePressure([]byte(c.text), "io", &odd); got != c.want {
			t.Errorf("%q: got %+v, want %+v", c.text, got, c.want)
		}
		if got := fmt.Sprint(odd.Missing()); got != c.missing {
			t.Errorf("%q: missing %s, want %s", c.text, got, c.missing)
		}
	}
	var odd misread
	got := parsePressure([]byte("some avg10=x avg60=101 avg300=NaN total=1\n"), "f", &odd)
	if !math.IsNaN(got.some.avg10) || !math.IsNaN(got.some.avg60) || !math.IsNaN(got.some.avg300) || got.some.total != 1 || len(odd.Missing()) != 3 {
		t.Errorf("got %+v, %v", got, odd.Missing())
	}
}

// TestPressureAgainstTheClock: nobody waits longer than the time that passed.
func TestPressureAgainstTheClock(t *testing.T) {
	p := newPressure().(*pressure)
	of := pressureSeries{"cpu", "some"}
	for _, c := range []struct {
		total uint64
		want  float64
	}{{5e6, unknown}, {5.25e6, 0.25}, {6.3e6, 1}, {1 << 60, unknown}, {6.8e6, unknown}, {7e6, 0.2}} {
		got := p.stall(of, pressureLine{total: c.total, known: true}, 1).Utilization
		if !near(got, c.want) && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("after a total of %d the share is %v, want %v", c.total, got, c.want)
		}
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte(pressureText))
	f.Fuzz(func(_ *testing.T, text []byte) { parsePressure(text, "f", &misread{}) })
}
