package export

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// dropFlow makes the kernel drop whatever arrives at the open connections of a relay.
func dropFlow(t *testing.T, r *relay) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}} // Bytes to keep: 0.
	for _, c := range r.conns {
		raw, err := c.(*net.TCPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeadConnection: the packets of a connection are dropped without a word, those of new
// ones are not; everything as configured by default.
func TestDeadConnection(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	relay := newRelay(t, r.serve(t, "127.0.0.1:0", nil))
	a := pushTo(t, "http://"+relay.address, nil)
	t.Logf("replaced after %s", a.wantReplaced(t, r, func() { dropFlow(t, relay) }))
}

// inNamespace is set where this test runs again, in a network of its own.
const inNamespace = "SYSOTEL_TEST_NAMESPACE"

// TestFirewallDropsConnection: as a firewall does that has forgotten a connection.
func TestFirewallDropsConnection(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		t.Parallel()
		if _, err := exec.LookPath("iptables"); err != nil || os.Geteuid() != 0 {
			if os.Getenv("CI") != "" {
				t.Fatal("needs root, for a network of its own, and iptables; CI must have them")
			}
			t.Skip("needs root, for a network of its own, and iptables")
		}
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFirewallDropsConnection$", "-test.v")
		again.Env = append(os.Environ(), inNamespace+"=1")
		again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		output, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(output), "replaced after") {
			t.Errorf("in a network of its own: %v\n%s", err, output)
		}
		t.Logf("%s", output)
		return
	}
	run := func(args ...string) {
		t.Helper()
		if output, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, output)
		}
	}
	run("ip", "link", "set", "lo", "up")
	r := &receiver{}
	relay := newRelay(t, r.serve(t, "127.0.0.1:0", nil))
	a := pushTo(t, "http://"+relay.address, nil)
	took := a.wantReplaced(t, r, func() {
		relay.mu.Lock()
		defer relay.mu.Unlock()
		_, theirs, _ := net.SplitHostPort(relay.conns[0].RemoteAddr().String())
		run("iptables", "-w", "-A", "INPUT", "-p", "tcp", "--sport", theirs, "-j", "DROP")
		run("iptables", "-w", "-A", "INPUT", "-p", "tcp", "--dport", theirs, "-j", "DROP")
	})
	t.Logf("replaced after %s", took)
}
