package instruments

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable makes the test program a child of a test. See TestChild.
const childVariable = "SYSOTEL_TEST_CHILD"

// child is a process that does what a test orders and reports when it is done.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	pid    int
	orders *os.File
	answer *bufio.Reader
}

// startChild starts the test program once more, under a name that no other
// process has: the same tests may run beside these.
func startChild(t *testing.T) *child {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, []string{childName(os.Getpid()), "-test.run=^TestChild$"}, path)
}

// childName is the name of the children of a test program.
func childName(parent int) string { return fmt.Sprintf("child-%d", parent) }

// start starts a program whose input and output belong to the test.
func start(t *testing.T, args []string, path string, variables ...string) *child {
	t.Helper()
	in, orders, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answer, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: args, Env: slices.Concat(os.Environ(), []string{childVariable + "=1", "GOGC=off"}, variables), Stdin: in, Stdout: out, Stderr: os.Stderr}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	out.Close()
	c := &child{t: t, cmd: cmd, pid: cmd.Process.Pid, orders: orders, answer: bufio.NewReader(answer)}
	t.Cleanup(func() {
		orders.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		answer.Close()
	})
	return c
}

// do gives an order and waits for the answer.
func (c *child) do(order string) string {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.orders, order); err != nil {
		c.t.Fatalf("%s: %v", order, err)
	}
	line, err := c.answer.ReadString('\n')
	if err != nil {
		c.t.Fatalf("%s: %v", order, err)
	}
	return strings.TrimSpace(line)
}

// numbers is the answer to an order as numbers.
func (c *child) numbers(order string) []float64 {
	c.t.Helper()
	var list []float64
	for word := range strings.FieldsSeq(c.do(order)) {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil {
			c.t.Fatalf("%s: %v", order, err)
		}
		list = append(list, n)
	}
	return list
}

// waitForEnd returns when the process has ended. It is a zombie then.
func (c *child) waitForEnd() {
	c.t.Helper()
	for {
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			c.t.Fatal(err)
		}
	}
}

// TestChild is the child's side: it does what its input says. As a test of its
// own it checks that a child answers and ends with its input.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) == "" {
		c := startChild(t)
		if got := c.numbers("usage"); len(got) != 2 {
			t.Errorf("a child answers %v", got)
		}
		c.orders.Close()
		if err := c.cmd.Wait(); err != nil {
			t.Error(err)
		}
		return
	}
	takeName()
	obey()
}

// leaderVariable makes a child's first thread end while the others go on, as a main
// that leaves by pthread_exit(3) does.
const leaderVariable = "SYSOTEL_TEST_LEADER"

// Only before main starts does the program surely run on its first thread.
func init() {
	if os.Getenv(leaderVariable) == "" {
		return
	}
	named := make(chan struct{})
	go func() {
		takeName()
		close(named)
		for {
			text, err := os.ReadFile("/proc/self/stat")
			if stat, odd := parseProcessStat(text); err != nil || odd != nil || stat.state == 'Z' {
				break
			}
			runtime.Gosched()
		}
		obey()
	}()
	<-named
	_, _, _ = syscall.Syscall(unix.SYS_EXIT, 0, 0, 0)
}

// takeName gives a child its name: the kernel took one from the file. Only the first
// thread's counts.
func takeName() {
	name := fmt.Sprintf("/proc/self/task/%d/comm", os.Getpid())
	if err := os.WriteFile(name, []byte(childName(os.Getppid())), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// obey does what the input says, and ends the child with it.
func obey() {
	var held [][]byte
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		words := strings.Fields(orders.Text())
		var err error
		switch words[0] {
		case "usage": // Prints the CPU times used so far: user and system, in seconds.
		case "burn": // Uses as many milliseconds of CPU time, half of it in the kernel.
			err = burn(words[1])
		case "hold": // Touches as many bytes of memory.
			var b []byte
			if b, err = hold(words[1]); err == nil {
				held = append(held, b)
			}
		case "write": // Writes as many bytes to a file, and on to the disk.
			err = write(words[1], words[2])
		}
		var u unix.Rusage
		if err == nil {
			err = unix.Getrusage(unix.RUSAGE_SELF, &u)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(os.Stdout, time.Duration(u.Utime.Nano()).Seconds(), time.Duration(u.Stime.Nano()).Seconds())
	}
	for _, b := range held {
		_ = unix.Munmap(b)
	}
	os.Exit(0)
}

func burn(milliseconds string) error {
	n, err := strconv.Atoi(milliseconds)
	if err != nil {
		return err
	}
	used := func() (time.Duration, error) {
		var u unix.Rusage
		err := unix.Getrusage(unix.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
	}
	begin, err := used()
	if err != nil {
		return err
	}
	half := begin + time.Duration(n)*time.Millisecond/2
	for sum := 0; ; {
		for i := range 100_000 {
			sum += i * i
		}
		if u, err := used(); err != nil || u >= half {
			break
		}
	}
	zero, err := os.Open("/dev/zero")
	if err != nil {
		return err
	}
	defer zero.Close()
	for buf := make([]byte, 1<<20); ; {
		if _, err := zero.Read(buf); err != nil {
			return err
		}
		if u, err := used(); err != nil || u >= begin+time.Duration(n)*time.Millisecond {
			return err
		}
	}
}

func hold(bytes string) ([]byte, error) {
	n, err := strconv.Atoi(bytes)
	if err != nil {
		return nil, err
	}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	for i := 0; i < n; i += syscall.Getpagesize() {
		b[i] = 1
	}
	return b, nil
}

func write(path, bytes string) error {
	n, err := strconv.Atoi(bytes)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for ; n > 0; n -= len(buf) {
		if _, err := f.Write(buf[:min(n, len(buf))]); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
