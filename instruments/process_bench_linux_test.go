package instruments

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sleepers starts n processes that sleep until the test ends.
func sleepers(b *testing.B, n int) {
	for range n {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			b.Fatalf("start sleep: %v", err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}

// BenchmarkProcesses is a tick of both collectors with 50, 250 and 1,000 more
// processes than the machine has anyway; "bare" only lists /proc and reads the
// same files, which are open, and is the floor under it.
func BenchmarkProcesses(b *testing.B) {
	for _, n := range []int{50, 250, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			sleepers(b, n)
			b.Run("table", benchmarkTable)
			b.Run("bare", benchmarkBare)
		})
	}
}

func benchmarkTable(b *testing.B) {
	h := NewHost("/")
	defer h.table.close()
	now := time.Now()
	h.Now = func() time.Time { return now }
	one, all := newProcess(Defaults()), newProcesses()
	tick := Tick{Interval: time.Second}
	rows := 0
	read := func() {
		tick.Seq++
		now = now.Add(time.Second)
		r, err := one.Read(b.Context(), h, tick)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := all.Read(b.Context(), h, tick); err != nil {
			b.Fatal(err)
		}
		rows = len(r.(*ProcessTable).All)
	}
	read()
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		read()
	}
	reportProcessorTime(b, before, rows)
}

func benchmarkBare(b *testing.B) {
	dir, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(dir)
	names, err := os.ReadDir("/proc")
	if err != nil {
		b.Fatal(err)
	}
	var files []int
	for _, name := range names {
		if _, err := strconv.Atoi(name.Name()); err != nil {
			continue
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/%s/stat", name.Name()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		defer unix.Close(fd)
		files = append(files, fd)
	}
	buf := make([]byte, 8192)
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		if _, err := unix.Seek(dir, 0, 0); err != nil {
			b.Fatal(err)
		}
		for {
			n, err := unix.Getdents(dir, buf)
			if err != nil {
				b.Fatal(err)
			}
			if n == 0 {
				break
			}
		}
		for _, fd := range files {
			_, _ = unix.Pread(fd, buf, 0)
		}
	}
	reportProcessorTime(b, before, len(files))
}

// processorTime is what this program has used. A busy machine makes a tick
// last longer, but costs it little more of this.
func processorTime(b *testing.B) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func reportProcessorTime(b *testing.B, before int64, processes int) {
	used := float64(processorTime(b)-before) / float64(b.N)
	b.ReportMetric(used, "cpu-ns/op")
	b.ReportMetric(used/float64(processes), "cpu-ns/process")
}
