package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sysotel/api"
)

// pseudoTerminal is a terminal for a program under test.
type pseudoTerminal struct {
	outside, inside *os.File

	mu     sync.Mutex
	output bytes.Buffer
}

// openTerminal opens a pseudo terminal of a size, and collects what is written to it.
func openTerminal(t *testing.T, columns, rows uint16) *pseudoTerminal {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = outside.Close() })
	// The descriptor must stay one that reads can be interrupted on.
	connection, err := outside.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	if failed := connection.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	inside, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inside.Close() })
	p := &pseudoTerminal{outside: outside, inside: inside}
	p.resize(t, columns, rows)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := outside.Read(buffer)
			p.mu.Lock()
			p.output.Write(buffer[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

func (p *pseudoTerminal) resize(t *testing.T, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(p.inside.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

// mode is the state of the terminal that raw mode changes.
func (p *pseudoTerminal) mode(t *testing.T) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(p.inside.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// await waits until the output since the last call holds a text, and returns it.
func (p *pseudoTerminal) await(t *testing.T, text string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		p.mu.Lock()
		have := p.output.String()
		if strings.Contains(have, text) {
			p.output.Reset()
			p.mu.Unlock()
			return have
		}
		p.mu.Unlock()
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("the terminal does not show %q: %q", text, p.output.String())
	return ""
}

// topServer is an agent with fixed answers, and a stream of one reading.
func topServer(t *testing.T) string {
	t.Helper()
	ended := t.Context().Done()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		current := api.Current{Hostname: "remote-host", Timestamp: time.Now()}
		switch r.URL.Path {
		case "/api/v1/metrics/current":
			_ = json.NewEncoder(w).Encode(current)
		case "/api/v1/metrics/stream":
			text, _ := json.Marshal(current)
			fmt.Fprintf(w, "event: reading\ndata: %s\n\n", text)
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-ended:
			}
		case "/api/v1/metrics/processes":
			_ = json.NewEncoder(w).Encode(api.Processes{Total: 1, Processes: []api.ProcessRow{{Name: "worker\x1b[2J", PID: 4711}}})
		default:
			_, _ = w.Write([]byte("{}"))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestTopOnATerminal: top draws as wide as the terminal, again when that changes, and
// ends by q, by SIGTERM, by SIGHUP and with its terminal; the terminal is as it was.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	url := topServer(t)
	for name, end := range map[string]func(*exec.Cmd, *pseudoTerminal) error{
		"q":       func(_ *exec.Cmd, p *pseudoTerminal) error { _, err := p.outside.WriteString("q"); return err },
		"SIGTERM": func(c *exec.Cmd, _ *pseudoTerminal) error { return c.Process.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(c *exec.Cmd, _ *pseudoTerminal) error { return c.Process.Signal(syscall.SIGHUP) },
		"closed": func(_ *exec.Cmd, p *pseudoTerminal) error {
			_ = p.inside.Close()
			return p.outside.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openTerminal(t, 80, 24)
			before := p.mode(t)
			cmd := exec.CommandContext(t.Context(), program, "top", "--url", url)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = p.inside, p.inside, p.inside
			cmd.Env = append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()

			if screen := p.await(t, "worker?[2J"); !strings.Contains(screen, "remote-host") || strings.Contains(screen, "STARTED") {
				t.Errorf("80 columns: %q", screen)
			}
			p.resize(t, 200, 50)
			p.await(t, "STARTED") // A column that only a wide terminal has.
			if err := end(cmd, p); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("ends with %v", err)
				}
			case <-time.After(patience):
				t.Fatal("does not end")
			}
			if name == "closed" {
				return
			}
			p.await(t, "\x1b[?1049l") // The other screen is left.
			if after := p.mode(t); after != before {
				t.Errorf("the terminal was %+v and is %+v", before, after)
			}
		})
	}
}

// TestTopOfAnotherMachine: --once and --json ask the agent of --url, with a token.
func TestTopOfAnotherMachine(t *testing.T) {
	t.Parallel()
	url := topServer(t)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (code int, out, complaints string) {
		var o, e bytes.Buffer
		code = Main(Call{Args: append([]string{"top"}, args...), Out: &o, Err: &e, Stop: t.Context()})
		return code, o.String(), e.String()
	}
	if code, out, complaints := run("--once", "--url", url+"/", "--token-file", token); code != 0 || !strings.Contains(out, "remote-host") || !strings.Contains(out, "worker?[2J") {
		t.Errorf("%d, %q, %q", code, out, complaints)
	}
	code, out, complaints := run("--json", "--url="+url)
	var s struct {
		Host      string
		Past      bool
		Processes struct{ Processes []struct{ PID int } }
	}
	if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil || s.Host != "remote-host" || s.Past || len(s.Processes.Processes) != 1 || s.Processes.Processes[0].PID != 4711 {
		t.Errorf("%d, %q (%v), %q", code, out, err, complaints)
	}
	for _, c := range []struct{ args, want string }{
		{"--url ftp://x", "--url: \"ftp://x\" is not allowed"},
		{"--url http://user:secret@x", "is not allowed"},
		{"--token-file " + token, "give its --url"},
		{"--url http://server-01:8080 --token-file " + token, "use https"},
		{"--url " + url + " --token-file " + dir + "/none", "no such file"},
		{"--url " + url + " --ca " + token, "no certificate"},
		{"--at tomorrow", "--at: \"tomorrow\" is no time"},
		{"--at 2999-01-01", "is in the future"},
		{"--rows 0", "--rows takes a number from 1 to 1000"},
		{"--sort colour", "--sort takes cpu, memory"},
	} {
		if code, out, complaints := run(append([]string{"--once"}, strings.Fields(c.args)...)...); code == 0 || out != "" || !strings.Contains(complaints, c.want) {
			t.Errorf("%s: %d, %q, %q, want %q", c.args, code, out, complaints, c.want)
		}
	}
}
