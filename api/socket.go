package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// maxSocketPath is the maximum length of a Unix socket's path: sun_path in
// sys/un.h has 108 bytes on Linux and 104 elsewhere, including the final 0.
const maxSocketPath = 103

// listenUnix opens the socket through which the sysotel commands talk to the
// running agent. Only the agent's user may open it: the socket is created in a
// private directory, given its mode, and only then moved to its path.
func listenUnix(path string) (net.Listener, error) {
	if len(path)+len("/.sock12345678") > maxSocketPath {
		return nil, fmt.Errorf("open the Unix socket %s: the path is too long for a socket; choose a shorter one with --data-dir", path)
	}
	if err := removeStale(path); err != nil {
		return nil, fmt.Errorf("open the Unix socket %s: %w", path, err)
	}
	if runtime.GOOS == "windows" { // No file modes there; the permissions of the directory apply.
		return listenAt(path, path)
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("open the Unix socket %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(private) }()
	return listenAt(filepath.Join(private, "s"), path)
}

// listenAt opens a socket at one path and moves it to another.
func listenAt(at, path string) (net.Listener, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the Unix socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // It would unlink the original path.
	if at != path {
		if err = os.Chmod(at, 0o600); err == nil {
			err = os.Rename(at, path)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the Unix socket %s: %w", path, err), l.Close())
	}
	return l, nil
}

// removeStale removes the socket of a killed agent. It fails if an agent is
// listening there or the file is not a socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 && runtime.GOOS != "windows" {
		return errors.New("a file that is not a socket is in its place; remove it or choose another --data-dir")
	}
	if c, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "unix", path); err == nil {
		_ = c.Close()
		return errors.New("another agent is listening there; stop it or choose another --data-dir")
	}
	return os.Remove(path)
}

// removeSocket removes the socket file after the server has stopped.
func (s *Server) removeSocket() {
	s.mu.Lock()
	socket := s.socket
	s.socket = nil
	s.mu.Unlock()
	if socket == nil {
		return
	}
	_ = socket.Close() // Already closed by its server, unless that never ran.
	if err := os.Remove(s.options.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove the Unix socket", "path", s.options.Socket, "err", err)
	}
}
