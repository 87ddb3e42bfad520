package instruments

import (
	"math"
	"testing"
)

func TestCPUStates(t *testing.T) {
	before := CPUStates{User: 10, System: 5, Idle: 80, Wait: 5}
	now := CPUStates{User: 10.5, System: 5.1, Idle: 80.3, Wait: 5.1}
	share := now.since(before).shares()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"user", share.User, 0.5},
		{"system", share.System, 0.1},
		{"idle", share.Idle, 0.3},
		{"wait", share.Wait, 0.1},
		{"steal", share.Steal, 0},
		{"busy is neither idle nor iowait", share.busy(), 0.6},
		{"all states are the whole", share.total(), 1},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
	if none := before.since(before).shares(); !math.IsNaN(none.User) || !math.IsNaN(none.busy()) {
		t.Errorf("shares of no time are %v, want unknown", none)
	}
}

// TestCPUTrapWaitGoesBack: the kernel's iowait and idle are no counters
// (proc_stat(5)); a counter of ours never falls by it, and no share is negative.
func TestCPUTrapWaitGoesBack(t *testing.T) {
	before := CPUStates{User: 10, Idle: 80, Wait: 5}
	now := CPUStates{User: 10.4, Idle: 80.6, Wait: 4.9}.atLeast(before)
	if now.Wait != 5 {
		t.Errorf("wait went to %v, want that it stays at 5", now.Wait)
	}
	if share := now.since(before).shares(); share.Wait != 0 || math.Abs(share.busy()-0.4) > 1e-9 {
		t.Errorf("shares are %+v, want no wait and 0.4 busy", share)
	}
}

// TestCPUTrapReset: a machine that was suspended or restored counts from less.
// The new values stand, instead of the counter waiting for hours.
func TestCPUTrapReset(t *testing.T) {
	before := CPUStates{User: 1000, Idle: 8000}
	now := CPUStates{User: 10, Idle: 80}
	if got := now.atLeast(before); got != now {
		t.Errorf("after a reset the states are %+v, want the new ones %+v", got, now)
	}
}
