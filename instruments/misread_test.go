package instruments

import (
	"fmt"
	"strings"
	"testing"
)

// TestMisread: each part is named once, a broken file is bounded, and what it
// holds cannot break a line of the log.
func TestMisread(t *testing.T) {
	var m misread
	if m.Missing() != nil {
		t.Error("a whole reading lacks something")
	}
	m.note("/proc/stat: cpu0", "a")
	m.note("/proc/stat: cpu0", "b")
	if got := fmt.Sprint(m.Missing()); got != "[{/proc/stat: cpu0 a false}]" {
		t.Error(got)
	}
	for i := range 1000 {
		m.note(fmt.Sprint("/proc/stat: cpu", i), "c")
	}
	got := m.Missing()
	if len(got) != maxMisread+1 || got[maxMisread].Reason != "984 more parts cannot be read" {
		t.Errorf("%d parts, the last %v", len(got), got[len(got)-1])
	}
	if reason := notNumber([]byte("\x1b[31m\n" + strings.Repeat("x", 1000))); len(reason) > 100 || strings.ContainsAny(reason, "\x1b\n") {
		t.Errorf("%q", reason)
	}
}
