package programs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// long is a timeout that is not reached normally.
const long = time.Minute

func TestStartCollectsOutput(t *testing.T) {
	p := Start(t, shell(t, "echo out; echo err >&2; exit 3"))
	var exit *exec.ExitError
	if err := p.Err(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("the program ended with %v, want exit status 3", err)
	}
	if got := p.Output(); got != "out\nerr\n" {
		t.Errorf("output = %q", got)
	}
	// Neither has an effect on a program that has ended.
	p.Kill()
	if err := p.Stop(); !errors.As(err, &exit) {
		t.Errorf("Stop = %v, want how the program ended", err)
	}
}

func TestKillEndsChildrenToo(t *testing.T) {
	cmd := shell(t, "sleep 1000 & echo started; wait")
	output := pipe(t, &cmd.Stdout)
	p := Start(t, cmd)
	output.begin()
	p.Kill()
	// The child holds the other end of the pipe, so its end is the end of the file.
	if rest, err := io.ReadAll(output); err != nil || len(rest) != 0 {
		t.Errorf("after Kill the pipe had %q, %v; want its end", rest, err)
	}
}

func TestStopLetsTheProgramEnd(t *testing.T) {
	cmd := shell(t, "trap 'echo bye; exit 4' TERM; echo started >&2; sleep 1000 & wait")
	ready := pipe(t, &cmd.Stderr)
	p := Start(t, cmd)
	ready.begin()
	var exit *exec.ExitError
	if err := p.Stop(); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("Stop = %v, want exit status 4", err)
	}
	if got := p.Output(); got != "bye\n" {
		t.Errorf("output = %q, want the last words", got)
	}
}

func TestSignal(t *testing.T) {
	cmd := shell(t, "trap 'echo again >&2' USR1; echo started >&2; while :; do sleep 1000 & wait; done")
	output := pipe(t, &cmd.Stderr)
	p := Start(t, cmd)
	output.begin()
	p.Signal(syscall.SIGUSR1)
	if line, err := output.ReadString('\n'); err != nil || line != "again\n" {
		t.Errorf("after SIGUSR1 the program said %q, %v", line, err)
	}
	if p.PID() != p.cmd.Process.Pid {
		t.Errorf("PID() = %d, want %d", p.PID(), p.cmd.Process.Pid)
	}
	select {
	case <-p.Exited():
		t.Error("the program has ended")
	default:
	}
}

func TestOutputIsLoggedWhenTheTestFailed(t *testing.T) {
	f := func(failed bool, want string) {
		t.Helper()
		recorder := &recorder{TB: t, failed: failed}
		if err := Start(recorder, shell(t, "echo last words")).Err(); err != nil {
			t.Fatal(err)
		}
		recorder.end()
		if got := recorder.logged.String(); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("failed %t: logged %q, want %q in it", failed, got, want)
		}
	}
	f(true, "last words")
	f(false, "")
}

func TestCleanupKills(t *testing.T) {
	recorder := &recorder{TB: t}
	p := Start(recorder, shell(t, "sleep 1000"))
	recorder.end()
	select {
	case <-p.Exited():
	default:
		t.Error("the program lives on after the test")
	}
}

func TestWaitHTTP(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) < 3 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	WaitHTTP(t, server.URL, long)
	if requests.Load() != 3 {
		t.Errorf("%d requests, want 3", requests.Load())
	}
	Start(t, shell(t, "sleep 1000")).WaitHTTP(server.URL, long)
}

func TestWaitHTTPErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no disk", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	ended := make(chan struct{})
	close(ended)
	f := func(url string, timeout time.Duration, exited <-chan struct{}, want ...string) {
		t.Helper()
		err := waitHTTP(t.Context(), url, timeout, exited)
		for _, want := range want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("waitHTTP(%q) = %v, want an error with %q", url, err, want)
			}
		}
	}
	f(server.URL, long, ended, "the program ended before", "503", "no disk")
	f(server.URL, 200*time.Millisecond, nil, "no 2xx response within 200ms")
	f("http://127.0.0.1:"+strconv.Itoa(FreePort(t)), long, ended, "connection refused")
	f("not a URL", long, ended, "unsupported protocol scheme")
}

func TestFreePort(t *testing.T) {
	var config net.ListenConfig
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
	listener, err := config.Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	tail := &tail{limit: 10}
	f := func(written, want string) {
		t.Helper()
		if n, err := io.WriteString(tail, written); n != len(written) || err != nil {
			t.Errorf("Write(%q) = %d, %v", written, n, err)
		}
		if got := tail.String(); got != want {
			t.Errorf("after %q: %q, want %q", written, got, want)
		}
	}
	f("0123456789", "0123456789")
	f("abcdefghij", "0123456789abcdefghij")
	f("k", "(11 bytes before this are not kept)\nbcdefghijk")
	f("", "(11 bytes before this are not kept)\nbcdefghijk")
	f(strings.Repeat("x", 100)+"0123456789", "(121 bytes before this are not kept)\n0123456789")
}

// shell returns a command that runs the script.
func shell(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "sh", "-c", script)
}

// reader is the near end of a pipe whose far end a program holds.
type reader struct {
	*bufio.Reader
	t   *testing.T
	far *os.File
}

// pipe lets a command that is not started yet write into a pipe.
func pipe(t *testing.T, to *io.Writer) *reader {
	t.Helper()
	near, far, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() })
	*to = far
	return &reader{Reader: bufio.NewReader(near), t: t, far: far}
}

// begin closes the far end here and waits for the program's first line.
func (r *reader) begin() {
	r.t.Helper()
	if err := r.far.Close(); err != nil {
		r.t.Fatal(err)
	}
	if line, err := r.ReadString('\n'); err != nil || line != "started\n" {
		r.t.Fatalf("the program said %q, %v; want started", line, err)
	}
}

// recorder replaces a test, to observe what is done at its end.
type recorder struct {
	testing.TB
	failed   bool
	cleanups []func()
	logged   strings.Builder
}

func (r *recorder) Failed() bool             { return r.failed }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(s string, as ...any) { fmt.Fprintf(&r.logged, s, as...) }

// end does what is done when a test ends.
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}
