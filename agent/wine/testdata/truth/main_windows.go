// Command truth makes loads on Windows and measures them by Windows' own calls, for the
// tests of package wine. Each line of standard input is a job, each line of output its
// answer as JSON; it lives until the input ends.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

var globalMemoryStatusEx = windows.NewLazySystemDLL("kernel32.dll").NewProc("GlobalMemoryStatusEx")

// memoryStatus is MEMORYSTATUSEX of sysinfoapi.h.
type memoryStatus struct {
	length, load                                       uint32
	totalPhys, availPhys, totalPageFile, availPageFile uint64
	totalVirtual, availVirtual, availExtendedVirtual   uint64
}

func main() {
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		answer, err := do(strings.Fields(in.Text()))
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		answer["pid"] = os.Getpid()
		if err := out.Encode(answer); err != nil {
			os.Exit(1)
		}
	}
}

func do(job []string) (map[string]any, error) {
	switch job[0] {
	case "memory":
		s := memoryStatus{length: uint32(unsafe.Sizeof(memoryStatus{}))}
		if ok, _, err := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&s))); ok == 0 {
			return nil, err
		}
		return map[string]any{"total": s.totalPhys, "available": s.availPhys}, nil
	case "burn":
		d, err := time.ParseDuration(job[1])
		if err != nil {
			return nil, err
		}
		for {
			used, err := cpuTime()
			if err != nil || used >= d {
				return map[string]any{"seconds": used.Seconds()}, err
			}
			for range 1 << 22 { // Between two looks.
			}
		}
	case "cpu":
		used, err := cpuTime()
		return map[string]any{"seconds": used.Seconds()}, err
	case "write":
		var size int
		if _, err := fmt.Sscan(job[2], &size); err != nil {
			return nil, err
		}
		f, err := os.Create(job[1])
		if err != nil {
			return nil, err
		}
		n, err := f.Write(make([]byte, size))
		if err == nil {
			err = f.Sync()
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		return map[string]any{"written": n}, err
	}
	return nil, fmt.Errorf("unknown job %q", job)
}

// cpuTime is what this process has used, by GetProcessTimes.
func cpuTime() (time.Duration, error) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(windows.CurrentProcess(), &created, &exited, &kernel, &user); err != nil {
		return 0, err
	}
	units := func(t windows.Filetime) int64 { return int64(t.HighDateTime)<<32 | int64(t.LowDateTime) }
	return time.Duration(units(kernel)+units(user)) * 100, nil
}
