package instruments

import (
	"maps"
	"testing"
)

func TestCountStates(t *testing.T) {
	f := func(want map[string]int, states ...string) {
		t.Helper()
		var entries []*processEntry
		for _, s := range states {
			entries = append(entries, &processEntry{status: s})
		}
		if got := countStates(entries); !maps.Equal(got, want) {
			t.Errorf("%v: %v, want %v", states, got, want)
		}
	}
	f(map[string]int{"running": 1, "sleeping": 2, "blocked": 0, "zombies": 1, "stopped": 0}, "sleeping", "running", "zombie", "sleeping")
	// Windows under Wine and macOS: 0 would be a guess.
	f(map[string]int{"unknown": 2}, "unknown", "unknown")
	f(map[string]int{"unknown": 1, "running": 1}, "unknown", "running")
}
