package instruments

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestHostClosesFiles: a host that is not used any more leaves no files open.
func TestHostClosesFiles(t *testing.T) {
	open := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := open()
	func() {
		h := NewHost("/")
		f := h.open("proc/loadavg")
		for _, read := range []*file{h.statFile, f} {
			if _, err := read.read(); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.processes(t.Context(), Tick{}, func(*processTable) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if held := open() - before; held < 4 {
			t.Errorf("%d files are held open, the test expects more", held)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	for deadline := time.Now().Add(10 * time.Second); open() > before; runtime.Gosched() {
		runtime.GC()
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, before there were %d", open(), before)
		}
	}
}
