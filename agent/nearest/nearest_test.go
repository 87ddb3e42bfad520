package nearest

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestName(t *testing.T) {
	known := []string{"disk_read_bytes", "disk_write_bytes", "node_load1", "node_load15", "x"}
	for _, c := range []struct{ name, want string }{
		{"disk_wirte_bytes", "disk_write_bytes"},
		{"Disk-Write-Bytes", "disk_write_bytes"},
		{"node_load2", "node_load1"},
		{"node_memory_MemAvailable_bytes", ""},
		{"", "x"},
		{strings.Repeat("n", maxLength+1), ""},
	} {
		if got := Name(c.name, known); got != c.want {
			t.Errorf("nearest to %q is %q, want %q", c.name, got, c.want)
		}
	}
	if got := DidYouMean("qqqqqq", known); got != "" {
		t.Errorf("hint %q for a name that nothing is near", got)
	}
	if got := DidYouMean("disk_read_byte", known); got != "; did you mean disk_read_bytes?" {
		t.Errorf("hint %q", got)
	}
	if got := Sort("node_load15", known)[:2]; !slices.Equal(got, []string{"node_load15", "node_load1"}) {
		t.Errorf("sorted %q", got)
	}
}

// Twenty thousand names take a moment, not a second: a rule file can misspell many.
func TestNameOfMany(t *testing.T) {
	known := make([]string, 20_000)
	for i := range known {
		known[i] = strings.Repeat(string(rune('a'+i%26)), 40)
	}
	start := time.Now()
	Name(strings.Repeat("q", 41), known)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
