package instruments

import (
	"maps"
	"testing"
)

func TestParseMegahertz(t *testing.T) {
	for _, c := range []struct {
		what, text string
		want       map[string]float64
	}{
		{"x86", "processor\t: 0\ncpu MHz\t\t: 2400.500\n\nprocessor\t: 3\ncpu MHz\t\t: 800.000\n", map[string]float64{"cpu0": 2400.5e6, "cpu3": 800e6}},
		{"POWER", "processor\t: 0\ncpu\t\t: POWER9\nclock\t\t: 3425.000000MHz\nrevision\t: 2.2\n\nprocessor\t: 1\nclock\t\t: 3800.000000MHz\ntimebase\t: 512000000\n", map[string]float64{"cpu0": 3425e6, "cpu1": 3800e6}},
		{"s390", "vendor_id       : IBM/S390\nprocessor 0: version = FF,  identification = 1\n\ncpu number      : 0\ncpu MHz dynamic : 5200\ncpu MHz static  : 5000\n\ncpu number      : 1\ncpu MHz dynamic : 5100\n", map[string]float64{"cpu0": 5200e6, "cpu1": 5100e6}},
		{"Arm, which says none", "processor\t: 0\nBogoMIPS\t: 108.00\nCPU part\t: 0xd0b\n", map[string]float64{}},
		{"none that can be", "processor : 0\ncpu MHz : 0.000\nprocessor : 1\ncpu MHz : -5\nprocessor : 2\ncpu MHz : 1e300\nprocessor : 3\ncpu MHz : NaN\n", map[string]float64{}},
	} {
		if got := parseMegahertz(c.text); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
