package instruments

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostCheck: a machine of which something can be read is measured; a folder without
// /proc is no machine.
func TestHostCheck(t *testing.T) {
	tree := t.TempDir()
	if err := NewHost(tree).Check(); err == nil || !strings.Contains(err.Error(), "-v /:/host:ro,rslave") {
		t.Errorf("an empty folder: %v", err)
	}
	writeFile(t, tree+"/proc/stat", "cpu 1 2 3 4\n")
	if err := NewHost(tree).Check(); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(tree+"/proc/stat", 0); err != nil {
		t.Fatal(err)
	}
	check := func() (err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // The thread dies with the goroutine, and what it lacks with it.
			dropPermissions(t)
			err = NewHost(tree).Check()
		}()
		<-done
		return err
	}
	if err := check(); err == nil {
		t.Error("a machine of which nothing can be read has no error")
	}
	writeFile(t, tree+"/proc/meminfo", "MemTotal: 1 kB\n")
	if err := check(); err != nil {
		t.Errorf("a machine whose memory can be read: %v", err)
	}
}

// dropPermissions has the thread be bound by the permissions of files, as root too.
func dropPermissions(t *testing.T) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Error(err)
		return
	}
	data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	if err := unix.Capset(&header, &data[0]); err != nil {
		t.Error(err)
	}
}
