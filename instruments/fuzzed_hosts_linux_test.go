package instruments

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSoakFuzzedHosts reads the recorded machines with their files spoiled: numbers that
// stand for none, lines that are missing, doubled or cut off, whole files gone. Whatever
// a file says, no collector may panic, tell a number that cannot be, or a total above
// what its members add up to; and one bad line or number costs no collector's reading.
// A failure names its seed: SYSOTEL_TEST_SEED reads that one machine again.
func TestSoakFuzzedHosts(t *testing.T) {
	hosts := readRecordedHosts(t)
	seed, one := uint64(time.Now().UnixNano()), false
	if text := os.Getenv("SYSOTEL_TEST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SYSOTEL_TEST_SEED: %v", err)
		}
		seed, one = n, true
	}
	length := 10 * time.Second
	if text := os.Getenv("SYSOTEL_TEST_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SYSOTEL_TEST_SOAK: %v", err)
		}
	}
	for i := range hosts {
		tree := t.TempDir()
		synctest.Test(t, func(t *testing.T) { hosts[i].read(t, tree, nil) })
	}
	failures, machines := 0, 0
	for end := time.Now().Add(length); machines == 0 || !one && time.Now().Before(end) && failures < 10; machines++ {
		ok := t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			tree := memoryDir(t)
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // A test repeats what it did.
				hosts[random.IntN(len(hosts))].read(t, tree, random)
			})
		})
		if !ok {
			failures++
		}
		if seed++; machines%50 == 0 {
			runtime.GC() // Closes the files of the machines before.
		}
	}
	t.Logf("%d machines", machines)
}

// recordedHost is a machine of testdata/hosts: all its files in each second.
type recordedHost struct {
	name  string
	steps []map[string]string
	links map[string]string
	// lost are the collectors that have no reading where nothing is spoiled, by second.
	lost []map[string]bool
}

func readRecordedHosts(t *testing.T) []recordedHost {
	t.Helper()
	dirs, err := filepath.Glob("testdata/hosts/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no fixture hosts found: %v", err)
	}
	var hosts []recordedHost
	for _, dir := range dirs {
		h := recordedHost{name: filepath.Base(dir), links: map[string]string{}}
		files := map[string]string{}
		for i := 0; ; i++ {
			step := filepath.Join(dir, "step"+strconv.Itoa(i))
			if _, err := os.Stat(step); err != nil {
				break
			}
			removed, _ := os.ReadFile(filepath.Join(step, "removed"))
			for gone := range strings.FieldsSeq(string(removed)) {
				maps.DeleteFunc(files, func(name, _ string) bool { return name == gone || strings.HasPrefix(name, gone+"/") })
			}
			err := filepath.WalkDir(step, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				name, _ := filepath.Rel(step, path)
				if d.Type() == fs.ModeSymlink {
					to, err := os.Readlink(path)
					h.links[name] = to
					return err
				}
				text, err := os.ReadFile(path)
				files[name] = string(text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			h.steps = append(h.steps, maps.Clone(files))
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// read reads the machine second by second, spoiled at random, or whole without it.
func (host *recordedHost) read(t *testing.T, tree string, random *rand.Rand) {
	c := Defaults()
	for name, one := range c.Collectors {
		one.Exclude = nil // What a total is made of is to be seen.
		c.Collectors[name] = one
	}
	f := newFixture(t, tree, c)
	var told []string
	defer func() {
		if f.host != nil {
			_ = f.host.Close()
		}
		if p := recover(); p != nil {
			t.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if t.Failed() {
			t.Errorf("machine %s:\n%s", host.name, strings.Join(told, "\n"))
		}
	}()
	// What is gone is gone from the beginning: collectors keep files open, which an
	// ordinary directory does not take from them as /proc does.
	var gone []string
	if random != nil && random.IntN(3) == 0 {
		names := slices.Sorted(maps.Keys(host.steps[0]))
		for range 1 + random.IntN(3) {
			gone = append(gone, names[random.IntN(len(names))])
		}
		told = append(told, fmt.Sprint("gone: ", gone))
	}
	for name, to := range host.links {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o700), os.Symlink(to, filepath.Join(tree, name))); err != nil {
			t.Fatal(err)
		}
	}
	before := map[string]string{}
	ticks := len(host.steps) + 3
	for second := range ticks {
		files := maps.Clone(host.steps[min(second, len(host.steps)-1)])
		for _, name := range gone {
			delete(files, name)
		}
		small, what := len(gone) == 0, ""
		if second > 0 && random != nil {
			for range random.IntN(3) {
				one, line := spoil(random, files)
				small = small && one && what == ""
				what += line
			}
		}
		told = append(told, fmt.Sprintf("second %d: %s", second, what))
		layChanged(t, tree, before, files)
		before = files
		f.fuzzedAnswers(random, files["statfs"])
		if f.host == nil {
			f.open()
			f.host.statfs = func(path string) (capacity, error) {
				point := "/" + strings.TrimPrefix(strings.TrimPrefix(path, f.host.root), "/")
				f.mu.Lock()
				defer f.mu.Unlock()
				a, ok := f.mounts[point]
				if !ok {
					return capacity{}, fs.ErrNotExist
				}
				return a.capacity, a.err
			}
		}
		time.Sleep(time.Until(f.start.Add(time.Duration(second) * time.Second)))
		tick := Tick{Time: time.Now(), Seq: uint64(second) + 1, Interval: time.Second}
		lost := map[string]bool{}
		for _, c := range f.collectors {
			r, err := c.Read(context.Background(), f.host, tick)
			if err != nil {
				if errors.Is(err, ErrUnsupported) {
					continue
				}
				if random == nil {
					lost[c.Name()] = true
				} else if small && !host.lost[second][c.Name()] {
					t.Errorf("second %d: %s is lost: %v", second, c.Name(), strings.ReplaceAll(err.Error(), tree, ""))
				}
				continue
			}
			checkReading(t, second, c, r)
		}
		if random == nil {
			host.lost = append(host.lost, lost)
		}
	}
}

// fuzzedAnswers has statfs(2) answer as recorded, now and then with what cannot be.
func (f *fixture) fuzzedAnswers(random *rand.Rand, text string) {
	answers := parseAnswers(f.t, text)
	for point, a := range answers {
		a.hang = false
		if random != nil && random.IntN(10) == 0 {
			to := []*uint64{&a.Size, &a.Free, &a.Available, &a.Inodes, &a.InodesFree}
			n, _ := strconv.ParseUint(oddNumbers[random.IntN(len(oddNumbers))], 10, 64)
			*to[random.IntN(len(to))] = n
		}
		answers[point] = a
	}
	f.mu.Lock()
	f.mounts = answers
	f.mu.Unlock()
}

// layChanged writes what differs from before in place, because collectors keep files open.
func layChanged(t *testing.T, tree string, before, files map[string]string) {
	for name := range before {
		if _, ok := files[name]; !ok {
			if err := os.Remove(filepath.Join(tree, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, text := range files {
		if old, ok := before[name]; !ok || old != text {
			writeFile(t, filepath.Join(tree, name), text)
		}
	}
}

// oddNumbers stand for no number somewhere, or are just at the end of a type.
var oddNumbers = []string{
	"18446744073709551615", "18446744073709551614", "18446744073692774400", "18446744073709551616", "9223372036854775807", "9223372036854775808",
	"9223372036854771712", "18014398509481984", "9007199246672720", "4294967295", "4294967296", "2147483647", "1000000000000", "0", "-1", "-2147483648",
	"99999999999999999999999", "1e308", "NaN", "Inf", "x", "", "0x10", "1.5",
}

var wholeNumber = regexp.MustCompile(`[0-9]+`)

// spoil changes one file, and reports whether it was one number or line of several only.
func spoil(random *rand.Rand, files map[string]string) (small bool, what string) {
	names := slices.Sorted(maps.Keys(files))
	names = slices.DeleteFunc(names, func(name string) bool { return name == "statfs" || name == "removed" })
	if len(names) == 0 {
		return true, ""
	}
	name := names[random.IntN(len(names))]
	text := files[name]
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	i := random.IntN(len(lines))
	switch kind := random.IntN(14); kind {
	case 0:
		files[name] = ""
		return false, " " + name + " is empty;"
	case 1:
		files[name] = text[:random.IntN(len(text)+1)]
		return false, fmt.Sprintf(" %s ends after %d bytes;", name, len(files[name]))
	case 2:
		garbage := make([]byte, random.IntN(200))
		for i := range garbage {
			garbage[i] = byte(random.Uint32())
		}
		files[name] = string(garbage)
		return false, " " + name + " is garbage;"
	case 3, 4:
		gone := lines[i]
		files[name] = strings.Join(slices.Delete(lines, i, i+1), "")
		return len(lines) > 3, fmt.Sprintf(" %s lacks %q;", name, gone)
	case 5, 6:
		files[name] = strings.Join(slices.Insert(lines, i, strings.TrimSuffix(lines[i], "\n")+"\n"), "")
		return len(lines) > 3, fmt.Sprintf(" %s has %q twice;", name, lines[i])
	case 7:
		was := lines[i]
		lines[i] = wholeNumber.ReplaceAllLiteralString(was, oddNumbers[random.IntN(len(oddNumbers))])
		files[name] = strings.Join(lines, "")
		return len(lines) > 3, fmt.Sprintf(" %s: %q in place of %q;", name, lines[i], was)
	case 8:
		// Another of the kind, under a name of its own: sda1 in place of sda.
		double := strings.TrimSuffix(wholeNumber.ReplaceAllStringFunc(lines[i], func(n string) string { return n + strconv.Itoa(random.IntN(10)) }), "\n")
		files[name] = strings.Join(slices.Insert(lines, i, double+"\n"), "")
		return len(lines) > 3, fmt.Sprintf(" %s has %q too;", name, double)
	default:
		places := wholeNumber.FindAllStringIndex(lines[i], -1)
		if len(places) == 0 {
			return true, ""
		}
		at := places[random.IntN(len(places))]
		to := oddNumbers[random.IntN(len(oddNumbers))]
		if n, err := strconv.ParseUint(lines[i][at[0]:at[1]], 10, 64); err == nil && kind > 10 {
			// A counter that falls or leaps.
			to = strconv.FormatUint(uint64(float64(n)*random.ExpFloat64()), 10)
		}
		was := lines[i]
		lines[i] = was[:at[0]] + to + was[at[1]:]
		files[name] = strings.Join(lines, "")
		return len(lines) > 3, fmt.Sprintf(" %s: %q in place of %q;", name, lines[i], was)
	}
}

// overOne are the shares that can be above 1: a limit can be passed for a while,
// processes share memory, and are not read all at once.
var overOne = map[*Metric]float64{
	cgroupCPUUsage: math.Inf(1), cgroupMemoryUtilization: math.Inf(1), groupMemoryUtilizationMetric: math.Inf(1), processMemoryUtilization: math.Inf(1), processCPUUtilization: 1.4,
}

// mostPerSecond are more than any machine does in a second, by unit of a rate.
var mostPerSecond = map[string]float64{"By/s": 1e13, "{operation}/s": 1e10, "{packet}/s": 1e11, "{error}/s": 1e11}

// checkReading looks for numbers that cannot be.
func checkReading(t *testing.T, second int, c Collector, r Reading) {
	t.Helper()
	seen := map[string]float64{}
	sums := map[string]float64{}
	Visit(r, func(m *Metric, v float64, values []string) {
		text := pointText(m, v, values)
		name := text[:strings.LastIndexByte(text, ' ')]
		if _, twice := seen[name]; twice {
			t.Errorf("second %d: %s is told twice", second, name)
		}
		seen[name] = v
		switch {
		case math.IsNaN(v) || math.IsInf(v, 0) || v < 0 && m != timexOffset && !isSigned(m) || v > 1<<63:
			t.Errorf("second %d: %s cannot be", second, text)
		case m.Unit == "1" && v > max(overOne[m], 1+1e-9):
			t.Errorf("second %d: %s is a share above 1", second, text)
		case mostPerSecond[m.Unit] > 0 && v > mostPerSecond[m.Unit]:
			t.Errorf("second %d: %s is more than a machine does", second, text)
		}
		if device := slices.IndexFunc(m.Keys, func(k Key) bool { return k.Name == "device" }); device >= 0 && values[device] != "" {
			other := slices.Clone(values)
			for i := range other {
				if m.Keys[i].Name != "direction" {
					other[i] = ""
				}
			}
			sums[strings.TrimSuffix(pointText(m, 0, other), " 0")] += v
		}
		if m == cpuStateUsage {
			sums["states"] += v
		}
	})
	for name, sum := range sums {
		total, ok := seen[name]
		if ok && total > sum*(1+1e-9)+1e-6 && !strings.Contains(name, "utilization") {
			t.Errorf("second %d: the total %s is %v, its members add up to %v", second, name, total, sum)
		}
	}
	if sums["states"] > 1+1e-9 {
		t.Errorf("second %d: the states of the processors add up to %v", second, sums["states"])
	}
	for _, part := range [][2]string{
		{"system.memory.usage{state=used}", "system.memory.limit{}"}, {"system.memory.usage{state=free}", "system.memory.limit{}"},
		{"system.linux.memory.available{}", "system.memory.limit{}"}, {"sysotel.swap.usage{}", "sysotel.swap.limit{}"},
		{"sysotel.disk.usage{}", "sysotel.disk.limit{}"}, {"sysotel.disk.free{}", "sysotel.disk.limit{}"},
	} {
		if of, ok := seen[part[1]]; ok && seen[part[0]] > of {
			t.Errorf("second %d: %s is %v of %v", second, part[0], seen[part[0]], of)
		}
	}
	if partial, ok := r.(Partial); ok {
		for _, m := range partial.Missing() {
			if m.Subject == "" || m.Reason == "" || len(m.Reason) > 1000 || bytes.ContainsAny([]byte(m.Subject+m.Reason), "\n\x1b\x00") {
				t.Errorf("second %d: %s names %q: %q", second, c.Name(), m.Subject, m.Reason)
			}
		}
	}
}
