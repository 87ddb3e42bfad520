package instruments

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// BootID identifies one boot of the machine; empty where the system
// has no such thing (it is Linux').
func (h *Host) BootID() string {
	if id := h.readText("proc/sys/kernel/random/boot_id"); len(id) <= 64 {
		return id
	}
	return ""
}

// Ending is how the boot before the present one ended, as far as it is known.
type Ending string

// The endings.
const (
	// EndingUnknown is one that left no trace.
	EndingUnknown Ending = "unknown"
	// EndingShutdown is a regular shutdown or reboot.
	EndingShutdown Ending = "shutdown"
	// EndingCrash is one without a shutdown: a crash, a reset or a loss of power.
	EndingCrash Ending = "crash_or_power_loss"
	// EndingPanic is one for which the kernel left its panic message.
	EndingPanic Ending = "kernel_panic"
)

// LastEnding returns how the previous boot ended, and the evidence. Evidence
// from before the given time, at which the machine still ran, does not count.
func (h *Host) LastEnding(alive time.Time) (ending Ending, evidence string) {
	if name := h.panicTrace(alive); name != "" {
		return EndingPanic, "the kernel's message in /" + name
	}
	text, err := h.readFile("var/log/wtmp")
	if err != nil {
		return EndingUnknown, "there is no panic message in /sys/fs/pstore, and /var/log/wtmp cannot be read"
	}
	switch orderly, known := shutDown(text, h.Boot(), runtime.GOARCH); {
	case !known:
		return EndingUnknown, "there is no panic message in /sys/fs/pstore, and /var/log/wtmp lacks this boot or the one before"
	case orderly:
		return EndingShutdown, "/var/log/wtmp has a shutdown before this boot"
	default:
		return EndingCrash, "/var/log/wtmp has no shutdown before this boot"
	}
}

// panicTrace is the name of a kernel panic message written after the given time: in the machine's persistent store, or where systemd moved it.
func (h *Host) panicTrace(after time.Time) string {
	if !linux {
		return ""
	}
	for _, dir := range [...]string{"sys/fs/pstore", "var/lib/systemd/pstore"} {
		for _, pattern := range [...]string{"dmesg-*", "*/dmesg*", "*/*/dmesg*"} {
			names, _ := filepath.Glob(h.path(dir + "/" + pattern)) // The pattern is a good one.
			for _, name := range names {
				info, err := os.Stat(name)
				if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(after) || info.Size() > 1<<20 {
					continue
				}
				text, err := os.ReadFile(name)
				if err == nil && (bytes.HasPrefix(text, []byte("Panic#")) || bytes.Contains(text, []byte("Kernel panic - not syncing"))) {
					return strings.TrimPrefix(filepath.ToSlash(strings.TrimPrefix(name, h.root)), "/")
				}
			}
		}
	}
	return ""
}

// wtmp(5): the kinds of records, and where their fields stand.
const (
	runLevel    = 1
	bootTime    = 2
	wtmpUser    = 44
	bootIsClose = 10 * time.Minute
)

// shutDown reads /var/log/wtmp: whether a shutdown stands between the last boot
// and the one before. It is known only where the last boot in it is the present
// one (newer systems do not write the file any more) and has another before it.
func shutDown(text []byte, boot time.Time, architecture string) (orderly, known bool) {
	size, at := 384, 340 // Where time is 32 bits wide for the sake of 32-bit programs.
	if architecture == "arm64" {
		size, at = 400, 344
	}
	for start := len(text)/size*size - size; start >= 0; start -= size {
		record := text[start : start+size]
		user, _, _ := bytes.Cut(record[wtmpUser:wtmpUser+32], []byte{0})
		switch kind := binary.LittleEndian.Uint16(record); {
		case kind == runLevel && string(user) == "shutdown" && known:
			return true, true
		case kind == bootTime && known:
			return false, true
		case kind == bootTime:
			written := time.Unix(int64(binary.LittleEndian.Uint32(record[at:])), 0)
			if boot.IsZero() || written.Sub(boot).Abs() > bootIsClose {
				return false, false
			}
			known = true
		}
	}
	return false, false
}
