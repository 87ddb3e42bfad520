package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysotel/agent/app"
)

// nobody is a user without files and permissions.
const nobody = 65534

// TestCheckReportsMissingPermissions runs the program as an ordinary user, with and
// without the capabilities that it names.
func TestCheckReportsMissingPermissions(t *testing.T) {
	requireRoot(t)
	data := t.TempDir()
	if err := os.Chmod(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	owned := filepath.Join(t.TempDir(), "data")
	if err := errors.Join(os.Mkdir(owned, 0o700), os.Chown(owned, nobody, nobody), os.Chmod(filepath.Dir(owned), 0o755), os.Chmod(filepath.Dir(filepath.Dir(owned)), 0o755)); err != nil {
		t.Fatal(err)
	}
	check := func(args []string, capabilities ...uintptr) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append([]string{"check"}, args...)...)
		cmd.Dir, cmd.Env = "/", append(os.Environ(), "SYSOTEL_DATA_DIR="+owned, "SYSOTEL_HTTP_LISTEN=127.0.0.1:0", "SYSOTEL_PROMETHEUS_LISTEN=")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
		output, err := cmd.CombinedOutput()
		// The exit code is 1 exactly if it says that the agent cannot start.
		if refused := strings.Contains(string(output), "the agent cannot start: "); (err != nil) != refused || cmd.ProcessState.ExitCode() > 1 {
			t.Fatalf("check: %v\n%s", err, output)
		}
		return string(output)
	}
	denied := func(output string) int {
		m := regexp.MustCompile(`reads and writes of (\d+) of`).FindStringSubmatch(output)
		if m == nil {
			return 0
		}
		n, _ := strconv.Atoi(m[1])
		return n
	}

	plain := check(nil)
	most := denied(plain)
	if !strings.Contains(plain, "missing permissions of this user (65534):") || most == 0 || !strings.Contains(plain, "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, both") {
		t.Fatalf("check reports for an ordinary user\n%s", plain)
	}
	if got := denied(check(nil, unix.CAP_SYS_PTRACE)); got < most/2 {
		t.Errorf("CAP_SYS_PTRACE alone opens processes: %d of %d are left", got, most)
	}
	if got := denied(check(nil, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH)); got > most/2 {
		t.Errorf("with both capabilities %d processes of %d are still closed", got, most)
	}

	const kernelLog = "kills by the OOM killer are not reported"
	restricted := setting(t, "/proc/sys/kernel/dmesg_restrict") == 1
	if f, err := os.Open("/dev/kmsg"); err == nil {
		_ = f.Close()
		if got := strings.Contains(plain, kernelLog); got != restricted {
			t.Errorf("check reports the kernel log as closed: %t, it is: %t\n%s", got, restricted, plain)
		}
		if output := check(nil, unix.CAP_SYSLOG); strings.Contains(output, kernelLog) {
			t.Errorf("with CAP_SYSLOG the log is still closed:\n%s", output)
		}
	}

	const port = "http.listen: this user may not listen on 127.0.0.1:81"
	low := []string{"--http.listen=127.0.0.1:81"}
	if got, want := strings.Contains(check(low), port), setting(t, "/proc/sys/net/ipv4/ip_unprivileged_port_start") > 81; got != want {
		t.Errorf("a low port is refused: %t, want %t", got, want)
	}
	if output := check(low, unix.CAP_NET_BIND_SERVICE); strings.Contains(output, port) {
		t.Errorf("with CAP_NET_BIND_SERVICE a low port is still refused:\n%s", output)
	}

	if err := os.Chmod(data, 0o700); err != nil {
		t.Fatal(err)
	}
	closed := check([]string{"--data-dir=" + filepath.Join(data, "sysotel"), "--log.file=" + filepath.Join(data, "log")})
	for _, option := range []string{"data_dir", "log.file"} {
		if !strings.Contains(closed, "the agent cannot start: "+option+" cannot be written") {
			t.Errorf("check misses that %s belongs to another user:\n%s", option, closed)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(owned, "*")); left != nil {
		t.Errorf("check leaves %v behind", left)
	}

	root, err := exec.CommandContext(t.Context(), program, "check", "--http.listen=127.0.0.1:0", "--prometheus.listen=", "--data-dir="+data).CombinedOutput()
	if err != nil || !strings.Contains(string(root), "warning: you are root, which the agent needs only to see") {
		t.Errorf("check reports for root (%v)\n%s", err, root)
	}
}

// TestRuleFileMayNotBeRead: a rule file that the agent's user may not read any more is told
// within a minute, in the log and by health; the agent measures on, and says when it may
// be read again.
func TestRuleFileMayNotBeRead(t *testing.T) {
	requireRoot(t)
	dir := t.TempDir()
	rules, data := filepath.Join(dir, "rules.yml"), filepath.Join(dir, "data")
	err := errors.Join(
		os.Chmod(filepath.Dir(program), 0o755), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Mkdir(data, 0o700), os.Chown(data, nobody, nobody),
		os.WriteFile(rules, []byte("groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]"), 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	said := filepath.Join(dir, "said")
	log, err := os.Create(said)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() //nolint:errcheck // The agent writes it.
	cmd := exec.CommandContext(t.Context(), program, "run", "--data-dir="+data, "--alerting.rules="+rules, "--http.listen=127.0.0.1:0", "--prometheus.listen=")
	cmd.Dir, cmd.Stderr = "/", log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(data, app.SocketName))
	}}}
	get := func(path string) string {
		response, err := client.Get("http://agent" + path)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close() //nolint:errcheck // It was only read.
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err.Error()
		}
		return string(body)
	}
	wait := func(what string, holds func() bool) {
		t.Helper()
		began := time.Now()
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for !holds() {
			if <-ticker.C; time.Since(began) > time.Minute {
				text, _ := os.ReadFile(said)
				t.Fatalf("%s: not after a minute\n%s\n%s", what, text, get("/api/v1/health"))
			}
		}
		t.Logf("%s: after %s", what, time.Since(began).Round(100*time.Millisecond))
	}
	logged := func(text string) bool {
		all, err := os.ReadFile(said)
		return err == nil && strings.Contains(string(all), text)
	}
	tick := func() (n int) {
		if m := regexp.MustCompile(`"tick":(\d+)`).FindStringSubmatch(get("/api/v1/metrics/current")); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		return n
	}
	wait("the first readings", func() bool { return tick() > 1 })
	if err := os.Chmod(rules, 0); err != nil {
		t.Fatal(err)
	}
	wait("told that it may not be read", func() bool {
		return logged("a rule file cannot be read any more") && strings.Contains(get("/api/v1/health"), rules+": permission denied")
	})
	before := tick()
	wait("measured on", func() bool { return tick() > before+2 })
	if got := strings.Count(get("/prometheus/api/v1/rules"), `"name":"Always"`); got != 1 {
		t.Errorf("its rule is there %d times", got)
	}
	if err := os.Chmod(rules, 0o644); err != nil {
		t.Fatal(err)
	}
	wait("told that it may be read again", func() bool {
		return logged("can be read again") && !strings.Contains(get("/api/v1/health"), "permission denied")
	})
}

// TestCheckSeesHiddenProcesses mounts a /proc that hides other users' processes.
func TestCheckSeesHiddenProcesses(t *testing.T) {
	requireRoot(t)
	if err := os.Chmod(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("mount -t proc -o hidepid=invisible proc /proc && exec setpriv --reuid %d --regid %d --clear-groups %s check --http.listen=127.0.0.1:0 --prometheus.listen= --data-dir=/tmp/%d/data", nobody, nobody, program, os.Getpid())
	output, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("check: %v\n%s", err, output)
	}
	if !strings.Contains(string(output), "processes of other users are hidden: /proc is mounted with hidepid") {
		t.Errorf("check misses the hidden processes:\n%s", output)
	}
}

// setting reads a numeric kernel setting.
func setting(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// requireRoot skips a test that needs root, and fails it in CI, where nobody would
// notice.
func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this test needs root to become another user, and CI must run it")
	}
	t.Skip("needs root: it becomes another user")
}
