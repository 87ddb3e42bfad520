package command

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSupervisor: who sets NOTIFY_SOCKET and WATCHDOG_USEC is notified as sd_notify(3)
// and sd_watchdog_enabled(3) promise.
func TestSupervisor(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := exec.CommandContext(t.Context(), program, "run", "--data-dir="+t.TempDir(), "--http.listen=127.0.0.1:0", "--prometheus.listen=")
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=300000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	next := func() []string {
		t.Helper()
		message := make([]byte, 4096)
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(string(message[:n]), "\n")
	}
	await := func(want string) []string {
		t.Helper()
		for {
			if said := next(); slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, want) }) {
				return said
			}
		}
	}
	if first := next(); first[0] != "READY=1" || len(first) != 2 || !strings.HasPrefix(first[1], "STATUS=") {
		t.Errorf("the first message is %q", first)
	}
	began := time.Now()
	for range 5 {
		await("WATCHDOG=1")
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("five signs of life came within %s", took)
	}
	await("STATUS=ok")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if said := await("RELOADING=1"); len(said) != 2 || !strings.HasPrefix(said[1], "MONOTONIC_USEC=") {
		t.Errorf("a reload is announced as %q", said)
	}
	await("READY=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// stuckAgent completes no ticks.
type stuckAgent struct{}

func (stuckAgent) Tick() uint64    { return 7 }
func (stuckAgent) Summary() string { return "degraded: a\nWATCHDOG=1" }

// TestStuckAgent: an agent that completes no ticks gives no sign of life, whatever its
// status says.
func TestStuckAgent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "60000000")
	s := newSupervisor(stuckAgent{}, time.Second)
	if s.every != 20*time.Second || s.stuck != 32*time.Second {
		t.Errorf("%+v", s)
	}
	for i, want := range []string{"STATUS=degraded: a WATCHDOG=1\nWATCHDOG=1", "STATUS=degraded: a WATCHDOG=1"} {
		s.sign()
		message := make([]byte, 4096)
		n, err := c.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(message[:n]); got != want {
			t.Errorf("sign %d is %q, want %q", i, got, want)
		}
		s.at = s.at.Add(-time.Minute)
	}
}
