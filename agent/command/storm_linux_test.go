package command

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReloadStorm: an agent that gets SIGHUP every few milliseconds from the moment that
// it holds its data directory starts, measures, reloads what it read last, and stops.
func TestReloadStorm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "sysotel.yaml")
	level := func(level string) {
		t.Helper()
		next := config + ".next"
		if err := os.WriteFile(next, []byte("log: {level: "+level+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, config); err != nil {
			t.Fatal(err)
		}
	}
	level("info")
	data := filepath.Join(dir, "d")
	cmd := exec.CommandContext(t.Context(), program, "run", "--config="+config, "--data-dir="+data, "--http.listen=127.0.0.1:0", "--prometheus.listen=")
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	storm := func(until func() bool) (sent int) {
		t.Helper()
		deadline := time.Now().Add(patience)
		for !until() {
			if _, err := os.Stat(filepath.Join(data, "lock")); err == nil {
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatalf("after %d signals: %v", sent, err)
				}
				sent++
			}
			select {
			case err := <-ended:
				t.Fatalf("the agent ended after %d signals: %v\n%s", sent, err, &said)
			case <-time.After(3 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatalf("the agent does not get on after %d signals", sent)
			}
		}
		return sent
	}
	client := socketClient(filepath.Join(data, "sysotel.sock"))
	asked := time.Time{}
	answers := func(path, want string) func() bool {
		return func() bool {
			if time.Since(asked) < 100*time.Millisecond {
				return false
			}
			asked = time.Now()
			body, err := fetch(client, path)
			return err == nil && strings.Contains(string(body), want)
		}
	}
	starting := storm(answers("/api/v1/metrics/current", `"tick":`))
	running := storm(answers("/api/v1/metrics/current", `"tick":5,`))
	level("warn")
	changed := storm(answers("/api/v1/config", `"warn"`))
	t.Logf("%d signals while it started, %d in five ticks, %d until the last configuration counted", starting, running, changed)
	if body, err := fetch(client, "/api/v1/health"); err != nil || strings.Contains(string(body), "cannot be reloaded") {
		t.Errorf("health: %v\n%s", err, body)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the agent ended with %v\n%s", err, &said)
		}
	case <-time.After(stopsWithin):
		t.Fatal("the agent does not end")
	}
}
