package peer

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// dialVariable makes this test program dial an address and hold the connection until
// its input ends.
const dialVariable = "SYSOTEL_TEST_PEER_DIAL"

func TestMain(m *testing.M) {
	if address := os.Getenv(dialVariable); address != "" {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = conn.Close()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// accepted listens, has dial connect, and returns the server's end.
func accepted(t *testing.T, listen string, dial func(address string)) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Skipf("this machine has no %s: %v", listen, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	dial(l.Addr().String())
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// dialHere connects from this process.
func dialHere(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestOwnerIsTheUserOfTheOtherEnd(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "127.9.8.7:0", "[::1]:0"} {
		conn := accepted(t, listen, func(address string) { dialHere(t, "tcp", address) })
		if uid, err := Owner(conn); err != nil || int(uid) != os.Geteuid() {
			t.Errorf("%s: user %d, %v", listen, uid, err)
		}
	}
}

// TestOwnerOfMappedAddresses: a socket of both families sees IPv4 clients as IPv6, and
// so may the client's.
func TestOwnerOfMappedAddresses(t *testing.T) {
	conn := accepted(t, "[::]:0", func(address string) {
		_, port, _ := net.SplitHostPort(address)
		dialHere(t, "tcp4", "127.0.0.1:"+port)
	})
	if uid, err := Owner(conn); err != nil || int(uid) != os.Geteuid() {
		t.Errorf("user %d, %v", uid, err)
	}
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	conn = accepted(t, "127.0.0.1:0", func(address string) {
		to := syscall.SockaddrInet6{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}}
		if _, err := fmt.Sscanf(address, "127.0.0.1:%d", &to.Port); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Connect(fd, &to); err != nil {
			t.Fatal(err)
		}
	})
	if uid, err := Owner(conn); err != nil || int(uid) != os.Geteuid() {
		t.Errorf("with an IPv6 socket: user %d, %v", uid, err)
	}
}

func TestOwnerIsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("only root can start a process of another user, and CI must run this")
		}
		t.Skip("only root can start a process of another user")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	// The test program lies where only root may go.
	dir, err := os.MkdirTemp("", "peer") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	open := dir + "/dial"
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(open, text, 0o755)); err != nil {
		t.Fatal(err)
	}
	const other = 54321
	conn := accepted(t, "127.0.0.1:0", func(address string) {
		cmd := exec.CommandContext(t.Context(), open)
		cmd.Env = []string{dialVariable + "=" + address}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: other, Gid: other}}
		input, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = input.Close(); _ = cmd.Wait() })
	})
	if uid, err := Owner(conn); err != nil || uid != other {
		t.Errorf("user %d, %v", uid, err)
	}
}

// TestAClosedConnectionHasNoOwner: of a closed socket the kernel says that it is
// root's, and if a listener has its port it answers with that.
func TestAClosedConnectionHasNoOwner(t *testing.T) {
	var client net.Conn
	conn := accepted(t, "127.0.0.1:0", func(address string) { client = dialHere(t, "tcp", address) })
	port := client.LocalAddr().String()
	_ = client.Close()
	for range 100 {
		if uid, err := Owner(conn); !errors.Is(err, ErrUnknown) {
			t.Fatalf("user %d, %v", uid, err)
		}
	}
	_ = conn.Close()
	if l, err := net.Listen("tcp", port); err == nil { // Where the port is free again at once.
		defer l.Close()
		if uid, err := Owner(conn); !errors.Is(err, ErrUnknown) {
			t.Errorf("with a listener in its place: user %d, %v", uid, err)
		}
	}
}

// TestOwnerOfAListener: the kernel answers with a listening socket where the one that
// was asked for is not there.
func TestOwnerOfAListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := bare(l.Addr().(*net.TCPAddr))
	if uid, err := ask(socket{local: at, remote: at}); err == nil || strings.Contains(err.Error(), "bytes") {
		t.Errorf("user %d, %v", uid, err)
	}
}

// TestOwnerWithoutTCP: what is no TCP connection has no owner here.
func TestOwnerWithoutTCP(t *testing.T) {
	one, other := net.Pipe()
	defer one.Close()
	defer other.Close()
	if _, err := Owner(one); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

func BenchmarkOwner(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	for b.Loop() {
		if _, err := Owner(conn); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, headerSize+answerSize))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = owner(b, socket{}) })
}
