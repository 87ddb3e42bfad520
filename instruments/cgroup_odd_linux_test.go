package instruments

import (
	"fmt"
	"testing"
	"time"
)

// TestCgroupThatCannotBe: limits that are none, and files that cannot be read: each
// costs its own number, and is named.
func TestCgroupThatCannotBe(t *testing.T) {
	const dir = "/own/sys/fs/cgroup/a/"
	files := map[string]string{
		"cpu.max": "50000 100000\n", "cpu.stat": "usage_usec 4000000\nthrottled_usec 10\n",
		"memory.max": "1000000000\n", "memory.current": "500000000\n", "memory.stat": "inactive_file 100000000\n",
	}

	for _, c := range []struct {
		what, file, text string
		want, missing    string
	}{
		{"ordinary", "", "", "{0.5 4 NaN 1e-05 1000000000 400000000 0.4}", "[]"},
		{"a limit above what the machine has", "memory.max", "9000000000", "{0.5 4 NaN 1e-05 0 0 NaN}", "[]"},
		{"no limit by version 1", "memory.max", "9223372036854771712", "{0.5 4 NaN 1e-05 0 0 NaN}", "[]"},
		{"no limit with pages of 64 KiB", "memory.max", "9223372036854710272", "{0.5 4 NaN 1e-05 0 0 NaN}", "[]"},
		{"2^64-1", "memory.max", "18446744073709551615", "{0.5 4 NaN 1e-05 0 0 NaN}", "[]"},
		{"more processors than the machine has", "cpu.max", "300000 100000", "{NaN NaN NaN NaN 1000000000 400000000 0.4}", "[]"},
		{"a quota that cannot be read", "cpu.max", "lots 100000", "{NaN NaN NaN NaN 1000000000 400000000 0.4}", `[{/sys/fs/cgroup/a/cpu.max "lots" is not a quota false}]`},
		{"a period of 0", "cpu.max", "5 0", "{NaN NaN NaN NaN 1000000000 400000000 0.4}", "[{/sys/fs/cgroup/a/cpu.max the period is 0 false}]"},
		{"a time that cannot be", "cpu.stat", "usage_usec 18446744073709551615\nthrottled_usec 10\n", "{0.5 NaN NaN 1e-05 1000000000 400000000 0.4}", "[{/sys/fs/cgroup/a/cpu.stat: usage_usec is not a time that can be false}]"},
		{"a charge that cannot be", "memory.current", "18446744073709551615", "{0.5 4 NaN 1e-05 1000000000 18446744073709551615 NaN}", "[{/sys/fs/cgroup/a/memory.current is not a number of bytes that can be false}]"},
		{"no cache is told", "memory.stat", "anon 5\n", "{0.5 4 NaN 1e-05 1000000000 18446744073709551615 NaN}", "[{/sys/fs/cgroup/a/memory.stat: inactive_file is not a number of bytes that can be false}]"},
		{"a cache that cannot be", "memory.stat", "inactive_file 18446744073709551615\n", "{0.5 4 NaN 1e-05 1000000000 18446744073709551615 NaN}", "[{/sys/fs/cgroup/a/memory.stat: inactive_file is not a number of bytes that can be false}]"},
	} {
		tree := t.TempDir()
		writeFile(t, tree+"/proc/stat", "cpu 1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n")
		writeFile(t, tree+"/proc/meminfo", "MemTotal: 8000000 kB\n")
		writeFile(t, tree+"/own/proc/self/cgroup", "0::/a\n")
		writeFile(t, tree+"/own/proc/self/mountinfo", "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
		for name, text := range files {
			if name == c.file {
				text = c.text
			}
			writeFile(t, tree+dir+name, text)
		}
		h := NewHost(tree)
		h.own = &Host{root: tree + "/own"}
		r, err := newCgroup(Defaults()).Read(t.Context(), h, Tick{Seq: 1, Interval: time.Second})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		g := r.(*Cgroup)
		whole := fmt.Sprint(struct {
			a, b, c, d float64
			e, f       uint64
			g          float64
		}{g.CPULimit, g.CPUTime, g.CPUUsage, g.CPUThrottled, g.MemoryLimit, g.MemoryUsage, g.MemoryUtilization})
		if whole != c.want {
			t.Errorf("%s: got %s, want %s", c.what, whole, c.want)
		}
		if got := fmt.Sprint(g.Missing()); got != c.missing {
			t.Errorf("%s: missing %s, want %s", c.what, got, c.missing)
		}
	}
}
