package disktest

import (
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Mount mounts a disk of a size in bytes over a directory until the test ends. It is in
// memory, and its own directory has the mode that the agent wants.
func Mount(t testing.TB, dir string, size int64) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755,size="+strconv.FormatInt(size, 10)); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount a small disk: %v; run as root, CI must", err)
		}
		t.Skipf("not tested: a small disk cannot be mounted (%v); run as root", err)
	}
	t.Cleanup(func() {
		// What could not be written may be open until the process ends.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
}

// ReadOnly makes a disk read-only that Mount made.
func ReadOnly(t testing.TB, dir string) (undo func()) {
	t.Helper()
	remount := func(flags uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_RDONLY)
	return func() { remount(0) }
}
