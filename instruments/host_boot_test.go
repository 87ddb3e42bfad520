package instruments

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// wtmpRecord is a record of wtmp(5) as amd64 or arm64 has it.
func wtmpRecord(architecture string, kind int, user string, at time.Time) []byte {
	size, seconds := 384, 340
	if architecture == "arm64" {
		size, seconds = 400, 344
	}
	record := make([]byte, size)
	binary.LittleEndian.PutUint16(record, uint16(kind))
	copy(record[wtmpUser:], user)
	binary.LittleEndian.PutUint32(record[seconds:], uint32(at.Unix()))
	return record
}

func TestShutDown(t *testing.T) {
	boot := time.Unix(1_700_000_000, 0)
	before := boot.Add(-time.Hour)
	type entry struct {
		kind int
		user string
		at   time.Time
	}
	first, last := entry{bootTime, "reboot", before}, entry{bootTime, "reboot", boot.Add(3 * time.Second)}
	down, login, level := entry{runLevel, "shutdown", boot.Add(-time.Minute)}, entry{7, "shutdown", boot.Add(-time.Minute)}, entry{runLevel, "runlevel", boot}
	for _, c := range []struct {
		name           string
		entries        []entry
		orderly, known bool
	}{
		{"shut down", []entry{first, level, down, last, level}, true, true},
		{"crashed", []entry{first, level, last, level}, false, true},
		{"the shutdown before the boot before does not count", []entry{first, down, first, last}, false, true},
		{"a user named shutdown", []entry{first, login, last}, false, true},
		{"only the present boot is in it", []entry{last, level}, false, false},
		{"the present boot is not in it", []entry{first, down}, false, false},
		{"empty", nil, false, false},
	} {
		for _, architecture := range []string{"amd64", "arm64"} {
			t.Run(c.name+" "+architecture, func(t *testing.T) {
				var text []byte
				for _, e := range c.entries {
					text = append(text, wtmpRecord(architecture, e.kind, e.user, e.at)...)
				}
				text = append(text, "cut"...)
				if orderly, known := shutDown(text, boot, architecture); orderly != c.orderly || known != c.known {
					t.Errorf("orderly %v, known %v; want %v, %v", orderly, known, c.orderly, c.known)
				}
			})
		}
	}
	if _, known := shutDown(wtmpRecord("amd64", bootTime, "reboot", boot), time.Time{}, "amd64"); known {
		t.Error("the boot's time is not known, and yet the file has it")
	}
}

func TestLastEnding(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string, at time.Time) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	boot := time.Unix(1_700_000_000, 0)
	alive := boot.Add(-time.Minute)
	put("proc/stat", "cpu 1 1 1 1\ncpu0 1 1 1 1\nbtime "+strconv.FormatInt(boot.Unix(), 10)+"\n", boot)
	h := NewHost(root)
	want := func(ending Ending) {
		t.Helper()
		if got, evidence := h.LastEnding(alive); got != ending || evidence == "" {
			t.Errorf("%s (%s), want %s", got, evidence, ending)
		}
	}
	want(EndingUnknown)
	put("sys/fs/pstore/dmesg-efi-1", "Panic#1 Part1\n<0>Kernel panic - not syncing: sysrq", alive.Add(-time.Hour))
	put("sys/fs/pstore/dmesg-efi-2", "Oops#1 Part1\n<4>BUG: unable to handle", alive.Add(time.Second))
	want(EndingUnknown) // One panic is an old one, the other message is no panic.
	put("var/lib/systemd/pstore/170/dmesg.txt", "<0>Kernel panic - not syncing: sysrq", boot.Add(time.Second))
	want(EndingPanic)
}
