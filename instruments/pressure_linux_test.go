package instruments

import (
	"strings"
	"testing"
)

const pressureText = "some avg10=2.50 avg60=1.25 avg300=0.10 total=5000000\nfull avg10=0.00 avg60=0.00 avg300=100.00 total=7\n"

func TestParsePressure(t *testing.T) {
	got, err := parsePressure([]byte(pressureText))
	want := resourceStalls{
		some: pressureLine{avg10: 2.5, avg60: 1.25, avg300: 0.1, total: 5000000, known: true},
		full: pressureLine{avg300: 100, total: 7, known: true},
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	// irq has no line some; the first kernels with this have no line full for the processors.
	got, err = parsePressure([]byte("full avg10=0.00 avg60=0.00 avg300=0.00 total=9\n"))
	if err != nil || got.some.known || !got.full.known || got.full.total != 9 {
		t.Errorf("only full: %+v, %v", got, err)
	}
	for _, c := range []struct{ text, want string }{
		{"", "no line some or full"},
		{"some avg10=0.00\n", "no line some or full"},
		{"some avg10=x total=1\n", `"x" is not a percentage`},
		{"some avg10=101.00 total=1\n", "is not a percentage"},
		{"some total=-1\n", `"-1" is not a number`},
	} {
		if _, err := parsePressure([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add([]byte(pressureText))
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = parsePressure(text) })
}
