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
	"syscall"
	"time"

	"sysotel/agent/health"
)

// maxSocketPath is the maximum length of a Unix socket's path: sun_path in
// sys/un.h has 108 bytes on Linux and 104 elsewhere, including the final 0.
const maxSocketPath = 103

// CheckSocketPath returns an error if a path is too long for the Unix socket.
func CheckSocketPath(path string) error {
	if len(path)+len("/.sock12345678") > maxSocketPath {
		return fmt.Errorf("open the Unix socket %s: the path is too long for a socket; choose a shorter one with --data-dir", path)
	}
	return nil
}

// listenUnix opens the socket through which the sysotel commands talk to the
// running agent. Only the agent's user may open it: the socket is created in a
// private directory, given its mode, and only then moved to its path.
func listenUnix(path string) (net.Listener, error) {
	if err := CheckSocketPath(path); err != nil {
		return nil, err
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

// errNoSocket: something else has the socket's name.
var errNoSocket = errors.New("a file that is not a socket is in its place; remove it")

// socketEvery is how often the socket is looked after.
const socketEvery = 2 * time.Second

// openSocket opens the socket. A data directory that cannot be written is no error: the
// commands have no socket until it can.
func (s *Server) openSocket() error {
	if s.options.Socket == "" {
		return nil
	}
	l, err := listenUnix(s.options.Socket)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(s.options.Socket)
	}
	if err == nil {
		if s.socketErr != nil {
			s.log.Info("the Unix socket is open again", "path", s.options.Socket)
		}
		s.socket, s.socketInfo, s.socketErr = l, info, nil
		return nil
	}
	if l != nil {
		err = errors.Join(err, l.Close())
	}
	if !errors.Is(err, errNoSocket) && !errors.As(err, new(syscall.Errno)) {
		return err
	}
	if s.socketErr == nil {
		s.log.Warn("the sysotel commands cannot reach this agent until its Unix socket can be made", "err", err)
	}
	s.socketErr = err
	return nil
}

// serveSocket serves the socket until the server closes. Where it is deleted, with the
// data directory for example, or could not be made, it is made anew.
func (s *Server) serveSocket() error {
	every := time.NewTicker(socketEvery)
	defer every.Stop()
	for {
		s.mu.Lock()
		socket := s.socket
		s.mu.Unlock()
		ended := make(chan error, 1)
		if socket != nil {
			go func() { ended <- s.unix.Serve(socket) }()
		}
		for socket == nil || s.hasSocket() {
			select {
			case <-s.closing:
				if socket == nil {
					return nil
				}
				return <-ended
			case err := <-ended:
				return err
			case <-every.C:
			}
			if socket == nil {
				break
			}
		}
		if socket != nil {
			_ = socket.Close() // Nobody can reach it.
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				return err
			}
		}
		s.mu.Lock()
		if s.socket == socket {
			s.socket = nil
			if err := s.openSocket(); err != nil {
				s.socketErr = err // Only at the start it would end the agent.
			}
		}
		s.mu.Unlock()
	}
}

// hasSocket reports whether the socket is in its place.
func (s *Server) hasSocket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := os.Lstat(s.options.Socket)
	return err == nil && os.SameFile(now, s.socketInfo)
}

// socketHealth is the component of the socket, none where it works.
func (s *Server) socketHealth() []health.Component {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.socketErr == nil {
		return nil
	}
	return []health.Component{{Name: "socket", Status: health.Degraded, Reason: "the sysotel commands cannot reach this agent: " + s.socketErr.Error()}}
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
		return errNoSocket
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
	socket, info := s.socket, s.socketInfo
	s.socket = nil
	s.mu.Unlock()
	if socket == nil {
		return
	}
	_ = socket.Close() // Already closed by its server, unless that never ran.
	if now, err := os.Lstat(s.options.Socket); err != nil || !os.SameFile(now, info) {
		return // It is gone, or another's.
	}
	if err := os.Remove(s.options.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove the Unix socket", "path", s.options.Socket, "err", err)
	}
}
