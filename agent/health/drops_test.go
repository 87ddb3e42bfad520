package health

import (
	"testing"
	"time"
)

func TestDrops(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	d := NewDrops("late", "rejected")
	check := func(what, reason string, ongoing bool) {
		t.Helper()
		if got := d.Reason("samples", now); got != reason {
			t.Errorf("%s: the reason is %q, want %q", what, got, reason)
		}
		if got := d.Ongoing(now); got != ongoing {
			t.Errorf("%s: ongoing is %t, want %t", what, got, ongoing)
		}
	}
	check("at the start", "", false)
	d.Add("late", 0, now)
	check("after no drop", "", false)
	d.Add("late", 10, now)
	check("after one moment with drops", "dropped 10 samples in the last 1m (10 late)", false)
	now = now.Add(10 * time.Second)
	d.Add("rejected", 2, now)
	check("after the next", "dropped 12 samples in the last 1m (10 late, 2 rejected)", true)
	now = now.Add(6 * time.Minute)
	check("a few minutes later", "dropped 12 samples in the last 7m (10 late, 2 rejected)", false)
	d.Add("late", 1, now)
	check("after one more", "dropped 13 samples in the last 7m (11 late, 2 rejected)", false)
	now = now.Add(2 * time.Hour)
	check("hours later", "", false)
	d.Add("late", 1, now)
	check("after a new one", "dropped 1 samples in the last 1m (1 late)", false)
	if totals := d.Totals(); totals["late"] != 12 || totals["rejected"] != 2 {
		t.Errorf("the totals are %v, want 12 late and 2 rejected", totals)
	}
}
