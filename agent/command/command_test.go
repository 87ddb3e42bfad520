package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds the wait for what normally takes a moment.
const patience = time.Minute

// stopsWithin is how long an agent may take to stop on a busy machine.
const stopsWithin = 10 * time.Second

// program is the path of the program under test.
var program string

// TestMain builds the program: the stories test all of it, with its signals and
// exit codes.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sysotel")
		if err == nil {
			defer os.RemoveAll(dir)
			program = filepath.Join(dir, "sysotel")
			if runtime.GOOS == "windows" {
				program += ".exe"
			}
			var output []byte
			output, err = exec.CommandContext(context.Background(), "go", "build", "-buildvcs=false", "-ldflags", "-X main.version=v1.2.3", "-o", program, "sysotel/agent").CombinedOutput()
			if err != nil {
				err = fmt.Errorf("build the program: %w\n%s", err, output)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// TestStories runs the scripts in testdata. Besides the commands of testscript they
// have those below; every agent is stopped when its script ends.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(program)+string(os.PathListSeparator)+e.Getenv("PATH"))
			e.Values[agentsKey{}] = agents{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start": start, "says": says, "signal": sendSignal, "ends": ends, "learns": learns,
			"shows": shows, "occupy": occupy, "occupied": occupied,
		},
	})
}

// agentsKey is where a script keeps its agents.
type agentsKey struct{}

// agents are the programs of one script by their names.
type agents map[string]*running

// running is a program in the background.
type running struct {
	cmd    *exec.Cmd
	output buffer
	ended  chan struct{}
}

// buffer is what a program has printed so far.
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

// start NAME ARGUMENT...: starts sysotel in the background.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME ARGUMENT...")
	}
	r := &running{cmd: exec.CommandContext(context.Background(), program, args[1:]...), ended: make(chan struct{})}
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.Dir = &r.output, &r.output, ts.Getenv("WORK")
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "OTEL_") { // Those are the story's.
			r.cmd.Env = append(r.cmd.Env, variable)
		}
	}
	for _, name := range []string{"OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"} {
		if value := ts.Getenv(name); value != "" {
			r.cmd.Env = append(r.cmd.Env, name+"="+value)
		}
	}
	ts.Check(r.cmd.Start())
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // ends checks how it ended.
	}()
	ts.Value(agentsKey{}).(agents)[args[0]] = r
	ts.Defer(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
		ts.Logf("%s printed:\n%s", args[0], &r.output)
	})
}

func named(ts *testscript.TestScript, name string) *running {
	r := ts.Value(agentsKey{}).(agents)[name]
	if r == nil {
		ts.Fatalf("no agent %s was started", name)
	}
	return r
}

// eventually polls ok until it is true.
func eventually(ts *testscript.TestScript, what string, ok func() bool) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			ts.Fatalf("not true after %s: %s", patience, what)
		}
	}
}

// says NAME PATTERN: waits until an agent has printed what matches. With ! it
// must not have printed it so far.
func says(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] says NAME PATTERN")
	}
	r, pattern := named(ts, args[0]), regexp.MustCompile("(?m)"+args[1])
	if neg {
		if pattern.MatchString(r.output.String()) {
			ts.Fatalf("%s printed %s", args[0], args[1])
		}
		return
	}
	eventually(ts, args[0]+" says "+args[1], func() bool { return pattern.MatchString(r.output.String()) })
}

// learns NAME VARIABLE PATTERN: waits until an agent has printed what matches and
// sets the variable to the group in the pattern.
func learns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: learns NAME VARIABLE PATTERN")
	}
	r, pattern := named(ts, args[0]), regexp.MustCompile("(?m)"+args[2])
	eventually(ts, args[0]+" says "+args[2], func() bool { return pattern.MatchString(r.output.String()) })
	ts.Setenv(args[1], pattern.FindStringSubmatch(r.output.String())[1])
}

// signal NAME HUP|TERM: sends a signal.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": os.Interrupt}
	if neg || len(args) != 2 || signals[args[1]] == nil {
		ts.Fatalf("usage: signal NAME HUP|TERM|INT")
	}
	ts.Check(named(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// ends NAME CODE: waits until an agent ends, with an exit code.
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	r := named(ts, args[0])
	select {
	case <-r.ended:
	case <-time.After(stopsWithin):
		ts.Fatalf("%s does not end", args[0])
	}
	if code := strconv.Itoa(r.cmd.ProcessState.ExitCode()); code != args[1] {
		ts.Fatalf("%s ended with code %s: %s", args[0], code, &r.output)
	}
}

// shows DIRECTORY PATH PATTERN: waits until the response of the agent with that
// data directory, through its socket, matches; with ! until it does not.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: [!] shows DIRECTORY PATH PATTERN")
	}
	client := socketClient(filepath.Join(ts.MkAbs(args[0]), "sysotel.sock"))
	pattern := regexp.MustCompile("(?m)" + args[2])
	eventually(ts, fmt.Sprintf("%s shows %s: %t", args[1], args[2], !neg), func() bool {
		body, err := fetch(client, args[1])
		return err == nil && pattern.Match(body) != neg
	})
}

// socketClient asks the agent behind a Unix socket.
func socketClient(socket string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
}

func fetch(client *http.Client, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// occupy VARIABLE: listens on a free port until the script ends, and sets the
// variable to its number.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VARIABLE")
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
	ts.Setenv(args[0], strconv.Itoa(listener.Addr().(*net.TCPAddr).Port))
}

// occupied PORT: makes sure that a port is in use, by this test or by another
// program.
func occupied(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupied PORT")
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+args[0])
	if err == nil {
		ts.Defer(func() { _ = listener.Close() })
	}
}
