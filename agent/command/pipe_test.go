//go:build unix

package command

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReaderGoesAway: an agent whose log nobody reads any more goes on, reports it in
// its health, and ends as it is told; a pipe as the shell's and a socket as journald's.
func TestReaderGoesAway(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"pipe", "socket"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			read, write := pipeOf(t, kind)
			dir := t.TempDir()
			cmd := exec.CommandContext(t.Context(), program, "run", "--data-dir="+dir, "--http.listen=127.0.0.1:0", "--prometheus.listen=")
			cmd.Stdout, cmd.Stderr = write, write
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			_ = write.Close()
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			lines := bufio.NewScanner(read)
			for !strings.Contains(lines.Text(), "sysotel started") {
				if !lines.Scan() {
					t.Fatalf("the agent does not start: %v", lines.Err())
				}
			}
			_ = read.Close()

			client := socketClient(filepath.Join(dir, "sysotel.sock"))
			deadline := time.Now().Add(patience)
			for {
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil { // Each is a line.
					t.Fatal(err)
				}
				body, err := fetch(client, "/api/v1/health")
				if err == nil && strings.Contains(string(body), "could not be written to standard error") {
					break
				}
				select {
				case err := <-ended:
					t.Fatalf("the agent ended with its reader: %v", err)
				case <-time.After(50 * time.Millisecond):
				}
				if time.Now().After(deadline) {
					t.Fatalf("health does not tell of lost lines: %v\n%s", err, body)
				}
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("the agent ended with %v", err)
				}
			case <-time.After(stopsWithin):
				t.Fatal("the agent does not end")
			}
		})
	}
}

// TestShortCommandsEndQuietly: sysotel help | head -1 says no more than its line.
func TestShortCommandsEndQuietly(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version", "--licenses"}, {"help", "run"}, {"openapi"}} {
		read, write := pipeOf(t, "pipe")
		_ = read.Close()
		cmd := exec.CommandContext(t.Context(), program, args...)
		var said strings.Builder
		cmd.Stdout, cmd.Stderr = write, &said
		err := cmd.Run()
		_ = write.Close()
		state, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || !state.Signaled() || state.Signal() != syscall.SIGPIPE || said.String() != "" {
			t.Errorf("sysotel %v ended with %v and said %q, want SIGPIPE and no word", args, err, said.String())
		}
	}
}

// pipeOf returns both ends of a pipe or of a pair of sockets.
func pipeOf(t *testing.T, kind string) (read, write *os.File) {
	t.Helper()
	if kind == "pipe" {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return read, write
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(pair[0])
	syscall.CloseOnExec(pair[1])
	return os.NewFile(uintptr(pair[0]), "reader"), os.NewFile(uintptr(pair[1]), "writer")
}
