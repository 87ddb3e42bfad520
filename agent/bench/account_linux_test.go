package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// account measures the CPU time of one process to the nanosecond: by a control group if
// we may make one, else as the sum over its threads.
type account struct {
	pid     int
	group   string            // Directory of the control group, "" for none.
	threads map[string]uint64 // CPU time of each thread when last read, in nanoseconds.
}

// groupRoot returns the directory where we may make control groups that count CPU time,
// "" for none: not root, or none mounted.
func groupRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for row := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(row), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := "", ""
		switch {
		case parts[1] == "":
			dir, file = "/sys/fs/cgroup"+parts[2], "cpu.stat"
		case strings.Contains(","+parts[1]+",", ",cpuacct,"):
			dir, file = "/sys/fs/cgroup/cpuacct"+parts[2], "cpuacct.usage"
		default:
			continue
		}
		// In a container the tree is often read-only.
		trial := filepath.Join(dir, fmt.Sprintf("sysotel-bench-trial-%d", os.Getpid()))
		if os.Mkdir(trial, 0o755) != nil {
			continue
		}
		_, err := os.Stat(filepath.Join(trial, file))
		if os.Remove(trial) == nil && err == nil {
			return dir
		}
	}
	return ""
}

func accountName(t *testing.T) string {
	t.Helper()
	if groupRoot(t) != "" {
		return "a control group"
	}
	return "schedstat"
}

// openAccount starts to measure the CPU time of a process.
func openAccount(t *testing.T, pid int) *account {
	t.Helper()
	a := &account{pid: pid, threads: map[string]uint64{}}
	root := groupRoot(t)
	if root == "" {
		return a
	}
	dir := filepath.Join(root, fmt.Sprintf("sysotel-bench-%d", pid))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("make a control group: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		t.Fatalf("fill the control group: %v", err)
	}
	t.Cleanup(func() {
		// Only an empty group can be removed, so move its process back first. A thread that
		// starts meanwhile may stay behind, and one that ends counts for a moment longer.
		for try := 1; ; try++ {
			if err := os.WriteFile(filepath.Join(root, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil && !isGone(err) {
				t.Errorf("empty the control group: %v", err)
			}
			err := os.Remove(dir)
			if err == nil {
				return
			}
			if try == 100 {
				t.Errorf("remove the control group: %v", err)
				return
			}
			<-time.After(50 * time.Millisecond) // t.Context() has ended.
		}
	})
	a.group = dir
	return a
}

func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "no such process")
}

// usage returns the CPU time so far; use only differences.
func (a *account) usage(t *testing.T) time.Duration {
	t.Helper()
	if a.group == "" {
		return a.threadTime(t)
	}
	if text, err := os.ReadFile(filepath.Join(a.group, "cpuacct.usage")); err == nil {
		return time.Duration(number(t, strings.TrimSpace(string(text))))
	}
	text := read(t, filepath.Join(a.group, "cpu.stat"))
	for row := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(row, "usage_usec "); ok {
			return time.Duration(number(t, strings.TrimSpace(v))) * time.Microsecond
		}
	}
	t.Fatal("cpu.stat has no usage_usec")
	return 0
}

// threadTime sums /proc/PID/task/*/schedstat. A thread that has ended counts with its
// last value.
func (a *account) threadTime(t *testing.T) time.Duration {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", a.pid))
	if err != nil || len(paths) == 0 {
		t.Fatalf("process %d shows no /proc/PID/task/*/schedstat (%v): it died, or the kernel counts no CPU time of threads", a.pid, err)
	}
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			continue // The thread has just ended.
		}
		word, _, _ := strings.Cut(string(text), " ")
		a.threads[p] = number(t, word)
	}
	var sum uint64
	for _, v := range a.threads {
		sum += v
	}
	return time.Duration(sum)
}

// hundredth is the unit of time in /proc/PID/stat and /proc/stat.
const hundredth = 10 * time.Millisecond

// statTime returns utime + stime of /proc/PID/stat.
func statTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text := read(t, fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return time.Duration(number(t, fields[11])+number(t, fields[12])) * hundredth
}

// machineBusy returns the busy time of all cores since boot.
func machineBusy(t *testing.T) time.Duration {
	t.Helper()
	row, _, _ := strings.Cut(read(t, "/proc/stat"), "\n")
	fields := strings.Fields(row)
	var busy uint64
	for i, f := range fields[1:9] {
		if i != 3 && i != 4 { // idle, iowait
			busy += number(t, f)
		}
	}
	return time.Duration(busy) * hundredth
}

// memory returns a value of /proc/PID/status in megabytes.
func memory(t *testing.T, pid int, key string) float64 {
	t.Helper()
	for row := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		if v, ok := strings.CutPrefix(row, key); ok {
			return float64(number(t, strings.TrimSuffix(strings.TrimSpace(v), " kB"))) * 1024 / 1e6
		}
	}
	t.Fatalf("/proc/%d/status has no %s", pid, key)
	return 0
}

// countProcesses counts the processes of the machine.
func countProcesses(t *testing.T) int {
	t.Helper()
	dir, err := os.Open("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if bytes.ContainsAny([]byte(name[:1]), "123456789") {
			n++
		}
	}
	return n
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func number(t *testing.T, word string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
