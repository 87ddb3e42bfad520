package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // For compressed requests.
)

// childVariable names the role of this test binary in a child process. Roles have their
// own processes so that their cost is not counted as the agent's.
const childVariable = "SYSOTEL_BENCH_CHILD"

// children are the roles. Each reads lines from standard input and prints lines.
var children = map[string]func(arguments []string, input io.Reader) error{
	"floor":    playFloor,
	"receiver": playReceiver,
	"scraper":  playScraper,
	"load":     playLoad,
}

func TestMain(m *testing.M) {
	play := children[os.Getenv(childVariable)]
	if play == nil {
		os.Exit(m.Run())
	}
	input := bufio.NewReader(os.Stdin)
	first, err := input.ReadString('\n')
	if err == nil {
		var arguments []string
		if err = json.Unmarshal([]byte(first), &arguments); err == nil {
			err = play(arguments, input)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is a running role.
type child struct {
	t       *testing.T
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	stopped bool
}

// startChild starts a role with its arguments.
func startChild(t *testing.T, role string, arguments ...string) *child {
	t.Helper()
	c := &child{t: t, command: exec.Command(os.Args[0])}
	c.command.Env = append(os.Environ(), childVariable+"="+role)
	c.command.Stderr = os.Stderr
	var err error
	if c.input, err = c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.output = bufio.NewReader(output)
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	text, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.input.Write(append(text, '\n')); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *child) pid() int { return c.command.Process.Pid }

// line returns the next line that the child prints.
func (c *child) line() string {
	c.t.Helper()
	text, err := c.output.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the child %q printed nothing: %v", c.command.Env[len(c.command.Env)-1], err)
	}
	return strings.TrimSpace(text)
}

// finish ends the child and returns the number that it prints at its end.
func (c *child) finish(t *testing.T) int {
	t.Helper()
	_ = c.input.Close()
	n, err := strconv.Atoi(c.line())
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	return n
}

// stop ends the child by closing its input, and kills it if that fails.
func (c *child) stop() {
	if c.stopped {
		return
	}
	c.stopped = true
	_ = c.input.Close()
	timer := time.AfterFunc(5*time.Second, func() { _ = c.command.Process.Kill() })
	defer timer.Stop()
	_, _ = io.Copy(io.Discard, c.output)
	_ = c.command.Wait()
}

// ended returns a channel that is closed when the input ends.
func ended(input io.Reader) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, input)
		close(done)
	}()
	return done
}

// playFloor reads the given files once a second with one buffer and open descriptors, and
// ignores the content. It prints the number of files.
func playFloor(paths []string, input io.Reader) error {
	var open []int
	directory := -1
	for _, p := range paths {
		fd, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err != nil: // A process that has ended.
		case p == "/proc":
			directory = fd
		default:
			open = append(open, fd)
		}
	}
	buffer := make([]byte, 64<<10)
	done, tick := ended(input), time.NewTicker(time.Second)
	for printed := false; ; {
		// The descriptor of an ended process stays open and returns an error.
		for _, fd := range open {
			for at := int64(0); ; {
				n, err := unix.Pread(fd, buffer, at)
				if at += int64(n); err != nil || n < len(buffer) {
					break
				}
			}
		}
		if directory >= 0 {
			if _, err := unix.Seek(directory, 0, io.SeekStart); err != nil {
				return err
			}
			for {
				if n, err := unix.Getdents(directory, buffer); err != nil {
					return err
				} else if n == 0 {
					break
				}
			}
		}
		if !printed { // Every file has been opened and read once.
			fmt.Println(len(open))
			printed = true
		}
		select {
		case <-tick.C:
		case <-done:
			return nil
		}
	}
}

// receiver counts OTLP requests.
type receiver struct {
	collectorpb.UnimplementedMetricsServiceServer
	requests atomic.Int64
}

func (r *receiver) Export(_ context.Context, request *collectorpb.ExportMetricsServiceRequest) (*collectorpb.ExportMetricsServiceResponse, error) {
	if len(request.GetResourceMetrics()) > 0 {
		r.requests.Add(1)
	}
	return &collectorpb.ExportMetricsServiceResponse{}, nil
}

// playReceiver is an OTLP/gRPC receiver. It prints its address, and at the end the number
// of requests with metrics.
func playReceiver(_ []string, input io.Reader) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r, server := &receiver{}, grpc.NewServer()
	collectorpb.RegisterMetricsServiceServer(server, r)
	fmt.Println(listener.Addr())
	go func() {
		<-ended(input)
		fmt.Println(r.requests.Load())
		server.Stop()
	}()
	return server.Serve(listener)
}

// playScraper fetches a page once a second, and prints the number of fetches at the end.
func playScraper(arguments []string, input io.Reader) error {
	done, tick := ended(input), time.NewTicker(time.Second)
	for n := 0; ; {
		select {
		case <-tick.C:
		case <-done:
			fmt.Println(n)
			return nil
		}
		body, err := fetchPacked(arguments[0])
		if err != nil {
			return err
		}
		if len(body) > 0 {
			n++
		}
	}
}

// playLoad runs ask with its arguments, address, path, connections and duration, and
// prints the result.
func playLoad(arguments []string, input io.Reader) error {
	n, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(arguments[3])
	if err != nil {
		return err
	}
	text, err := json.Marshal(ask(arguments[0], arguments[1], n, d))
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	<-ended(input) // Stay until the CPU time has been read.
	return nil
}
