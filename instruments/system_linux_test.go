package instruments

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// TestSystemTwoViews: a container that is shown its own beginning in one of two
// files does not pass for the machine; what cannot be read costs only its own number.
func TestSystemTwoViews(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	boot := now.Add(-30 * 24 * time.Hour)
	const month = 30 * 24 * 3600
	for _, c := range []struct {
		what, btime, uptime string
		boot                time.Time
		seconds             float64
		missing             string
	}{
		{"one view", fmt.Sprint("btime ", boot.Unix()), "2592000.40 1.00", boot, month + 0.4, "[]"},
		{"an uptime of lxcfs", fmt.Sprint("btime ", boot.Unix()), "3600.00 1.00", boot, month,
			"[{/proc/uptime is not the machine's but a container's; the time since btime in /proc/stat is taken true}]"},
		{"a btime of lxcfs", fmt.Sprint("btime ", now.Unix()-3600), "2592000.00 1.00", boot, month,
			"[{/proc/stat: btime is not the machine's but a container's; now less /proc/uptime is taken true}]"},
		{"an uptime of 68 years", fmt.Sprint("btime ", boot.Unix()), "2147483647.00 1.00", boot, month,
			"[{/proc/uptime is more than can be; the time since btime in /proc/stat is taken false}]"},
		{"a clock that was set back", fmt.Sprint("btime ", now.Unix()+3600), "2592000.00 1.00", now.Add(time.Hour), month, "[]"},
		{"no btime", "ctxt 5", "5.00 1.00", time.Time{}, 5, "[{/proc/stat: btime there is no number false}]"},
		{"a kernel without /proc/uptime", fmt.Sprint("btime ", boot.Unix()), "", boot, math.NaN(), "[{/proc/uptime open: no such file or directory true}]"},
		{"no uptime", fmt.Sprint("btime ", boot.Unix()), "x", boot, math.NaN(), `[{/proc/uptime "x" is not a number of seconds false}]`},
	} {
		tree := t.TempDir()
		writeFile(t, tree+"/proc/stat", c.btime+"\nprocesses 7\n")
		if c.uptime != "" {
			writeFile(t, tree+"/proc/uptime", c.uptime+"\n")
		}
		h := NewHost(tree)
		h.Now = func() time.Time { return now }
		r, err := newSystem().Read(t.Context(), h, Tick{Seq: 1, Interval: time.Second})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		s := r.(*System)
		if !s.Boot.Equal(c.boot) || !near(s.Uptime, c.seconds) && !(math.IsNaN(s.Uptime) && math.IsNaN(c.seconds)) || s.Created != 7 {
			t.Errorf("%s: boot %v, uptime %v; want %v, %v", c.what, s.Boot, s.Uptime, c.boot, c.seconds)
		}
		if got := fmt.Sprint(s.Missing()); got != c.missing {
			t.Errorf("%s: missing %s, want %s", c.what, got, c.missing)
		}
	}
}

func TestParseUptime(t *testing.T) {
	for text, want := range map[string]float64{"98765.40 190000.00\n": 98765.4, "5\n": 5, "0.00 0.00": 0} {
		if got, err := parseUptime([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-5 1", "NaN 1", "Inf 1", "1e300 1", "18446744073709551615 1"} {
		if got, err := parseUptime([]byte(text)); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func FuzzParseUptime(f *testing.F) {
	f.Add([]byte("98765.40 190000.00\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, err := parseUptime(text); err == nil && !(v >= 0) {
			t.Errorf("%q gives %v", text, v)
		}
	})
}
