package socket

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// network is the go-winio package's name for it.
const network = "pipe"

// pipePrefix begins the name of every agent's pipe.
const pipePrefix = `\\.\pipe\sysotel-`

// pipeBuffer is the size of a pipe's buffers, as for a Unix socket.
const pipeBuffer = 64 << 10

// Check returns nil: the path is a file's.
func Check(string) error { return nil }

// Listen opens a named pipe and writes its name, which nobody can foresee, to the file
// at path. Closing the listener leaves the file. Windows Server 2016 has no Unix sockets.
// An error names the path; one with ErrOccupied or a number of the system may pass,
// others will not.
func Listen(path string) (net.Listener, error) {
	l, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("open the named pipe of %s: %w", path, err)
	}
	return l, nil
}

func listen(path string) (net.Listener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, err
	}
	name := pipePrefix + rand.Text()
	l, err := winio.ListenPipe(name, &winio.PipeConfig{
		// For the system, administrators and the agent's user.
		SecurityDescriptor: fmt.Sprintf("O:%sD:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;%[1]s)", user.User.Sid),
		InputBufferSize:    pipeBuffer, OutputBufferSize: pipeBuffer,
	})
	if err != nil {
		return nil, err
	}
	// On Windows nobody can connect to the instance that holds the name. Wine gives it the
	// first client, who would never be served.
	brief := 50 * time.Millisecond
	if c, err := winio.DialPipe(name, &brief); err == nil {
		_ = c.Close()
	}
	fresh := filepath.Join(filepath.Dir(path), ".s-"+rand.Text())
	if err = os.WriteFile(fresh, []byte(name), 0o600); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Dial connects to the agent whose pipe's name is in the file at path. A pipe of any
// other user is refused: the name can be seen, and taken once its agent is dead.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	name, err := pipeName(path)
	if err != nil {
		return nil, err
	}
	c, err := winio.DialPipeContext(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := checkOwner(c); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// checkOwner returns an error unless the pipe belongs to this user, an administrator or
// the system.
func checkOwner(c net.Conn) error {
	f, ok := c.(interface{ Fd() uintptr })
	if !ok {
		return errors.New("the pipe has no handle")
	}
	descriptor, err := windows.GetSecurityInfo(windows.Handle(f.Fd()), windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return fmt.Errorf("ask for the owner of the pipe: %w", err)
	}
	owner, _, err := descriptor.Owner()
	if err != nil {
		return fmt.Errorf("ask for the owner of the pipe: %w", err)
	}
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	if owner.Equals(user.User.Sid) || owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) {
		return nil
	}
	return fmt.Errorf("the pipe belongs to another user (%s), who is no administrator; the agent's user or an administrator may talk to it", owner)
}

// pipeName reads the name of a pipe from its file.
func pipeName(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return "", err
	}
	if rest, ok := strings.CutPrefix(string(text), pipePrefix); !ok || strings.ContainsAny(rest, `\/`) {
		return "", fmt.Errorf("%s: %w", path, ErrOccupied)
	}
	return string(text), nil
}

// isSocket reports whether the file holds the name of an agent's pipe.
func isSocket(path string, info fs.FileInfo) bool {
	_, err := pipeName(path)
	return info.Mode().IsRegular() && err == nil
}
