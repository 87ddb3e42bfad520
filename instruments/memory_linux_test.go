package instruments

import (
	"strings"
	"testing"
)

const meminfoText = `MemTotal:       16000000 kB
MemFree:         4000000 kB
MemAvailable:   10000000 kB
Buffers:          200000 kB
Cached:          5000000 kB
SwapCached:            7 kB
Active:          3000000 kB
Inactive:        1000000 kB
Active(file):     800000 kB
Inactive(file):   600000 kB
SwapTotal:       4194304 kB
SwapFree:        3145728 kB
SReclaimable:     400000 kB
SUnreclaim:       150000 kB
HugePages_Total:       5
`

func TestParseMeminfo(t *testing.T) {
	got, err := parseMeminfo([]byte(meminfoText))
	if err != nil {
		t.Fatal(err)
	}
	want := meminfo{
		total: 16000000 << 10, free: 4000000 << 10, available: 10000000 << 10, buffers: 200000 << 10, cached: 5000000 << 10,
		inactive: 1000000 << 10, activeFile: 800000 << 10, inactiveFile: 600000 << 10, slabReclaimable: 400000 << 10,
		slabUnreclaimable: 150000 << 10, swapTotal: 4194304 << 10, swapFree: 3145728 << 10, hasAvailable: true,
	}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	for _, c := range []struct{ text, want string }{
		{"", "no line MemTotal"},
		{"MemFree: 5 kB\n", "no line MemTotal"},
		{"MemTotal: 0 kB\n", "no line MemTotal"},
		{"MemTotal: many kB\n", `"many" is not a number of kB`},
		{"MemTotal: 99999999999999999 kB\n", "is not a number of kB"},
		{"MemTotal:", `"" is not a number of kB`},
	} {
		if _, err := parseMeminfo([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParseMeminfo(f *testing.F) {
	f.Add([]byte(meminfoText))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMeminfo(text)
		if err == nil && (m.total == 0 || m.total%1024 != 0) {
			t.Errorf("the total is %d", m.total)
		}
	})
}

// TestMemoryTrapEstimateUnderflow: when memory is nearly used up, less is free
// than the watermark. gopsutil's estimate wraps around to 16 EiB then.
func TestMemoryTrapEstimateUnderflow(t *testing.T) {
	m := meminfo{total: 1 << 30, free: 1 << 20, activeFile: 1 << 20, inactiveFile: 1 << 20}
	if got := m.estimateAvailable(64 << 20); got != 0 {
		t.Errorf("available is %d, want 0", got)
	}
	m = meminfo{total: 1 << 30, free: 100 << 20, activeFile: 30 << 20, inactiveFile: 30 << 20, slabReclaimable: 8 << 20}
	// 100 - 10 free, 60 - 10 of files, 8 - 4 of slabs.
	if got := m.estimateAvailable(10 << 20); got != 144<<20 {
		t.Errorf("available is %d MiB, want 144", got>>20)
	}
	m = meminfo{free: 5, cached: 7}
	if got := m.estimateAvailable(1); got != 12 {
		t.Errorf("without lists of files available is %d, want 12", got)
	}
}

func TestLowWatermark(t *testing.T) {
	text := "Node 0, zone      DMA\n  pages free     3000\n        min      20\n        low      25\n        high     30\n  lowest 99\nNode 0, zone Normal\n        low      1000\n"
	if got := lowWatermark([]byte(text)); got != 1025 {
		t.Errorf("low watermarks add up to %d pages, want 1025", got)
	}
	if got := lowWatermark(nil); got != 0 {
		t.Errorf("no zones have %d pages", got)
	}
}

func FuzzLowWatermark(f *testing.F) {
	f.Add([]byte("  low 5\n"))
	f.Fuzz(func(_ *testing.T, text []byte) { lowWatermark(text) })
}
