package api

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"sysotel/agent/health"
	"sysotel/agent/socket"
)

// CheckSocketPath returns an error if a path is too long for the Unix socket.
func CheckSocketPath(path string) error { return socket.Check(path) }

// socketEvery is how often the socket is looked after.
const socketEvery = 2 * time.Second

// openSocket opens the socket. A data directory that cannot be written is no error: the
// commands have no socket until it can.
func (s *Server) openSocket() error {
	if s.options.Socket == "" {
		return nil
	}
	l, err := socket.Listen(s.options.Socket)
	var info fs.FileInfo
	if err == nil {
		info, err = os.Lstat(s.options.Socket)
	}
	if err == nil {
		if s.socketErr != nil {
			s.log.Info("the socket is open again", "path", s.options.Socket)
		}
		s.socket, s.socketInfo, s.socketErr = l, info, nil
		return nil
	}
	if l != nil {
		err = errors.Join(err, l.Close())
	}
	if !errors.Is(err, socket.ErrOccupied) && !errors.As(err, new(syscall.Errno)) {
		return err
	}
	if s.socketErr == nil {
		s.log.Warn("the sysotel commands cannot reach this agent until its socket can be made", "err", err)
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
		opened := s.socket
		s.mu.Unlock()
		ended := make(chan error, 1)
		if opened != nil {
			go func() { ended <- s.unix.Serve(opened) }()
		}
		for opened == nil || s.hasSocket() {
			select {
			case <-s.closing:
				if opened == nil {
					return nil
				}
				return <-ended
			case err := <-ended:
				return err
			case <-every.C:
			}
			if opened == nil {
				break
			}
		}
		if opened != nil {
			_ = opened.Close() // Nobody can reach it.
			if err := <-ended; !errors.Is(err, net.ErrClosed) {
				return err
			}
		}
		s.mu.Lock()
		if s.socket == opened {
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

// removeSocket removes the socket file after the server has stopped.
func (s *Server) removeSocket() {
	s.mu.Lock()
	opened, info := s.socket, s.socketInfo
	s.socket = nil
	s.mu.Unlock()
	if opened == nil {
		return
	}
	_ = opened.Close() // Already closed by its server, unless that never ran.
	if now, err := os.Lstat(s.options.Socket); err != nil || !os.SameFile(now, info) {
		return // It is gone, or another's.
	}
	if err := os.Remove(s.options.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("cannot remove the socket", "path", s.options.Socket, "err", err)
	}
}
