package instruments

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// TestGoldenFixtures walks the recorded machines. A folder of testdata/hosts is a
// situation, and time is the folders in it: step0 is the first second, step1
// holds only the files that differ a second later, and so on. In a step,
//
//	host/     is the machine's file tree where the agent is in a container;
//	          else the step itself is;
//	own/      is the agent's own file tree, of which only its cgroup is read;
//	statfs    says what statfs(2) answers: mount point (a space is \040), size, free, available,
//	          inodes, inodes free, and at the end "hang" or "error" where it does not;
//	removed   lists files and folders that are gone from this second on.
//
// "collectors" beside the steps names the collectors of interest, all without it.
// expected.txt has every number that they report in every second.
func TestGoldenFixtures(t *testing.T) {
	cases, err := filepath.Glob("testdata/hosts/*")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no fixture hosts found: %v", err)
	}
	for _, dir := range cases {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			steps, err := filepath.Glob(filepath.Join(dir, "step*"))
			if err != nil || len(steps) == 0 {
				t.Fatalf("no steps found: %v", err)
			}
			var got strings.Builder
			// In the bubble a second passes at once, and a server that hangs costs nothing.
			tree := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				m := newFixture(t, tree, Defaults())
				if text, err := os.ReadFile(filepath.Join(dir, "collectors")); err == nil {
					m.only(strings.Fields(string(text)))
				}
				for i := range steps {
					m.lay(filepath.Join(dir, "step"+strconv.Itoa(i)))
					for _, line := range m.tick() {
						fmt.Fprintf(&got, "step %d %s\n", i, line)
					}
				}
				m.release()
			})
			compare(t, filepath.Join(dir, "expected.txt"), got.String())
		})
	}
}

// memoryDir is a temporary directory, in memory where there is room: thousands of
// small files take half a minute on a busy disk.
func memoryDir(t *testing.T) string {
	t.Helper()
	const memory, room = "/dev/shm", 256 << 20
	var disk unix.Statfs_t
	if unix.Statfs(memory, &disk) == nil && disk.Bavail*uint64(disk.Bsize) > room && unix.Access(memory, unix.W_OK) == nil {
		t.Setenv("TMPDIR", memory)
	}
	return t.TempDir()
}

// compare compares text with a golden file, or rewrites it.
func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for _, line := range w {
		if !slices.Contains(g, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range g {
		if !slices.Contains(w, line) {
			t.Errorf("not expected: %s", line)
		}
	}
	if !t.Failed() {
		t.Errorf("%s: the order of lines differs", path)
	}
}

// fixture is a recorded machine at one moment.
type fixture struct {
	t          *testing.T
	tree       string
	host       *Host
	collectors []Collector
	start      time.Time
	seq        uint64

	mu     sync.Mutex
	mounts map[string]answer
	// moved is closed when the next step begins: a hanging statfs looks again.
	moved chan struct{}
}

// answer is what statfs(2) says of a mount point.
type answer struct {
	capacity
	hang bool
	err  error
}

func newFixture(t *testing.T, tree string, c Config) *fixture {
	f := &fixture{t: t, tree: tree, start: time.Now(), moved: make(chan struct{})}
	for _, collector := range NewCollectors(c, func() AgentStats { return AgentStats{} }) {
		// The agent's own numbers are of the test, not of the machine.
		if collector.Name() != "agent" {
			f.collectors = append(f.collectors, collector)
		}
	}
	return f
}

// only leaves the named collectors.
func (f *fixture) only(names []string) {
	f.collectors = slices.DeleteFunc(f.collectors, func(collector Collector) bool { return !slices.Contains(names, collector.Name()) })
	if len(f.collectors) != len(names) {
		f.t.Fatalf("%q: not all of these are collectors", names)
	}
}

// lay lays the files of a step over those of the step before. The files that
// stay are written in place, because the collectors keep them open.
func (f *fixture) lay(step string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name := range strings.FieldsSeq(f.textOf(filepath.Join(step, "removed"))) {
		if err := os.RemoveAll(filepath.Join(f.tree, name)); err != nil {
			f.t.Fatal(err)
		}
	}
	err := filepath.WalkDir(step, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(step, path)
		if err != nil {
			return err
		}
		to := filepath.Join(f.tree, name)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.mounts = parseAnswers(f.t, f.textOf(filepath.Join(f.tree, "statfs")))
	close(f.moved)
	f.moved = make(chan struct{})
	if f.host == nil {
		f.open()
	}
}

// open makes the host when the first step lies there.
func (f *fixture) open() {
	root := filepath.Join(f.tree, "host")
	_, err := os.Stat(root)
	contained := err == nil
	if !contained {
		root = f.tree
	}
	f.host = NewHost(root)
	f.host.own = &Host{root: filepath.Join(f.tree, "own")}
	f.host.ownNetwork = !contained
	f.host.statfs = f.statfs
	f.host.clock = func() ClockState {
		return ClockState{
			Known: true, Synchronized: true, Offset: -0.000213, MaxError: 0.0125, EstimatedError: 0.000004, Frequency: 1.0000125, Status: 8193,
			Constant: 7, Tick: 0.01, TAI: 37, Zone: "CET", ZoneOffset: 3600,
		}
	}
}

func (f *fixture) textOf(path string) string {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.t.Fatal(err)
	}
	return string(text)
}

// parseAnswers reads the file statfs of a step.
func parseAnswers(t *testing.T, text string) map[string]answer {
	answers := map[string]answer{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			t.Fatalf("statfs: line %q has less than 6 fields", line)
		}
		var a answer
		for i, to := range []*uint64{&a.Size, &a.Free, &a.Available, &a.Inodes, &a.InodesFree} {
			n, err := strconv.ParseUint(fields[i+1], 10, 64)
			if err != nil {
				t.Fatalf("statfs: line %q: %v", line, err)
			}
			*to = n
		}
		if len(fields) > 6 {
			switch fields[6] {
			case "hang":
				a.hang = true
			case "error":
				a.err = syscall.EIO
			default:
				t.Fatalf("statfs: line %q: %q is neither hang nor error", line, fields[6])
			}
		}
		answers[unescapeOctal([]byte(fields[0]))] = a
	}
	return answers
}

// statfs answers for a mount point. One that is not listed fails the test: the
// collector must not ask for what it leaves out.
func (f *fixture) statfs(path string) (capacity, error) {
	point := "/" + strings.TrimPrefix(strings.TrimPrefix(path, f.host.root), "/")
	for {
		f.mu.Lock()
		a, ok := f.mounts[point]
		moved := f.moved
		f.mu.Unlock()
		switch {
		case !ok:
			f.t.Errorf("statfs of %s, which the fixture does not answer", point)
			return capacity{}, syscall.ENOENT
		case !a.hang:
			return a.capacity, a.err
		}
		<-moved
	}
}

// release lets every hanging statfs go.
func (f *fixture) release() {
	f.mu.Lock()
	for point, a := range f.mounts {
		a.hang = false
		f.mounts[point] = a
	}
	close(f.moved)
	f.mu.Unlock()
	synctest.Wait()
}

// tick reads all collectors at the next whole second and returns a line for every
// number and every failure, sorted.
func (f *fixture) tick() []string {
	time.Sleep(time.Until(f.start.Add(time.Duration(f.seq) * time.Second)))
	f.seq++
	t := Tick{Time: time.Now(), Seq: f.seq, Interval: time.Second}
	var lines []string
	for _, collector := range f.collectors {
		r, err := collector.Read(context.Background(), f.host, t)
		if err != nil {
			lines = append(lines, fmt.Sprintf("error %s: %s", collector.Name(), strings.ReplaceAll(err.Error(), f.tree, "")))
			continue
		}
		Visit(r, func(m *Metric, value float64, values []string) { lines = append(lines, pointText(m, value, values)) })
	}
	slices.Sort(lines)
	for i := 1; i < len(lines); i++ {
		a, _, _ := strings.Cut(lines[i-1], "} ")
		b, _, _ := strings.Cut(lines[i], "} ")
		if a == b {
			f.t.Errorf("reported twice: %s and %s", lines[i-1], lines[i])
		}
	}
	return lines
}

// pointText writes a point as in a query: name{key=value} number. Where a value
// is empty the attribute is not sent.
func pointText(m *Metric, value float64, values []string) string {
	name := m.Name
	if name == "" {
		name = m.Semconv
	}
	var labels []string
	for i, v := range values {
		if v != "" {
			labels = append(labels, m.Keys[i].Name+"="+v)
		}
	}
	// Six digits are more than any of the sources has, and hide how the last bits are rounded.
	return name + "{" + strings.Join(labels, ",") + "} " + strconv.FormatFloat(rounded(value), 'f', -1, 64)
}

func rounded(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 6, 64), 64)
	if err != nil {
		panic(err)
	}
	return r
}

// TestFourThousandProcesses reads a machine of 4,000 processes: every one is
// counted, the programs add up to the whole, and no bound of ours cuts any off
// without a word.
func TestFourThousandProcesses(t *testing.T) {
	const processes, programs = 4000, 250
	tree := memoryDir(t)
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/uptime", "5000.00 9000.00\n")
	write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
	stat := func(user int) string {
		return fmt.Sprintf("cpu  %[1]d 0 0 1000000 0 0 0 0\ncpu0 %[1]d 0 0 1000000 0 0 0 0\nbtime 1767225600\n", user)
	}
	process := func(i, utime int) {
		pid := 10 + i
		state := "SSSR"[i%4]
		write(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf(
			"%d (prog%d) %c 1 %d %d 0 -1 4194304 0 0 0 0 %d 0 0 0 20 0 2 0 1000 1048576 16 18446744073709551615\n", pid, i%programs, state, pid, pid, utime))
		write(fmt.Sprintf("proc/%d/io", pid), "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n")
		write(fmt.Sprintf("proc/%d/cmdline", pid), fmt.Sprintf("/usr/bin/prog%d\x00", i%programs))
	}
	write("proc/stat", stat(100_000))
	for i := range processes {
		process(i, 10)
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, tree, Defaults())
		f.only([]string{"process", "processes"})
		f.open()
		first := f.tick()
		// One process in forty works for one hundredth of a second.
		for i := 0; i < processes; i += 40 {
			process(i, 11)
		}
		write("proc/stat", stat(100_100))
		second := f.tick()

		sum := func(lines []string, prefix string) (total float64) {
			for _, line := range lines {
				if strings.HasPrefix(line, prefix) {
					v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
					if err != nil {
						t.Fatal(err)
					}
					total += v
				}
			}
			return total
		}
		for _, c := range []struct {
			lines  []string
			prefix string
			want   float64
		}{
			{first, "system.processes.count{", processes},
			{first, "system.processes.count{status=running}", processes / 4},
			{first, "system.processes.count{status=sleeping}", processes * 3 / 4},
			{second, "sysotel.process.count{", processes},
			{second, "process.threads{", 2 * processes},
			{second, "process.memory.usage{", float64(processes * 16 * os.Getpagesize())},
			{second, "process.memory.virtual{", processes << 20},
			{second, "process.cpu.time{", 1.00},
		} {
			if got := sum(c.lines, c.prefix); rounded(got) != c.want {
				t.Errorf("%s sums to %v, want %v", c.prefix, got, c.want)
			}
		}
		named := 0
		for _, line := range second {
			if strings.HasPrefix(line, "sysotel.process.count{") {
				named++
			}
		}
		if named != defaultPrograms+1 {
			t.Errorf("%d programs are named, want %d and the others", named, defaultPrograms)
		}
	})
}
