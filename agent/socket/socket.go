// Package socket is the way by which the sysotel commands reach the agent that runs on
// this machine: a Unix socket in its data directory or, on Windows, a named pipe whose
// name is in that file. Only the agent's user, root and administrators get through, so
// that nobody needs to log in.
//
// Read socket_unix.go first.
package socket

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"time"
)

// ErrOccupied: something that is no socket of an agent has the path.
var ErrOccupied = errors.New("a file that is not a socket is in its place; remove it")

// errListening: the path is another agent's.
var errListening = errors.New("another agent is listening there; stop it or choose another --data-dir")

// removeStale removes the socket of a killed agent. It fails if an agent is listening
// there or the file is not a socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !isSocket(path, info) {
		return ErrOccupied
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if c, err := Dial(ctx, path); err == nil {
		_ = c.Close()
		return errListening
	}
	return os.Remove(path)
}

// Accepted reports whether a connection came in by a listener of this package.
func Accepted(c net.Conn) bool { return c.LocalAddr().Network() == network }
