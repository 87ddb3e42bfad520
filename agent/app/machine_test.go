//go:build linux

package app

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a reading of the machine by the test's own readers, which share no code
// with the agent's.
type machine struct {
	at      time.Time
	cpu     map[string]cpuTicks // by the names of /proc/stat: cpu, cpu0, ...
	memory  map[string]float64  // /proc/meminfo in bytes
	load    [3]float64
	uptime  float64
	disks   disks
	network network
	space   space
}

type cpuTicks struct{ busy, all float64 }

// disks are the sums over all hardware disks.
type disks struct{ reads, readBytes, writes, writeBytes float64 }

// network are the sums over all hardware interfaces, in the order of the columns of
// /proc/net/dev.
type network struct {
	receivedBytes, receivedPackets, receivedErrors, receivedDropped float64
	sentBytes, sentPackets, sentErrors, sentDropped                 float64
}

// space is the sum over all file systems on block devices, each counted once.
type space struct{ total, used, free float64 }

func readMachine(tb testing.TB) *machine {
	tb.Helper()
	m := &machine{at: time.Now(), cpu: map[string]cpuTicks{}, memory: map[string]float64{}}
	for line := range strings.Lines(slurp(tb, "/proc/stat")) {
		f := strings.Fields(line)
		if strings.HasPrefix(f[0], "cpu") {
			var c cpuTicks
			for i, text := range f[1:9] { // The rest, guest time, is in user and nice.
				v := numberOf(tb, text)
				c.all += v
				if i != 3 && i != 4 {
					c.busy += v
				}
			}
			m.cpu[f[0]] = c
		}
	}
	for line := range strings.Lines(slurp(tb, "/proc/meminfo")) {
		f := strings.Fields(line)
		m.memory[strings.TrimSuffix(f[0], ":")] = numberOf(tb, f[1]) * 1024
	}
	for i, text := range strings.Fields(slurp(tb, "/proc/loadavg"))[:3] {
		m.load[i] = numberOf(tb, text)
	}
	m.uptime = numberOf(tb, strings.Fields(slurp(tb, "/proc/uptime"))[0])
	m.readDisks(tb)
	m.readNetwork(tb)
	m.readSpace(tb)
	return m
}

func (m *machine) readDisks(tb testing.TB) {
	tb.Helper()
	for line := range strings.Lines(slurp(tb, "/proc/diskstats")) {
		f := strings.Fields(line)
		if hasHardware("/sys/block/" + f[2]) {
			m.disks.reads += numberOf(tb, f[3])
			m.disks.readBytes += numberOf(tb, f[5]) * 512
			m.disks.writes += numberOf(tb, f[7])
			m.disks.writeBytes += numberOf(tb, f[9]) * 512
		}
	}
}

func (m *machine) readNetwork(tb testing.TB) {
	tb.Helper()
	for line := range strings.Lines(slurp(tb, "/proc/net/dev")) {
		name, numbers, ok := strings.Cut(line, ":")
		if ok && hasHardware("/sys/class/net/"+strings.TrimSpace(name)) {
			f := strings.Fields(numbers)
			for i, to := range []*float64{
				&m.network.receivedBytes, &m.network.receivedPackets, &m.network.receivedErrors, &m.network.receivedDropped,
			} {
				*to += numberOf(tb, f[i])
			}
			for i, to := range []*float64{
				&m.network.sentBytes, &m.network.sentPackets, &m.network.sentErrors, &m.network.sentDropped,
			} {
				*to += numberOf(tb, f[8+i])
			}
		}
	}
}

func (m *machine) readSpace(tb testing.TB) {
	tb.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(slurp(tb, "/proc/self/mounts")) {
		f := strings.Fields(line)
		if !strings.HasPrefix(f[0], "/dev/") || seen[f[0]] {
			continue
		}
		// Space in an image is space of the file system that holds it: another test's disk.
		if _, err := os.Stat("/sys/block/" + filepath.Base(f[0]) + "/loop/backing_file"); err == nil {
			continue
		}
		seen[f[0]] = true
		var s syscall.Statfs_t
		if err := syscall.Statfs(f[1], &s); err != nil {
			tb.Fatalf("statfs %s: %v", f[1], err)
		}
		block := float64(s.Frsize)
		m.space.total += float64(s.Blocks) * block
		m.space.used += float64(s.Blocks-s.Bfree) * block
		m.space.free += float64(s.Bavail) * block
	}
}

// frequency returns the mean over all processors in MHz. Call it at the end only: the
// kernel interrupts each processor for it.
func frequency(tb testing.TB) float64 {
	tb.Helper()
	var sum, n float64
	for line := range strings.Lines(slurp(tb, "/proc/cpuinfo")) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "cpu MHz" {
			sum += numberOf(tb, strings.TrimSpace(value))
			n++
		}
	}
	return sum / n
}

// frequencyLimit reads a limit in MHz, NaN if the machine does not report it.
func frequencyLimit(tb testing.TB, which string) float64 {
	tb.Helper()
	files, err := filepath.Glob("/sys/devices/system/cpu/cpu[0-9]*/cpufreq/cpuinfo_" + which + "_freq")
	if err != nil {
		tb.Fatal(err)
	}
	limit := math.NaN()
	for _, file := range files {
		v := numberOf(tb, strings.TrimSpace(slurp(tb, file))) / 1000
		if !(limit <= v) && which == "min" || !(limit >= v) && which == "max" {
			limit = v
		}
	}
	return limit
}

// bootTime returns the line btime of /proc/stat.
func bootTime(tb testing.TB) time.Time {
	tb.Helper()
	for line := range strings.Lines(slurp(tb, "/proc/stat")) {
		if seconds, ok := strings.CutPrefix(line, "btime "); ok {
			return time.Unix(int64(numberOf(tb, strings.TrimSpace(seconds))), 0)
		}
	}
	tb.Fatal("/proc/stat has no line btime")
	return time.Time{}
}

// processStatus reads a line of /proc/PID/status.
func processStatus(tb testing.TB, pid int, name string) string {
	tb.Helper()
	for line := range strings.Lines(slurp(tb, fmt.Sprintf("/proc/%d/status", pid))) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	tb.Fatalf("/proc/%d/status has no line %s", pid, name)
	return ""
}

// hasHardware reports whether a device of /sys is hardware.
func hasHardware(dir string) bool {
	_, err := os.Stat(dir + "/device")
	return err == nil
}

func slurp(tb testing.TB, path string) string {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

func numberOf(tb testing.TB, text string) float64 {
	tb.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
