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
	_ "google.golang.org/grpc/encoding/gzip" // The receiver takes compressed requests.
)

// childVariable names the part that this test binary is to play in a process of
// its own, so that what it costs is not counted as the agent's.
const childVariable = "SYSOTEL_BENCH_CHILD"

// children are those parts. Each gets lines on its standard input and tells
// lines on its output.
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

// child is a part that runs.
type child struct {
	t       *testing.T
	command *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	stopped bool
}

// startChild starts a part with its arguments.
func startChild(t *testing.T, part string, arguments ...string) *child {
	t.Helper()
	c := &child{t: t, command: exec.Command(os.Args[0])}
	c.command.Env = append(os.Environ(), childVariable+"="+part)
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

// line is the next line that the part tells.
func (c *child) line() string {
	c.t.Helper()
	text, err := c.output.ReadString('\n')
	if err != nil {
		c.t.Fatalf("the part %q told nothing: %v", c.command.Env[len(c.command.Env)-1], err)
	}
	return strings.TrimSpace(text)
}

// finish ends the part and returns the number that it tells at its end.
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

// stop ends the part: its input ends, and it dies if that does not help.
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

// ended is closed when the input ends.
func ended(input io.Reader) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, input)
		close(done)
	}()
	return done
}

// playFloor reads the named files once a second with one buffer and open
// descriptors, and does nothing with what it reads. It tells how many it has.
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
	for told := false; ; {
		// A process that has ended keeps its descriptor, which then gives an error.
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
		if !told { // Now every file has been opened and read once.
			fmt.Println(len(open))
			told = true
		}
		select {
		case <-tick.C:
		case <-done:
			return nil
		}
	}
}

// receiver takes OTLP requests and counts them.
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

// playReceiver is an OTLP/gRPC receiver. It tells its address, and at the end
// how many requests with metrics it took.
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

// playScraper fetches a page once a second, and tells at the end how often.
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

// playLoad asks an address for a path over so many connections for a while, and
// tells how that went.
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
	<-ended(input) // The process stays until its CPU time has been read.
	return nil
}
