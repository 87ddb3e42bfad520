package wine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds the wait for what normally takes a moment.
const patience = 2 * time.Minute

// lifetime bounds every program, those that run to the end of the test included.
const lifetime = 10 * time.Minute

// tools are the programs that the tests need, by what they are for.
var tools = map[string]string{
	"wine":                  "Debian's packages wine and wine64",
	"wineserver":            "Debian's package wine",
	"x86_64-w64-mingw32-as": "Debian's package binutils-mingw-w64-x86-64",
	"x86_64-w64-mingw32-ld": "Debian's package binutils-mingw-w64-x86-64",
}

// missing skips a test that cannot run here; in CI it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s, and CI must run this test", what)
	}
	t.Skip(what)
}

// prefix is a Windows of its own, with the agent's program and the one that
// measures by Windows' calls.
type prefix struct {
	t                *testing.T
	dir, agent, root string
	// said is what all programs printed on standard error.
	said   buffer
	client http.Client
	// truth answers jobs; Windows lives as long as it does.
	jobs    io.Writer
	answers *bufio.Scanner
}

// buffer is text that is written while it is read.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newPrefix makes a Windows and starts it.
func newPrefix(t *testing.T) *prefix {
	t.Helper()
	for name, from := range tools {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "there is no "+name+"; "+from+" has one")
		}
	}
	dir := t.TempDir()
	p := &prefix{t: t, dir: filepath.Join(dir, "prefix"), agent: filepath.Join(dir, "sysotel.exe"), root: dir, client: http.Client{Timeout: 10 * time.Second}}
	truth := filepath.Join(dir, "truth.exe")
	for program, source := range map[string]string{p.agent: "sysotel/agent", truth: "./testdata/truth"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags", "-X main.version=v1.2.3", "-o", program, source)
		build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", source, err, output)
		}
	}
	t.Cleanup(func() {
		// The server of this prefix, and of no other.
		stop := p.command("wineserver", "-k")
		_ = stop.Run()
		wait := p.command("wineserver", "-w")
		_ = wait.Run()
		if t.Failed() {
			t.Logf("the programs said:\n%s", &p.said)
		}
	})
	if err := p.command("wine", "wineboot", "-i").Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("make a Windows: %v", err)
	}
	// What follows is there when Windows starts again.
	for _, option := range []string{"-k", "-w"} {
		if err := p.command("wineserver", option).Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
			t.Logf("wineserver %s: %v", option, err)
		}
	}
	p.addRandom()
	p.mountDrive()
	p.startTruth(truth)
	return p
}

// addRandom adds the library from which Go's runtime has its random numbers since Go 1.21,
// and which Wine lacks before its version 9.
func (p *prefix) addRandom() {
	p.t.Helper()
	library := filepath.Join(p.dir, "drive_c/windows/system32/bcryptprimitives.dll")
	if _, err := os.Stat(library); err == nil {
		return
	}
	object := filepath.Join(p.root, "empty.o")
	for _, args := range [][]string{
		{"x86_64-w64-mingw32-as", "-o", object, os.DevNull},
		{"x86_64-w64-mingw32-ld", "-shared", "-o", library, "testdata/bcryptprimitives.def", object},
	} {
		if output, err := exec.CommandContext(p.t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			p.t.Fatalf("%v: %v\n%s", args, err, output)
		}
	}
}

// command is a program with the environment of the prefix.
func (p *prefix) command(name string, args ...string) *exec.Cmd {
	// Cleanup needs it after the test's context has ended.
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	for _, variable := range os.Environ() {
		// The agent's own variables are none of this machine's.
		if !strings.HasPrefix(variable, "SYSOTEL_") && !strings.HasPrefix(variable, "OTEL_") && !strings.HasPrefix(variable, "HOME=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+p.root, "WINEPREFIX="+p.dir, "WINEDEBUG=-all", "WINEDLLOVERRIDES=mscoree,mshtml=", "GODEBUG=")
	cmd.Dir, cmd.Stderr = p.root, &p.said
	if name == "wine" || name == "wineserver" {
		cmd.WaitDelay = time.Second // Wine's services keep standard error open.
	}
	return cmd
}

// startTruth starts the truth program. As long as it lives, Windows does.
func (p *prefix) startTruth(program string) {
	p.t.Helper()
	cmd := p.command("wine", program)
	in, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = in.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	p.jobs, p.answers = in, bufio.NewScanner(out)
}

// truthAnswer is what the program answers; Error is why it does not.
type truthAnswer struct {
	PID              int
	Total, Available uint64
	Seconds          float64
	Written          int64
	Error            string
}

// truth has the program do a job.
func (p *prefix) truth(job string) (a truthAnswer) {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.jobs, job); err != nil {
		p.t.Fatal(err)
	}
	if !p.answers.Scan() {
		p.t.Fatalf("%s: no answer: %v", job, p.answers.Err())
	}
	if err := json.Unmarshal(p.answers.Bytes(), &a); err != nil || a.Error != "" {
		p.t.Fatalf("%s: %s (%v)", job, p.answers.Text(), err)
	}
	return a
}

// run runs a command of sysotel to its end.
func (p *prefix) run(args ...string) (output string, err error) {
	cmd := p.command("wine", append([]string{p.agent}, args...)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&said, &p.said)
	if err = cmd.Run(); errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("sysotel %s: %w: %s", strings.Join(args, " "), err, &said)
	}
	return out.String(), err
}

// address is a free address of this machine.
func (p *prefix) address() string {
	p.t.Helper()
	l, err := new(net.ListenConfig).Listen(p.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get decodes the answer of an agent.
func (p *prefix) get(address, path string, into any) error {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// eventually waits until check returns no error.
func (p *prefix) eventually(what string, check func() error) {
	p.t.Helper()
	often := time.NewTicker(100 * time.Millisecond)
	defer often.Stop()
	for deadline := time.After(patience); ; {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-often.C:
		case <-deadline:
			p.t.Fatalf("%s: %v", what, err)
		}
	}
}
