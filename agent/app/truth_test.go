//go:build linux

package app

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysotel/agent/config"
	"sysotel/api"
	"sysotel/instruments"
)

// What the children do in the window. The file system's own writes (journal, inodes)
// are some hundred kilobytes, far below a hundredth.
const (
	touchedBytes = 256 << 20
	writtenMiB   = 400
	payload      = 900
	headers      = 14 + 20 + 8 // Ethernet, IPv4, UDP
	tooLarge     = 1400
	peerMTU      = 1000
	hundredth    = 0.01
)

// truthWindow is how long the children work.
func truthWindow() time.Duration {
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		return time.Minute
	}
	return 20 * time.Second
}

// TestTruth compares the agent's numbers with known ones: children use a known amount
// of each resource, and the test reads the same sources itself.
func TestTruth(t *testing.T) {
	w := &window{length: truthWindow()}
	root := os.Geteuid() == 0
	flags := []string{}
	if root {
		w.disk = newScratch(t)
		w.link = newLink(t)
		flags = append(flags, "--instruments.disk.include=device:"+w.disk.device)
	}
	w.agent = run(t, configure(t, flags...))
	w.burner = spawn(t, "burn", unique("burner"), nil)
	w.memory = spawn(t, "touch", unique("memory"), nil)
	w.memory.send("0") // Loads what an answer needs into memory.
	w.memory.answer(nil)
	w.burner.send("0 0")
	w.burner.answer(&w.burnedBefore)
	w.agent.ticks(3)
	w.work(t)

	t.Run("burned CPU time", w.checkBurned)
	t.Run("touched memory", w.checkTouched)
	t.Run("written bytes", w.checkWritten)
	t.Run("sent bytes", w.checkSent)
	t.Run("every quantity", w.checkQuantities)
	t.Run("state of a process", w.checkStopped)
}

// unique returns a program name that no other run of this test uses. Process names have
// at most 15 bytes.
func unique(name string) string { return fmt.Sprintf("%s%d", name, os.Getpid()) }

// window is the time in which the children work, with readings before and after it.
type window struct {
	length  time.Duration
	agent   *agent
	burner  *child
	memory  *child
	disk    *scratch
	link    *link
	samples []sample
	// before and after are what the agent reported when the children were idle.
	before, after state
	// What the children counted.
	burnedBefore, burned float64
	resident             uint64
	written              moved
}

// state is what the agent reports while the children are idle.
type state struct {
	burner, memory *api.ProcessRow
	page           page
	current        *api.Current
}

func (w *window) state(tb testing.TB) state {
	tb.Helper()
	return state{
		burner: row(tb, w.agent.socket, w.burner.PID()), memory: row(tb, w.agent.socket, w.memory.PID()),
		page: scrape(tb, w.agent.socket), current: current(tb, w.agent.socket),
	}
}

// sample is one tick, as read by the agent and by the test.
type sample struct {
	own     *machine
	values  map[*instruments.Metric]map[string]float64
	burner  float64 // CPU share of the burner
	current *api.Current
	at      time.Time
}

// work has the children work, and samples every tick.
func (w *window) work(t *testing.T) {
	w.before = w.state(t)
	seconds := w.length.Seconds()
	w.burner.send("%g %g", 0.75*seconds, 0.75*seconds)
	w.memory.send("%d", touchedBytes)
	if w.disk != nil {
		w.disk.begin(seconds)
		w.link.begin(t, seconds)
	}
	w.memory.answer(&w.resident)
	for range int(seconds) + 1 {
		w.samples = append(w.samples, w.sample(t))
	}
	w.burner.answer(&w.burned)
	if w.disk != nil {
		w.disk.writer.answer(&w.written)
		w.link.end()
	}
	w.agent.ticks(2)
	w.after = w.state(t)
}

func (w *window) sample(t *testing.T) sample {
	s := sample{at: w.agent.tick(), own: readMachine(t), values: map[*instruments.Metric]map[string]float64{}}
	for _, name := range instruments.Defaults().Collectors.Names() {
		reading, _ := w.agent.readings.sampler.Newest(name)
		if reading == nil {
			continue
		}
		instruments.Visit(reading, func(m *instruments.Metric, v float64, values []string) {
			if s.values[m] == nil {
				s.values[m] = map[string]float64{}
			}
			s.values[m][strings.Join(values, "|")] = v
		})
		if table, ok := reading.(*instruments.ProcessTable); ok {
			for i := range table.All {
				if table.All[i].PID == w.burner.PID() {
					s.burner = table.All[i].CPU
				}
			}
		}
	}
	s.current = current(t, w.agent.socket)
	return s
}

// calm is how long after a tick the test may read for both readings to count as
// simultaneous.
const calm = 20 * time.Millisecond

// integrate adds up a rate over the ticks of all samples. The test does not know when
// in a tick the agent read, so on a busy machine the sum is uncertain by the slack: for
// ticks that were longer or shorter than a second, and for those that the test read
// late.
func (w *window) integrate(rate func(sample) float64) (sum, slack float64) {
	highest := 0.0
	for _, s := range w.samples {
		highest = max(highest, rate(s))
	}
	late := func(i int) float64 {
		if i < 0 {
			return 0
		}
		if d := w.samples[i].own.at.Sub(w.samples[i].at); d > calm {
			return d.Seconds()
		}
		return 0
	}
	for i, s := range w.samples {
		seconds := 1.0 // The children began in the first sample's tick.
		if i > 0 {
			seconds = s.own.at.Sub(w.samples[i-1].own.at).Seconds()
			slack += highest * (s.at.Sub(w.samples[i-1].at).Seconds() - 1)
		}
		v := rate(s)
		sum += v * seconds
		slack += math.Abs(v) * (late(i) + late(i-1))
	}
	return sum, slack
}

// near fails the test if two numbers differ by more than a hundredth.
func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	t.Logf("%s: %.6g, want %.6g (%+.3f %%)", what, got, want, 100*(got-want)/want)
	if !(math.Abs(got-want) <= hundredth*math.Abs(want)) {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

// checkBurned compares the burner's own CPU time with its row and its program.
func (w *window) checkBurned(t *testing.T) {
	burned := w.burned - w.burnedBefore
	if burned < w.length.Seconds()/10 {
		t.Fatalf("the burner got only %g s of CPU time, too little to compare", burned)
	}
	near(t, "cpu_seconds of the row", float64(w.after.burner.CPUSeconds)-float64(w.before.burner.CPUSeconds), burned)
	program := w.after.burner.Program
	if program != unique("burner") {
		t.Errorf("the burner's program is %q", program)
	}
	near(t, "process.cpu.time of the program", w.grown(t, "process_cpu_time_seconds_total", "process_executable_name", program), burned)
}

// grown returns the increase of a counter on the scrape page.
func (w *window) grown(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	before, _ := w.before.page.sum(name, labels...)
	after, found := w.after.page.sum(name, labels...)
	if !found {
		t.Fatalf("the page has no %s %v", name, labels)
	}
	return after - before
}

// checkTouched compares the memory that the child touched with its row.
func (w *window) checkTouched(t *testing.T) {
	near(t, "growth of memory_rss", float64(w.after.memory.MemoryRSS)-float64(w.before.memory.MemoryRSS), touchedBytes)
	near(t, "memory_rss", float64(w.after.memory.MemoryRSS), float64(w.resident))
	now, err := residentBytes(fmt.Sprintf("/proc/%d/smaps_rollup", w.memory.PID()))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "memory_rss", float64(w.after.memory.MemoryRSS), float64(now))
	usage, _ := w.after.page.sum("process_memory_usage_bytes", "process_executable_name", unique("memory"))
	near(t, "process.memory.usage of the program", usage, float64(now))
}

// checkWritten compares what the writer wrote and read with the counters of the loop
// device and the space of its file system.
func (w *window) checkWritten(t *testing.T) {
	requireRoot(t)
	written, read := float64(w.written.Written), float64(w.written.Read)
	if written < writtenMiB/4<<20 {
		t.Fatalf("the writer wrote only %g bytes, too little to compare", written)
	}
	near(t, "system.disk.io written", w.grown(t, "system_disk_io_bytes_total", "device", w.disk.device, "direction", "write"), written)
	near(t, "system.disk.io read", w.grown(t, "system_disk_io_bytes_total", "device", w.disk.device, "direction", "read"), read)
	near(t, "node_disk_io_write_bytes_total", w.grown(t, "node_disk_io_write_bytes_total", "device", w.disk.device), written)
	near(t, "process.disk.io written", w.grown(t, "process_disk_io_bytes_total", "process_executable_name", unique("writer"), "direction", "write"), written)
	near(t, "process.disk.io read", w.grown(t, "process_disk_io_bytes_total", "process_executable_name", unique("writer"), "direction", "read"), read)

	rates, slack := w.integrate(func(s sample) float64 { return s.named("sysotel.disk.io.rate", "write|"+w.disk.device) })
	t.Logf("write_bytes_per_sec adds up to %.6g", rates)
	if !(math.Abs(rates-written) <= hundredth*written+slack) {
		t.Errorf("write_bytes_per_sec adds up to %g, want %g", rates, written)
	}

	before, after := mounted(t, w.before.current, w.disk.dir), mounted(t, w.after.current, w.disk.dir)
	near(t, "growth of used", float64(after.Used)-float64(before.Used), written)
	var s syscall.Statfs_t
	if err := syscall.Statfs(w.disk.dir, &s); err != nil {
		t.Fatal(err)
	}
	if used := float64(s.Blocks-s.Bfree) * float64(s.Frsize); float64(after.Used) != used {
		t.Errorf("the file system has %g bytes used, want %g as from statfs", float64(after.Used), used)
	}
}

// mounted returns the file system mounted at a directory.
func mounted(t *testing.T, c *api.Current, dir string) api.CurrentFilesystem {
	t.Helper()
	for _, f := range c.Disk.Filesystems {
		if f.Mountpoint == dir {
			return f
		}
	}
	t.Fatalf("no file system is mounted at %s: %+v", dir, c.Disk.Filesystems)
	return api.CurrentFilesystem{}
}

// checkSent compares what the senders counted with the counters and rates of the agent
// in the network namespace.
func (w *window) checkSent(t *testing.T) {
	requireRoot(t)
	l := w.link
	received, sent := l.received, l.sent
	bytes := func(m moved, each float64) float64 { return float64(m.Bytes) + each*float64(m.Packets) }
	want := []struct {
		metric, direction string
		true              float64
		rate              func(api.NetworkIO) float64
	}{
		{"io_bytes", "receive", bytes(received, headers) + bytes(l.unknown, 0), func(n api.NetworkIO) float64 { return float64(n.BytesRecvPerSec) }},
		{"io_bytes", "transmit", bytes(sent, headers), func(n api.NetworkIO) float64 { return float64(n.BytesSentPerSec) }},
		{"packets", "receive", float64(received.Packets + l.unknown.Packets), func(n api.NetworkIO) float64 { return float64(n.PacketsRecvPerSec) }},
		{"packets", "transmit", float64(sent.Packets), func(n api.NetworkIO) float64 { return float64(n.PacketsSentPerSec) }},
		{"dropped", "receive", float64(l.unknown.Packets), func(n api.NetworkIO) float64 { return float64(n.DropsIn) }},
		{"dropped", "transmit", float64(l.large.Packets), func(n api.NetworkIO) float64 { return float64(n.DropsOut) }},
	}
	for _, q := range want {
		name := "system_network_" + q.metric + "_total"
		before, _ := l.before.sum(name, "device", linkDevice, "direction", q.direction)
		after, _ := l.after.sum(name, "device", linkDevice, "direction", q.direction)
		near(t, name+" "+q.direction, after-before, q.true)
		sum := 0.0
		for i, c := range l.readings[1:] {
			// More than a second if a tick was missed.
			sum += q.rate(c.Network.NetworkIO) * c.Timestamp.Sub(l.readings[i].Timestamp).Seconds()
		}
		near(t, "sum of the rate of "+q.metric+" "+q.direction, sum, q.true)
	}
	for _, i := range l.readings[len(l.readings)-1].Network.Interfaces {
		if i.Name != linkDevice && i.Name != "lo" {
			t.Errorf("the agent in the namespace reports %s, which is not there", i.Name)
		}
	}
}

// checkStopped: a stopped process has the status stopped, then sleeping again.
func (w *window) checkStopped(t *testing.T) {
	w.memory.Signal(syscall.SIGSTOP)
	poll(t, func() error { return w.hasStatus(t, "stopped") })
	w.memory.Signal(syscall.SIGCONT)
	poll(t, func() error { return w.hasStatus(t, "sleeping") })
}

func (w *window) hasStatus(t *testing.T, status string) error {
	if got := row(t, w.agent.socket, w.memory.PID()).Status; got != status {
		return fmt.Errorf("the status is %s, want %s", got, status)
	}
	return nil
}

// checkQuantities compares every documented metric with the test's own reading.
// testdata/checked.txt says how, for instruments/METRICS.md.
func (w *window) checkQuantities(t *testing.T) {
	described := map[string]bool{}
	for line := range strings.Lines(slurp(t, "testdata/checked.txt")) {
		name, how, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || how == "" || described[name] {
			t.Errorf("testdata/checked.txt: %q is not a new name, a tab and how it is checked", line)
		}
		described[name] = true
	}
	checks := truths()
	for _, q := range instruments.Quantities() {
		check := checks[q.Name]
		if check == nil || !described[q.Name] {
			t.Errorf("%s has no check or no line in testdata/checked.txt", q.Name)
			continue
		}
		delete(checks, q.Name)
		delete(described, q.Name)
		t.Run(q.Name, func(t *testing.T) { check(t, w, q) })
	}
	if len(checks)+len(described) > 0 {
		t.Errorf("checked, but not documented: %v %v", slices.Collect(maps.Keys(checks)), described)
	}
}

// check compares one quantity with its true value.
type check func(t *testing.T, w *window, q instruments.Quantity)

// shown returns a quantity from /current.
type shown func(c *api.Current) float64

func truths() map[string]check {
	return map[string]check{
		"cpu_usage_total":       share("cpu", func(c *api.Current) float64 { return float64(c.CPU.UsagePercent) }),
		"cpu_usage_per_core":    checkCores,
		"cpu_count":             atEachTick(func(m *machine) float64 { return float64(len(m.cpu) - 1) }, func(c *api.Current) float64 { return float64(c.CPU.Count) }),
		"cpu_frequency_current": checkFrequency,
		"cpu_frequency_min":     checkFrequencyLimit("min", func(c *api.Current) float64 { return float64(c.CPU.Frequency.Min) }),
		"cpu_frequency_max":     checkFrequencyLimit("max", func(c *api.Current) float64 { return float64(c.CPU.Frequency.Max) }),
		"load_average_1":        atEachTick(func(m *machine) float64 { return m.load[0] }, func(c *api.Current) float64 { return float64(c.CPU.LoadAverage[0]) }),
		"load_average_5":        atEachTick(func(m *machine) float64 { return m.load[1] }, func(c *api.Current) float64 { return float64(c.CPU.LoadAverage[1]) }),
		"load_average_15":       atEachTick(func(m *machine) float64 { return m.load[2] }, func(c *api.Current) float64 { return float64(c.CPU.LoadAverage[2]) }),

		"memory_total":     atEachTick(func(m *machine) float64 { return m.memory["MemTotal"] }, func(c *api.Current) float64 { return float64(c.Memory.Total) }),
		"memory_available": atEachTick(func(m *machine) float64 { return m.memory["MemAvailable"] }, func(c *api.Current) float64 { return float64(c.Memory.Available) }),
		"memory_used":      atEachTick((*machine).memoryUsed, func(c *api.Current) float64 { return float64(c.Memory.Used) }),
		"memory_percent": atEachTick(func(m *machine) float64 { return 100 * m.memoryUsed() / m.memory["MemTotal"] },
			func(c *api.Current) float64 { return float64(c.Memory.Percent) }),
		"swap_total": atEachTick(func(m *machine) float64 { return m.memory["SwapTotal"] }, func(c *api.Current) float64 { return float64(c.Memory.Swap.Total) }),
		"swap_used":  atEachTick((*machine).swapUsed, func(c *api.Current) float64 { return float64(c.Memory.Swap.Used) }),
		"swap_percent": atEachTick(func(m *machine) float64 { return 100 * m.swapUsed() / m.memory["SwapTotal"] },
			func(c *api.Current) float64 { return float64(c.Memory.Swap.Percent) }),

		"disk_total": atEachTick(func(m *machine) float64 { return m.space.total }, func(c *api.Current) float64 { return float64(c.Disk.Total) }),
		"disk_used":  atEachTick(func(m *machine) float64 { return m.space.used }, func(c *api.Current) float64 { return float64(c.Disk.Used) }),
		"disk_free":  atEachTick(func(m *machine) float64 { return m.space.free }, func(c *api.Current) float64 { return float64(c.Disk.Free) }),
		"disk_percent": atEachTick(func(m *machine) float64 { return 100 * m.space.used / (m.space.used + m.space.free) },
			func(c *api.Current) float64 { return float64(c.Disk.Percent) }),
		"disk_read_bytes":  overWindow(func(m *machine) float64 { return m.disks.readBytes }, func(c *api.Current) float64 { return float64(c.Disk.IO.ReadBytesPerSec) }),
		"disk_write_bytes": overWindow(func(m *machine) float64 { return m.disks.writeBytes }, func(c *api.Current) float64 { return float64(c.Disk.IO.WriteBytesPerSec) }),
		"disk_read_count":  overWindow(func(m *machine) float64 { return m.disks.reads }, func(c *api.Current) float64 { return float64(c.Disk.IO.ReadCountPerSec) }),
		"disk_write_count": overWindow(func(m *machine) float64 { return m.disks.writes }, func(c *api.Current) float64 { return float64(c.Disk.IO.WriteCountPerSec) }),

		"net_bytes_sent":   overWindow(func(m *machine) float64 { return m.network.sentBytes }, func(c *api.Current) float64 { return float64(c.Network.BytesSentPerSec) }),
		"net_bytes_recv":   overWindow(func(m *machine) float64 { return m.network.receivedBytes }, func(c *api.Current) float64 { return float64(c.Network.BytesRecvPerSec) }),
		"net_packets_sent": overWindow(func(m *machine) float64 { return m.network.sentPackets }, func(c *api.Current) float64 { return float64(c.Network.PacketsSentPerSec) }),
		"net_packets_recv": overWindow(func(m *machine) float64 { return m.network.receivedPackets }, func(c *api.Current) float64 { return float64(c.Network.PacketsRecvPerSec) }),
		"net_errin":        overWindow(func(m *machine) float64 { return m.network.receivedErrors }, func(c *api.Current) float64 { return float64(c.Network.ErrorsIn) }),
		"net_errout":       overWindow(func(m *machine) float64 { return m.network.sentErrors }, func(c *api.Current) float64 { return float64(c.Network.ErrorsOut) }),
		"net_dropin":       overWindow(func(m *machine) float64 { return m.network.receivedDropped }, func(c *api.Current) float64 { return float64(c.Network.DropsIn) }),
		"net_dropout":      overWindow(func(m *machine) float64 { return m.network.sentDropped }, func(c *api.Current) float64 { return float64(c.Network.DropsOut) }),

		"process_name": func(t *testing.T, w *window, _ instruments.Quantity) {
			equal(t, w.after.burner.Name, processStatus(t, w.burner.PID(), "Name"))
		},
		"process_pid": func(t *testing.T, w *window, _ instruments.Quantity) { equal(t, w.after.burner.PID, w.burner.PID()) },
		"process_cpu_percent": func(t *testing.T, w *window, _ instruments.Quantity) {
			seconds, slack := w.integrate(func(s sample) float64 { return s.burner * float64(len(s.own.cpu)-1) })
			burned := w.burned - w.burnedBefore
			t.Logf("process_cpu_percent adds up to %g s, want %g", seconds, burned)
			if math.Abs(seconds-burned) > hundredth*burned+slack {
				t.Errorf("process_cpu_percent adds up to %g s of one processor, want %g", seconds, burned)
			}
		},
		"process_memory_percent": func(t *testing.T, w *window, _ instruments.Quantity) {
			near(t, "process_memory_percent", float64(w.after.memory.MemoryPercent), 100*float64(w.resident)/w.samples[0].own.memory["MemTotal"])
		},
		"process_memory_rss": func(t *testing.T, w *window, _ instruments.Quantity) {
			near(t, "process_memory_rss", float64(w.after.memory.MemoryRSS), float64(w.resident))
		},
		"process_num_threads": func(t *testing.T, w *window, _ instruments.Quantity) {
			equal(t, fmt.Sprint(w.after.memory.NumThreads), processStatus(t, w.memory.PID(), "Threads"))
		},
		"process_status": func(t *testing.T, w *window, _ instruments.Quantity) { equal(t, w.after.memory.Status, "sleeping") },
	}
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("the agent reports %v, want %v", got, want)
	}
}

func (m *machine) memoryUsed() float64 { return m.memory["MemTotal"] - m.memory["MemAvailable"] }
func (m *machine) swapUsed() float64   { return m.memory["SwapTotal"] - m.memory["SwapFree"] }

// value returns the agent's value of a quantity, NaN for none.
func (s sample) value(q instruments.Quantity) float64 {
	v, ok := s.values[q.Metric][strings.Join(q.Values, "|")]
	if !ok {
		return math.NaN()
	}
	return v * q.Scale
}

// alike reports whether two numbers are equal within a hundredth, or both NaN.
func alike(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= hundredth*math.Abs(b)
}

// named returns the agent's value of one series of a metric, NaN for none.
func (s sample) named(metric, values string) float64 {
	for m, series := range s.values {
		if v, ok := series[values]; ok && m.Name == metric {
			return v
		}
	}
	return math.NaN()
}

// atEachTick compares a quantity at every tick. It can change between the agent's
// reading and the test's, so one tick in ten may differ.
func atEachTick(own func(*machine) float64, shown shown) check {
	return func(t *testing.T, w *window, q instruments.Quantity) {
		wrong := 0
		for _, s := range w.samples {
			if got, want := s.value(q), own(s.own); !alike(got, want) {
				wrong++
				t.Logf("at %s the agent reports %g, want %g", s.at.Format(time.TimeOnly), got, want)
			}
		}
		if wrong > len(w.samples)/10 {
			t.Errorf("%d of %d ticks are wrong", wrong, len(w.samples))
		}
		w.checkShown(t, q, shown)
	}
}

// share compares the mean of a share of CPU time with the kernel's ticks from the first
// sample to the last.
func share(line string, shown shown) check {
	return func(t *testing.T, w *window, q instruments.Quantity) {
		w.compareShare(t, line, func(s sample) float64 { return s.value(q) })
		w.checkShown(t, q, shown)
	}
}

func (w *window) compareShare(t *testing.T, line string, value func(sample) float64) {
	t.Helper()
	first, last := w.samples[0].own, w.samples[len(w.samples)-1].own
	busy, all := last.cpu[line].busy-first.cpu[line].busy, last.cpu[line].all-first.cpu[line].all
	sum := 0.0
	for i, s := range w.samples[1:] {
		sum += value(s) * (s.own.cpu[line].all - w.samples[i].own.cpu[line].all)
	}
	near(t, line, sum/all, 100*busy/all)
}

func checkCores(t *testing.T, w *window, q instruments.Quantity) {
	cores := w.samples[0].values[q.Metric]
	if len(cores) != len(w.samples[0].own.cpu)-1 {
		t.Errorf("the agent reports the cores %v, /proc/stat has %d", cores, len(w.samples[0].own.cpu)-1)
	}
	for core := range cores {
		w.compareShare(t, core, func(s sample) float64 { return s.values[q.Metric][core] * q.Scale })
	}
	last := w.samples[len(w.samples)-1]
	for i, v := range last.current.CPU.PerCore {
		near2(t, float64(v), last.values[q.Metric][last.current.CPU.Cores[i].ID]*q.Scale)
	}
}

func checkFrequency(t *testing.T, w *window, q instruments.Quantity) {
	last := w.samples[len(w.samples)-1]
	sum := 0.0
	for _, v := range last.values[q.Metric] {
		sum += v * q.Scale
	}
	mean := sum / float64(len(last.values[q.Metric]))
	near2(t, float64(last.current.CPU.Frequency.Current), mean)
	// A processor that changes its frequency does so between two readings too, so only
	// its range can be checked.
	low, high := frequencyLimit(t, "min"), frequencyLimit(t, "max")
	if math.IsNaN(low) || math.IsNaN(high) {
		near(t, "frequency", mean, frequency(t))
	} else if mean < low || mean > high*1.01 {
		t.Errorf("the frequency is %g MHz, want one from %g to %g", mean, low, high)
	}
}

func checkFrequencyLimit(which string, shown shown) check {
	return func(t *testing.T, w *window, q instruments.Quantity) {
		if got, want := w.samples[0].value(q), frequencyLimit(t, which); !alike(got, want) {
			t.Errorf("the agent reports %g, want %g", got, want)
		}
		w.checkShown(t, q, shown)
	}
}

// overWindow compares the sum of a rate over all ticks with the increase of the counter
// that the test reads. The counter can change between the agent's reading and the
// test's.
func overWindow(own func(*machine) float64, shown shown) check {
	return func(t *testing.T, w *window, q instruments.Quantity) {
		first, last, busiest := w.samples[0].own, w.samples[len(w.samples)-1].own, 0.0
		for i, s := range w.samples[1:] {
			busiest = max(busiest, own(s.own)-own(w.samples[i].own))
		}
		sum, slack := w.integrate(func(s sample) float64 { return s.value(q) })
		sum -= w.samples[0].value(q) // It came before the test's first reading.
		want := own(last) - own(first)
		t.Logf("the rates add up to %g, the counter grew by %g", sum, want)
		// Allow for the milliseconds between the two readings, at both ends: a tenth of
		// the busiest tick each.
		if !(math.Abs(sum-want) <= hundredth*want+0.2*busiest+slack) {
			t.Errorf("the rates add up to %g, the counter grew by %g", sum, want)
		}
		w.checkShown(t, q, shown)
	}
}

// checkShown checks that /current has the reading, to three digits.
func (w *window) checkShown(t *testing.T, q instruments.Quantity, shown shown) {
	t.Helper()
	for _, s := range w.samples {
		if !s.current.Timestamp.Equal(s.at) {
			continue // /current had the next tick already.
		}
		near2(t, shown(s.current), s.value(q))
	}
}

// near2 compares a number of /current, which has three digits.
func near2(t *testing.T, got, want float64) {
	t.Helper()
	if math.IsNaN(got) != math.IsNaN(want) || math.Abs(got-want) > 0.001+1e-9*math.Abs(want) {
		t.Errorf("/current has %g, want %g", got, want)
	}
}

// scratch is an ext4 file system on a loop device.
type scratch struct {
	device, dir string
	writer      *child
}

func newScratch(t *testing.T) *scratch {
	t.Helper()
	image, dir := filepath.Join(t.TempDir(), "disk.img"), t.TempDir()
	command(t, "truncate", "--size", fmt.Sprint((writtenMiB+200)<<20), image)
	device := command(t, "losetup", "--find", "--show", image)
	undo(t, "losetup", "--detach", device)
	// Without these options the kernel writes tables in the background.
	command(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", device)
	command(t, "mount", device, dir)
	undo(t, "umount", dir)
	s := &scratch{device: filepath.Base(device), dir: dir, writer: spawn(t, "write", unique("writer"), nil)}
	// The file system can be unmounted only after its writer has ended.
	t.Cleanup(s.writer.Kill)
	return s
}

func (s *scratch) begin(seconds float64) {
	s.writer.send("%s %d %g", filepath.Join(s.dir, "file"), writtenMiB, 0.6*seconds)
}

// linkDevice is the name of the link's device at both ends.
const linkDevice = "truth0"

// link is two network namespaces with a cable between them. At one end runs an agent
// that sees nothing else: it has its own PID namespace too, whose first process is in
// this network.
type link struct {
	client                         *http.Client
	in, out, oversized, strangers  *child
	before, after                  page
	received, sent, large, unknown moved
	readings                       []api.Current
	stop                           context.CancelFunc
	ended                          chan struct{}
}

func newLink(t *testing.T) *link {
	t.Helper()
	here, there := fmt.Sprintf("sysotel-%d-here", os.Getpid()), fmt.Sprintf("sysotel-%d-there", os.Getpid())
	for _, name := range []string{here, there} {
		command(t, "ip", "netns", "add", name)
		undo(t, "ip", "netns", "del", name)
	}
	command(t, "ip", "link", "add", linkDevice, "netns", here, "type", "veth", "peer", "name", linkDevice, "netns", there)
	for i, name := range []string{here, there} {
		command(t, "ip", "-n", name, "addr", "add", fmt.Sprintf("10.77.0.%d/24", i+1), "dev", linkDevice)
		command(t, "ip", "-n", name, "link", "set", "lo", "up")
		command(t, "ip", "-n", name, "link", "set", linkDevice, "up")
	}
	// This end drops packets that are larger than the MTU of the other.
	command(t, "ip", "-n", there, "link", "set", linkDevice, "mtu", fmt.Sprint(peerMTU))

	within := func(name string) []string { return []string{"ip", "netns", "exec", name} }
	c := configure(t)
	spawn(t, "agent", "truthagent", append(within(here), "unshare", "--pid", "--fork", "--mount-proc", "--kill-child"), sameFlags(c)...)
	spawn(t, "sink", "truthsink", within(here), "10.77.0.1:7")
	spawn(t, "sink", "truthsink", within(there), "10.77.0.2:7")
	return &link{
		client:    unixClient(c),
		in:        spawn(t, "send", "truthsender", within(there)),
		out:       spawn(t, "send", "truthsender", within(here)),
		oversized: spawn(t, "send", "truthsender", within(here)),
		strangers: spawn(t, "frames", "truthsender", within(there)),
	}
}

// sameFlags returns the flags that give a child this configuration.
func sameFlags(c config.Config) []string {
	return []string{"--data-dir=" + c.DataDir, "--http.listen=127.0.0.1:0", "--prometheus.listen=127.0.0.1:0"}
}

// begin starts the senders and follows the agent's live stream.
func (l *link) begin(t *testing.T, seconds float64) {
	t.Helper()
	l.before = scrape(t, l.client)
	ctx, cancel := context.WithCancel(t.Context())
	l.stop, l.ended = cancel, make(chan struct{})
	readings := stream(ctx, t, l.client)
	go func() {
		defer close(l.ended)
		for c := range readings {
			l.readings = append(l.readings, *c)
		}
	}()
	length := 0.75 * seconds
	l.in.send("10.77.0.1:7 %d 2000 %g", payload, length)
	l.out.send("10.77.0.2:7 %d 1000 %g", payload, length)
	l.oversized.send("10.77.0.2:7 %d 200 %g", tooLarge, length)
	l.strangers.send("%s %s 200 %g", linkDevice, hardwareAddress(t), length)
}

// hardwareAddress returns the address of the agent's end of the link.
func hardwareAddress(t *testing.T) string {
	t.Helper()
	return command(t, "ip", "netns", "exec", fmt.Sprintf("sysotel-%d-here", os.Getpid()), "cat", "/sys/class/net/"+linkDevice+"/address")
}

// end waits for the senders and for readings with all that they sent.
func (l *link) end() {
	l.in.answer(&l.received)
	l.out.answer(&l.sent)
	l.oversized.answer(&l.large)
	l.strangers.answer(&l.unknown)
	from := current(l.in.tb, l.client).Tick
	poll(l.in.tb, func() error {
		if now := current(l.in.tb, l.client).Tick; now < from+3 {
			return fmt.Errorf("the agent in the namespace is at tick %d, waiting for %d", now, from+3)
		}
		return nil
	})
	l.after = scrape(l.in.tb, l.client)
	l.stop()
	<-l.ended
}
