package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/store/storetest"
)

// plan is how long and how often everything is measured.
type plan struct {
	warmUp, window time.Duration // Of one run of a configuration.
	runs           int           // The result is their median.
	stack          time.Duration // The window of the whole stack.
	load           time.Duration // Of the requests for one path.
	starts         int
	charts         int  // Requests of each chart.
	year           bool // Measure charts on a year of history, else on an hour.
}

// thorough is the plan for quotable results, quick the one that checks the measurement.
var (
	thorough = plan{warmUp: 5 * time.Second, window: 30 * time.Second, runs: 3, stack: 2 * time.Minute, load: 10 * time.Second, starts: 5, charts: 200, year: true}
	quick    = plan{warmUp: 1300 * time.Millisecond, window: 2500 * time.Millisecond, runs: 1, stack: 4 * time.Second, load: time.Second, starts: 1, charts: 3}
)

// chosen returns the plan that the environment selects.
func chosen() plan {
	if os.Getenv("SYSOTEL_BENCH") == "1" && os.Getenv("SYSOTEL_BENCH_SHORT") != "1" {
		return thorough
	}
	return quick
}

// configuration is one way to run the agent.
type configuration struct {
	name string
	// processes is the number of processes on the machine; 0 leaves it unchanged.
	processes int
	arguments []string
	// pushed adds an OTLP receiver and a scraper, in other processes.
	pushed bool
	budget float64 // Percent of a core, 0 for none.
	memory float64 // Megabytes resident, 0 for none.
}

// The budgets, and the conditions of the measurement.
const (
	hostBudget     = 0.16
	processBudget  = 0.5
	storeBudget    = 0.7
	pushBudget     = 1.2
	memoryBudget   = 35 // Without history.
	storeMemory    = 50
	perProcess     = 15.0 // Microseconds per tick.
	requestBudget  = 10_000
	latencyBudget  = 20 * time.Millisecond
	queryBudget    = 50 * time.Millisecond // Of one chart alone.
	startBudget    = time.Second
	binaryBudget   = 45
	connections    = 100
	fewProcesses   = 250
	manyProcesses  = 1_000
	scrapesToTime  = 20
	firstProcesses = 50
)

// Flags that turn off the store or collectors.
const (
	noStore          = "--store.backend=none"
	noProcess        = "--instruments.process.enabled=false"
	noProcessesCount = "--instruments.processes.enabled=false"
)

var configurations = []configuration{
	{name: "host collectors only, no store", arguments: []string{noStore, noProcess, noProcessesCount}, budget: hostBudget, memory: memoryBudget},
	{name: "all collectors, no store", processes: firstProcesses, arguments: []string{noStore}, budget: processBudget, memory: memoryBudget},
	{name: "all collectors, no store", processes: fewProcesses, arguments: []string{noStore}, budget: processBudget, memory: memoryBudget},
	{name: "all collectors, no store", processes: manyProcesses, arguments: []string{noStore}},
	{name: "all collectors, store, records", processes: fewProcesses, budget: storeBudget, memory: storeMemory},
	{name: "all, store, push and scrape", processes: fewProcesses, pushed: true, budget: pushBudget},
}

// TestCost measures and prints the table.
func TestCost(t *testing.T) {
	p := chosen()
	binary := build(t)
	var table strings.Builder
	fmt.Fprintf(&table, "\nsampling at 1 s, %d x %s each, medians; CPU in percent of one core, measured by %s\n\n", p.runs, p.window, accountName(t))
	fmt.Fprintf(&table, "%-31s %9s %8s %8s %-5s %8s %8s %8s %8s %8s %-5s %8s\n", "what", "processes",
		"CPU %", "budget", "", "floor %", "stat %", "RSS MB", "peak MB", "budget", "", "others")

	var cost []figures
	for _, c := range configurations {
		var runs []figures
		for range p.runs {
			runs = append(runs, measure(t, binary, c, p))
		}
		f := median(runs)
		cost = append(cost, f)
		cpu, memory := "", ""
		if c.budget > 0 {
			cpu = verdict(f.cpu <= c.budget)
		}
		if c.memory > 0 {
			memory = verdict(f.resident <= c.memory)
		}
		fmt.Fprintf(&table, "%-31s %9.0f %8.3f %8s %-5s %8.3f %8.2f %8.1f %8.1f %8s %-5s %8.2f\n", c.name, f.processes,
			f.cpu, figure(c.budget), cpu, f.floor, f.stat, f.resident, f.peak, figure(c.memory), memory, f.others)
	}
	table.WriteString("\nfloor: only reading the same files with open descriptors; stat: utime + stime of /proc/PID/stat,\n" +
		"in hundredths of a second, as a check; others: cores used by the rest of the machine\n\n")

	few, many := cost[2], cost[3]
	if many.processes > few.processes {
		each := (many.cpu - few.cpu) / 100 / (many.processes - few.processes) * 1e6
		floor := (many.floor - few.floor) / 100 / (many.processes - few.processes) * 1e6
		line(&table, "each additional process", fmt.Sprintf("%.2f us per tick (floor %.2f)", each, floor), fmt.Sprintf("%.0f us", perProcess), each <= perProcess)
	}
	size := float64(binarySize(t, binary)) / 1e6
	line(&table, "binary, stripped", fmt.Sprintf("%.1f MB", size), fmt.Sprintf("%d MB", binaryBudget), size <= binaryBudget)
	directory := t.TempDir()
	past(t, directory)
	for _, on := range []struct{ what, directory string }{{"start to first reading", ""}, {"the same on an hour of data", directory}} {
		start := measureStart(t, binary, on.directory, p)
		line(&table, on.what, start.Round(time.Millisecond).String(), startBudget.String(), start <= startBudget)
	}
	s := measureScrape(t, binary, p)
	line(&table, "scrape", fmt.Sprintf("%s for %d bytes, %d compressed", s.took.Round(10*time.Microsecond), s.plain, s.packed), "", true)
	reportLoads(t, &table, binary, directory, p)
	if p.year {
		directory = t.TempDir()
		storetest.MachineYear(t, filepath.Join(directory, "store"), hostName)
		start := measureStart(t, binary, directory, p)
		line(&table, "start on a year of data", start.Round(time.Millisecond).String(), startBudget.String(), start <= startBudget)
	}
	reportCharts(t, &table, binary, directory, p)
	fmt.Println(table.String())
}

// reportLoads measures response times under load and adds them to the table.
func reportLoads(t *testing.T, table *strings.Builder, binary, directory string, p plan) {
	t.Helper()
	for _, r := range []struct {
		what, path  string
		connections int
		rate        float64       // The minimum, 0 for none.
		latency     time.Duration // The maximum p99, 0 for none.
	}{
		{"/current", currentPath, connections, requestBudget, latencyBudget},
		{"an hour of CPU", seriesPath, 1, 0, queryBudget},
		{"an hour of CPU", seriesPath, connections, 0, 0},
		{"query_range", rangePath(), 1, 0, queryBudget},
		{"query_range", rangePath(), connections, 0, 0},
	} {
		l := measureLoad(t, binary, directory, r.path, r.connections, p)
		rate, latency := "", ""
		if r.rate > 0 {
			rate = fmt.Sprintf("%.0f/s", r.rate)
		}
		if r.latency > 0 {
			latency = r.latency.String()
		}
		line(table, fmt.Sprintf("%s, connections: %d", r.what, r.connections), fmt.Sprintf("%.0f requests/s of %d bytes", l.rate, l.size), rate, l.rate >= r.rate)
		line(table, "", fmt.Sprintf("mean %s, p50 %s, p99 %s", l.mean.Round(10*time.Microsecond), l.p50.Round(10*time.Microsecond), l.p99.Round(10*time.Microsecond)), latency, l.p99 <= r.latency)
		line(table, "", fmt.Sprintf("peak %.1f MB resident, others %.2f cores", l.peak, l.others), "", true)
	}
}

func line(w *strings.Builder, what, measured, budget string, fine bool) {
	word := ""
	if budget != "" {
		word = verdict(fine)
	}
	fmt.Fprintf(w, "%-32s %-48s %10s %s\n", what, measured, budget, word)
}

func verdict(fine bool) string {
	if fine {
		return "ok"
	}
	return "OVER"
}

func figure(v float64) string {
	if v == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g", v)
}

// figures are the results of one run of a configuration.
type figures struct {
	processes         float64
	cpu, floor, stat  float64 // Percent of a core.
	resident, peak    float64 // Megabytes.
	others            float64 // Cores.
	received, scrapes int
}

// median returns the median of each figure over the runs.
func median(runs []figures) figures {
	of := func(f func(figures) float64) float64 {
		var values []float64
		for _, r := range runs {
			values = append(values, f(r))
		}
		return middle(values)
	}
	return figures{
		processes: of(func(f figures) float64 { return f.processes }),
		cpu:       of(func(f figures) float64 { return f.cpu }),
		floor:     of(func(f figures) float64 { return f.floor }),
		stat:      of(func(f figures) float64 { return f.stat }),
		resident:  of(func(f figures) float64 { return f.resident }),
		peak:      of(func(f figures) float64 { return f.peak }),
		others:    of(func(f figures) float64 { return f.others }),
	}
}

// middle returns the median, the upper one for an even number of values.
func middle[N int | float64 | time.Duration](values []N) N {
	slices.Sort(values)
	return values[len(values)/2]
}

// measure runs the agent in one configuration for one window.
func measure(t *testing.T, binary string, c configuration, p plan) (f figures) {
	t.Run(fmt.Sprintf("%s %d", c.name, c.processes), func(t *testing.T) {
		crowd(t, c.processes)
		arguments := c.arguments
		var receiver *child
		if c.pushed {
			receiver = startChild(t, "receiver")
			arguments = append(slices.Clone(arguments), "--otlp.endpoint=http://"+receiver.line())
		}
		a := startAgent(t, binary, arguments...)
		var scraper *child
		if c.pushed {
			scraper = startChild(t, "scraper", "http://"+a.address+"/metrics")
		}
		wait(t, p.warmUp)
		floor := startChild(t, "floor", a.heldFiles(t)...)
		if got := floor.line(); got == "0" {
			t.Fatal("the floor reads no file")
		}
		own, bare := openAccount(t, a.pid()), openAccount(t, floor.pid())

		count := countProcesses(t)
		before, bareBefore, statBefore, machineBefore, began := own.usage(t), bare.usage(t), statTime(t, a.pid()), machineBusy(t), time.Now()
		wait(t, p.window)
		used, bareUsed := own.usage(t)-before, bare.usage(t)-bareBefore
		stat, machine, elapsed := statTime(t, a.pid())-statBefore, machineBusy(t)-machineBefore, time.Since(began)

		percent := func(d time.Duration) float64 { return 100 * d.Seconds() / elapsed.Seconds() }
		f.processes = float64(count+countProcesses(t)) / 2
		f.cpu, f.floor, f.stat = percent(used), percent(bareUsed), percent(stat)
		f.resident, f.peak = memory(t, a.pid(), "VmRSS:"), memory(t, a.pid(), "VmHWM:")
		f.others = (machine - used - bareUsed).Seconds() / elapsed.Seconds()
		a.check(t, !slices.Contains(c.arguments, noProcess))
		if used <= 0 || bareUsed <= 0 {
			t.Errorf("no CPU time was measured: agent %s, floor %s", used, bareUsed)
		}
		// Both accounts of the kernel must agree; one counts user and system time
		// separately in hundredths of a second.
		if d := (used - stat).Abs(); d > max(50*time.Millisecond, used/10) {
			t.Errorf("%s and utime + stime disagree: %s and %s", accountName(t), used, stat)
		}
		if c.pushed {
			f.received, f.scrapes = receiver.finish(t), scraper.finish(t)
			minimum := int(p.window.Seconds()) - 1
			if f.received < minimum || f.scrapes < minimum {
				t.Errorf("in more than %s there were %d pushed requests and %d scrapes", p.window, f.received, f.scrapes)
			}
		}
		floor.stop()
		t.Logf("%.0f processes: %.3f %% (stat %.2f, floor %.3f), %.1f MB, others %.2f cores", f.processes, f.cpu, f.stat, f.floor, f.resident, f.others)
	})
	if t.Failed() {
		t.FailNow()
	}
	return f
}
