package command

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestOrphans: as process 1 of its PID namespace, as in a container without an init, the
// agent waits for what its commands leave behind, and no end of a command of its own is
// lost. It also waits for a child that it had before it was the agent.
func TestOrphans(t *testing.T) {
	requireRoot(t)
	t.Parallel()
	for _, place := range []string{"process 1", "after exec"} {
		t.Run(place, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			leaving := `i=0; while [ $i -lt 5 ]; do setsid sh -c "sleep 0.$i" >/dev/null 2>&1 & i=$((i+1)); done; (sleep 0.3 >/dev/null 2>&1 &); echo left 1`
			config := filepath.Join(dir, "sysotel.yaml")
			text := fmt.Sprintf(`custom: {commands: [
  {name: leaving, command: [sh, -c, %q], interval: 1s, timeout: 1s},
  {name: failing, command: [sh, -c, "exit 3"], interval: 1s, timeout: 1s},
  {name: good, command: [echo, good 1], interval: 1s, timeout: 1s}]}
`, leaving)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{program, "run", "--config=" + config, "--data-dir=" + dir, "--http.listen=127.0.0.1:0", "--prometheus.listen="}
			var cmd *exec.Cmd
			if place == "process 1" {
				cmd = exec.CommandContext(t.Context(), args[0], args[1:]...)
				cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
			} else {
				cmd = exec.CommandContext(t.Context(), "sh", append([]string{"-c", `sleep 2 & exec "$@"`, "sh"}, args...)...)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			client := socketClient(filepath.Join(dir, "sysotel.sock"))
			runs := func() (runs int, said string) {
				body, err := fetch(client, "/metrics")
				if err != nil {
					return 0, err.Error()
				}
				for line := range strings.Lines(string(body)) {
					switch fields := strings.Fields(line); {
					case strings.HasPrefix(line, "sysotel_custom_changes_total") && strings.Contains(line, `"leaving"`):
						runs, _ = strconv.Atoi(fields[len(fields)-1])
					case strings.HasPrefix(line, "sysotel_custom_success"):
						said += line
					}
				}
				return runs, said
			}
			deadline := time.Now().Add(patience)
			said := ""
			for n := 0; n < 5; n, said = runs() {
				<-time.After(200 * time.Millisecond)
				if time.Now().After(deadline) {
					t.Fatalf("the command ran %d times: %s", n, said)
				}
			}
			for name, want := range map[string]string{"leaving": "1", "good": "1", "failing": "0"} {
				if !strings.Contains(said, `source="`+name+`"} `+want) {
					t.Errorf("%s is not %s:\n%s", name, want, said)
				}
			}
			if body, err := fetch(client, "/api/v1/health"); err != nil || !strings.Contains(string(body), "exit status 3") {
				t.Errorf("the status of a command is lost: %v\n%s", err, body)
			}
			// One that ends at this moment is not waited for yet.
			var zombies []string
			for range 20 {
				if zombies = zombiesOf(t, cmd.Process.Pid); zombies == nil {
					break
				}
				<-time.After(50 * time.Millisecond)
			}
			if zombies != nil {
				t.Errorf("zombies: %q", zombies)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// zombiesOf lists the children of a process that nobody waited for.
func zombiesOf(t *testing.T, parent int) (zombies []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // It has ended.
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[0] == "Z" && fields[1] == strconv.Itoa(parent) {
			zombies = append(zombies, string(text))
		}
	}
	return zombies
}
