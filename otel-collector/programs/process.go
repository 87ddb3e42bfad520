package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// stopTimeout is how long Stop waits for a program to end by itself. The
	// Collector flushes its queues on the way out.
	stopTimeout = 15 * time.Second
	// pollInterval is how often a wait looks again.
	pollInterval = 50 * time.Millisecond
	// outputLimit bounds what is kept of a program's output.
	outputLimit = 256 << 10
)

// Process is a program that was started for a test.
type Process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	output *tail
	exited chan struct{}
	// err is how the program ended. It is written once before exited is closed.
	err error
}

// Start starts the command in a process group of its own and collects the end of
// what it prints, unless the command sends its output elsewhere. When the test
// ends, the group is killed, and the output is logged if the test failed.
func Start(tb testing.TB, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := &Process{tb: tb, cmd: cmd, output: &tail{limit: outputLimit}, exited: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.output
	}
	cmd.SysProcAttr = OwnGroup()
	// A grandchild that keeps the output open must not hold up the end.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s ended with: %v\nIts output:\n%s", cmd.Path, p.err, p.Output())
		}
	})
	return p
}

// Output returns what the program has printed so far: all of it, or the last
// part when it was much.
func (p *Process) Output() string {
	return p.output.String()
}

// PID returns the process id.
func (p *Process) PID() int {
	return p.cmd.Process.Pid
}

// Exited returns a channel that is closed when the program has ended.
func (p *Process) Exited() <-chan struct{} {
	return p.exited
}

// Err waits for the end of the program and returns how it ended, as exec.Cmd.Wait
// does.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// Kill ends the program at once, as a power cut would, and waits until it is gone.
// A program that has ended already is left alone.
func (p *Process) Kill() {
	p.tb.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// Stop asks the program to end, waits for it, and returns how it ended. A program
// that does not listen is killed, and the test fails.
func (p *Process) Stop() error {
	p.tb.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.tb.Errorf("%s did not end within %s of SIGTERM", p.cmd.Path, stopTimeout)
		p.Kill()
	}
	return p.err
}

// Signal sends a signal, for instance SIGSTOP to make the program hang.
func (p *Process) Signal(signal syscall.Signal) {
	p.tb.Helper()
	p.signal(signal)
}

// signal sends a signal to the program's group unless the program has ended: its
// number may belong to somebody else by then.
func (p *Process) signal(signal syscall.Signal) {
	p.tb.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	if err := SignalGroup(p.PID(), signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.tb.Errorf("signal %s: %v", p.cmd.Path, err)
	}
}

// WaitHTTP waits until url answers with a 2xx status. The test ends when that
// takes longer than the timeout, or at once when the program ends before.
func (p *Process) WaitHTTP(url string, timeout time.Duration) {
	p.tb.Helper()
	if err := waitHTTP(p.tb.Context(), url, timeout, p.exited); err != nil {
		p.tb.Fatalf("wait for %s: %v", p.cmd.Path, err)
	}
}

// WaitHTTP waits until url answers with a 2xx status. The test ends when that
// takes longer than the timeout. Where the program was started with Start, its
// method WaitHTTP is better: it notices when the program has ended.
func WaitHTTP(tb testing.TB, url string, timeout time.Duration) {
	tb.Helper()
	if err := waitHTTP(tb.Context(), url, timeout, nil); err != nil {
		tb.Fatal(err)
	}
}

// waitHTTP returns nil as soon as url answers with a 2xx status, and else what
// was wrong the last time.
func waitHTTP(ctx context.Context, url string, timeout time.Duration, exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := getOK(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("the program ended before %s answered: %w", url, err)
		case <-ctx.Done():
			return fmt.Errorf("no good answer within %s: %w", timeout, err)
		case <-ticker.C:
		}
	}
}

// getOK makes one request and returns an error unless the status is 2xx.
func getOK(ctx context.Context, url string) error {
	// One request that hangs must not use up the whole wait.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s: %s", url, response.Status, bytes.TrimSpace(body))
	}
	return nil
}

// FreePort returns a TCP port that was free on 127.0.0.1 a moment ago. Where the
// program can choose its port itself and tell which, that is better.
func FreePort(tb testing.TB) int {
	tb.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		tb.Fatalf("find a free port: %v", err)
	}
	return port
}

// tail keeps the last limit bytes, or a little more, of what is written to it. It
// may be written and read by several goroutines.
type tail struct {
	limit int

	mu sync.Mutex
	// kept and dropped are protected by mu.
	kept    []byte
	dropped int
}

var _ io.Writer = (*tail)(nil)

// Write implements io.Writer and never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	// Cutting only at twice the limit moves each byte at most once.
	if len(t.kept) > 2*t.limit {
		cut := len(t.kept) - t.limit
		t.dropped += cut
		t.kept = append(t.kept[:0], t.kept[cut:]...)
	}
	return len(b), nil
}

// String returns what was kept, with a first line that says what is missing.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped == 0 {
		return string(t.kept)
	}
	return fmt.Sprintf("(%d bytes before this are not kept)\n%s", t.dropped, t.kept)
}
