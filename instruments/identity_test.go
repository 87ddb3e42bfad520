package instruments

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestID: the machine's own identity comes before that of the agent, and the boot's is none.
func TestID(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when, id string) {
		t.Helper()
		h := NewHost(root)
		defer func() { _ = h.Close() }()
		h.Identify("of-the-agent")
		if got := h.ID(); got != id {
			t.Errorf("%s it is %q, want %q", when, got, id)
		}
	}
	put("proc/sys/kernel/random/boot_id", "0e1f2d3c-0000-4000-8000-000000000000\n")
	put("sys/class/dmi/id/product_uuid", "4C4C4544-0042-3510-8052-C7C04F564D32\n")
	want("without a file", "of-the-agent")
	if got := NewHost(root).HardwareID(); got != "4c4c4544-0042-3510-8052-c7c04f564d32" {
		t.Errorf("the hardware's is %q", got)
	}
	put("etc/machine-id", "\n")
	want("with an empty one", "of-the-agent")
	put("etc/machine-id", "uninitialized\n")
	want("before the first boot is over", "of-the-agent")
	put("var/lib/dbus/machine-id", "11111111111111111111111111111111\n")
	want("with that of D-Bus", "11111111111111111111111111111111")
	put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
	want("with a machine-id", "0123456789abcdef0123456789abcdef")
}
