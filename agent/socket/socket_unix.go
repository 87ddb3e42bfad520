//go:build !windows

package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// network is the net package's name for it.
const network = "unix"

// maxPath is the maximum length of a Unix socket's path: sun_path in sys/un.h has 108
// bytes on Linux and 104 elsewhere, including the final 0.
const maxPath = 103

// Check returns an error if a path is too long for a socket.
func Check(path string) error {
	if len(path)+len("/.sock12345678") > maxPath {
		return fmt.Errorf("open the Unix socket %s: the path is too long for a socket; choose a shorter one with --data-dir", path)
	}
	return nil
}

// Listen opens the socket. Only the agent's user may open it: it is created in a private
// directory, given its mode, and only then moved to its path. Closing the listener leaves
// the file. An error names the path; one with ErrOccupied or a number of the system may
// pass, others will not.
func Listen(path string) (net.Listener, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("open the Unix socket %s: %w", path, err)
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("open the Unix socket %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	at := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the Unix socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // It would unlink the original path.
	if err = os.Chmod(at, 0o600); err == nil {
		err = os.Rename(at, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the Unix socket %s: %w", path, err), l.Close())
	}
	return l, nil
}

// Dial connects to the agent whose socket has the path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// isSocket reports whether the file is a socket.
func isSocket(_ string, info fs.FileInfo) bool { return info.Mode()&fs.ModeSocket != 0 }
