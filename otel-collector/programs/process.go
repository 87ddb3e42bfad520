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
	// stopTimeout is how long Stop waits for a program to end. The Collector flushes its
	// queues first.
	stopTimeout = 15 * time.Second
	// pollInterval is the interval of checks while waiting.
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
	// err is the result of Wait. It is written once, before exited is closed.
	err error
}

// Start starts the command in its own process group and keeps the end of its output,
// unless the command redirects it. When the test ends, the group is killed, and the
// output is logged if the test failed.
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
	// A grandchild that keeps the output open must not block Wait.
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

// Output returns what the program has printed so far, at most its last outputLimit
// bytes or a little more.
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

// Err waits for the end of the program and returns the error of exec.Cmd.Wait.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// Kill kills the program, if it still runs, and waits for its end.
func (p *Process) Kill() {
	p.tb.Helper()
	p.signal(syscall.SIGKILL)
	<-p.exited
}

// Stop sends SIGTERM, waits for the end of the program and returns the error of
// exec.Cmd.Wait. A program that does not end in time is killed, and the test fails.
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

// Signal sends a signal, such as SIGSTOP to make the program hang.
func (p *Process) Signal(signal syscall.Signal) {
	p.tb.Helper()
	p.signal(signal)
}

// signal sends a signal to the program's group unless the program has ended: another
// process may have its PID by then.
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

// WaitHTTP waits until url responds with a 2xx status. It ends the test after the
// timeout, or as soon as the program ends.
func (p *Process) WaitHTTP(url string, timeout time.Duration) {
	p.tb.Helper()
	if err := waitHTTP(p.tb.Context(), url, timeout, p.exited); err != nil {
		p.tb.Fatalf("wait for %s: %v", p.cmd.Path, err)
	}
}

// WaitHTTP waits until url responds with a 2xx status, and ends the test after the
// timeout. For a program started with Start, prefer its method WaitHTTP, which notices
// the end of the program.
func WaitHTTP(tb testing.TB, url string, timeout time.Duration) {
	tb.Helper()
	if err := waitHTTP(tb.Context(), url, timeout, nil); err != nil {
		tb.Fatal(err)
	}
}

// waitHTTP returns nil as soon as url responds with a 2xx status, else the last error.
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
			return fmt.Errorf("the program ended before %s responded: %w", url, err)
		case <-ctx.Done():
			return fmt.Errorf("no 2xx response within %s: %w", timeout, err)
		case <-ticker.C:
		}
	}
}

// getOK makes one request and returns an error unless the status is 2xx.
func getOK(ctx context.Context, url string) error {
	// A request that hangs must not use up the timeout.
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
		return fmt.Errorf("read the response of %s: %w", url, err)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s: %s", url, response.Status, bytes.TrimSpace(body))
	}
	return nil
}

// FreePort returns a TCP port that was free on 127.0.0.1 a moment ago. If a program can
// choose and report its own port, prefer that.
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

// tail keeps at least the last limit bytes written to it. It is safe for concurrent use.
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
	// Cut only at twice the limit, so that each byte is moved at most once.
	if len(t.kept) > 2*t.limit {
		cut := len(t.kept) - t.limit
		t.dropped += cut
		t.kept = append(t.kept[:0], t.kept[cut:]...)
	}
	return len(b), nil
}

// String returns what was kept, after a line with the number of dropped bytes.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped == 0 {
		return string(t.kept)
	}
	return fmt.Sprintf("(%d bytes before this are not kept)\n%s", t.dropped, t.kept)
}
