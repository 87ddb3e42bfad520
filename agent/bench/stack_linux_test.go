package bench

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Ports of the stack, before they are shifted.
const (
	nodePort      = 8428 // Of tier 1s; the others follow.
	collectorPort = 4317
)

// parts are the programs of the stack, with a word that identifies their command lines.
var parts = []struct {
	name string
	word string
	node int // The port of a VictoriaMetrics node, else 0.
}{
	{"agent", "--otlp.tiered=true", 0},
	{"Collector", "--config=otel-collector/collector.yaml", 0},
	{"VictoriaMetrics 1s", "data/vm-1s", nodePort},
	{"VictoriaMetrics 1m", "data/vm-1m", nodePort + 1},
	{"VictoriaMetrics 5m", "data/vm-5m", nodePort + 2},
	{"VictoriaMetrics 1h", "data/vm-1h", nodePort + 3},
	{"Prometheus", "--storage.tsdb.path=", 0},
}

// TestStackCost runs `make stack`, and measures and prints the cost of each program, and
// the bytes per sample on the wire and on disk.
func TestStackCost(t *testing.T) {
	p := chosen()
	s := startStack(t)
	crowd(t, fewProcesses)
	pids := s.pids(t)
	wait(t, p.warmUp)
	accounts := make([]*account, len(parts))
	for i, pid := range pids {
		accounts[i] = openAccount(t, pid)
	}
	usage := func() (all []time.Duration) {
		for _, a := range accounts {
			all = append(all, a.usage(t))
		}
		return all
	}
	rows := func() (all []float64) {
		for _, part := range parts {
			n := 0.0
			if part.node != 0 {
				n = s.counter(t, part.node, "vm_rows_inserted_total")
			}
			all = append(all, n)
		}
		return all
	}
	// Data arrives once a second, so the window begins and ends at the same fraction of
	// a second.
	wait(t, time.Until(time.Now().Truncate(time.Second).Add(1600*time.Millisecond)))
	wire, inserted, used, machine, began := s.wire(t), rows(), usage(), machineBusy(t), time.Now()
	wait(t, p.stack)
	wire, after, machine, elapsed := s.wire(t)-wire, usage(), machineBusy(t)-machine, time.Since(began).Seconds()
	arrived := rows()

	var table strings.Builder
	fmt.Fprintf(&table, "\nmake stack, sampling at 1 s, %d processes, one window of %s; CPU in percent of one core, measured by %s\n\n", fewProcesses, p.stack, accountName(t))
	fmt.Fprintf(&table, "%-31s %8s %8s %8s %12s\n", "what", "CPU %", "RSS MB", "peak MB", "samples/s")
	var cpu, resident, parted float64
	var all time.Duration
	for i, part := range parts {
		took := after[i] - used[i]
		percent, megabytes := 100*took.Seconds()/elapsed, memory(t, pids[i], "VmRSS:")
		cpu, resident, all = cpu+percent, resident+megabytes, all+took
		samples := ""
		if part.node != 0 {
			rate := (arrived[i] - inserted[i]) / elapsed
			samples, parted = fmt.Sprintf("%.1f", rate), parted+rate
		}
		fmt.Fprintf(&table, "%-31s %8.3f %8.1f %8.1f %12s\n", part.name, percent, megabytes, memory(t, pids[i], "VmHWM:"), samples)
		if took <= 0 {
			t.Errorf("no CPU time was measured of %s", part.name)
		}
	}
	fmt.Fprintf(&table, "%-31s %8.3f %8.1f %8s %12.1f\n\n", "total", cpu, resident, "", parted)
	line(&table, "other programs", fmt.Sprintf("%.2f cores", (machine-all).Seconds()/elapsed), "", true)
	line(&table, "agent to Collector", fmt.Sprintf("%.1f kB/s, %.2f bytes per sample", wire/elapsed/1e3, wire/elapsed/parted), "", true)
	s.flush(t, nodePort)
	rowsKept, bytesKept := s.counter(t, nodePort, `vm_rows{type="storage/`), s.counter(t, nodePort, `vm_data_size_bytes{type="storage/`)
	line(&table, "disk of the 1 s node", fmt.Sprintf("%.2f bytes per sample of %.0f, merged", bytesKept/rowsKept, rowsKept), "", true)
	line(&table, "index of the 1 s node", fmt.Sprintf("%.0f kB", s.counter(t, nodePort, `vm_data_size_bytes{type="indexdb/`)/1e3), "", true)
	table.WriteString("\nsamples/s: as counted by the node; a tier gets samples once per bucket, so a short window may see none or\n" +
		"too many; a short history needs more bytes per sample than a long one\n\n")
	if seconds := (arrived[2] - inserted[2]) / elapsed; seconds < 300 {
		t.Errorf("the node of tier 1s got %.1f samples per second", seconds)
	}
	if rowsKept == 0 || bytesKept == 0 || wire <= 0 {
		t.Errorf("a value is missing: %.0f rows of %.0f bytes, %.0f bytes on the wire", rowsKept, bytesKept, wire)
	}
	fmt.Println(table.String())
}

// stackRun is a running `make stack`.
type stackRun struct {
	command *exec.Cmd
	shift   int
	log     *logged
}

func (s *stackRun) at(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+s.shift))
}

// startStack starts the stack as the Makefile does, but with shifted ports and its own
// folder, and returns when it is up.
func startStack(t *testing.T) *stackRun {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	agent, err := filepath.Abs(build(t))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "stack")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, "sysotel/otel-collector/programs/stack").CombinedOutput(); err != nil {
		t.Fatalf("build the stack's program: %v\n%s", err, out)
	}
	// The agent's socket is in there, and the path of a socket must be short.
	folder, err := os.MkdirTemp(filepath.Join(root, "bin"), "stack-bench-") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	s := &stackRun{shift: 10_000 + os.Getpid()%20_000, log: &logged{}}
	s.command = exec.Command(program, "-root", root, "-folder", filepath.Join("bin", filepath.Base(folder)), "-agent", agent, "-shift", strconv.Itoa(s.shift))
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SYSOTEL_") && !strings.HasPrefix(v, "OTEL_") {
			s.command.Env = append(s.command.Env, v)
		}
	}
	output, err := s.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	up, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			s.log.add(lines.Text())
			if strings.Contains(lines.Text(), "The stack is up") {
				close(up)
			}
		}
		_ = s.command.Wait()
	}()
	t.Cleanup(func() {
		_ = s.command.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	select {
	case <-up:
	case <-ended:
		t.Fatalf("the stack ended:\n%s", s.log)
	case <-time.After(3 * time.Minute):
		t.Fatalf("the stack is not up:\n%s", s.log)
	}
	return s
}

// pids returns the processes of the parts, in their order.
func (s *stackRun) pids(t *testing.T) []int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", s.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	var children []int
	for _, l := range lists {
		for word := range strings.FieldsSeq(read(t, l)) {
			pid := int(number(t, word))
			children = append(children, pid)
			commands = append(commands, strings.ReplaceAll(read(t, fmt.Sprintf("/proc/%d/cmdline", pid)), "\x00", " "))
		}
	}
	pids := make([]int, len(parts))
	for i, part := range parts {
		for j, command := range commands {
			if strings.Contains(command, part.word) {
				pids[i] = children[j]
			}
		}
		if pids[i] == 0 {
			t.Fatalf("%s is none of %q", part.name, commands)
		}
	}
	return pids
}

// counter returns the sum of a node's own metrics with a prefix.
func (s *stackRun) counter(t *testing.T, port int, prefix string) float64 {
	t.Helper()
	response, err := http.Get("http://" + s.at(port) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var sum float64
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, value, ok := cutLast(lines.Text(), " "); ok && strings.HasPrefix(name, prefix) {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			sum += v
		}
	}
	return sum
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// acked finds the acknowledged bytes of a connection in a row of ss.
var acked = regexp.MustCompile(`bytes_acked:(\d+)`)

// wire returns the bytes that the agent, the only sender, has sent to the Collector and
// that were acknowledged.
func (s *stackRun) wire(t *testing.T) float64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ss", "-tinHO", "state", "established", "dst", "=", s.at(collectorPort)).CombinedOutput()
	if err != nil {
		t.Fatalf("ss: %v\n%s", err, out)
	}
	var sum uint64
	for _, m := range acked.FindAllSubmatch(out, -1) {
		sum += number(t, string(m[1]))
	}
	return float64(sum)
}

// flush has a node write and merge all its data, and waits until it has.
func (s *stackRun) flush(t *testing.T, port int) {
	t.Helper()
	for _, path := range []string{"/internal/force_flush", "/internal/force_merge"} {
		response, err := http.Get("http://" + s.at(port) + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, response.Status)
		}
	}
	wait(t, time.Second) // The response comes before the merge starts.
	for began := time.Now(); s.counter(t, port, "vm_active_force_merges") > 0; wait(t, 50*time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the merge does not end")
		}
	}
}
