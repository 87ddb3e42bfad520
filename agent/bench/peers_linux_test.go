package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// peer is a program, or several that belong together, that reads the machine every second.
type peer struct {
	name string // Without commas, which Telegraf takes for the end of a path.
	// quick is set for those that the short form measures too.
	quick bool
	// scraped is set if its page is fetched once a second.
	scraped bool
	// start starts it and returns its processes and its page; no process if it is not
	// installed here.
	start func(t *testing.T) (pids []int, page string)
	// want is on the page.
	want string
}

// before is the binary that stands for the build before.
var before = os.Getenv("SYSOTEL_BENCH_PEER")

// peers returns what is measured side by side.
func peers(binary string) []peer {
	sysotel := func(binary string, arguments ...string) func(*testing.T) ([]int, string) {
		return func(t *testing.T) ([]int, string) {
			a := startAgent(t, binary, arguments...)
			return []int{a.pid()}, "http://" + a.address + "/metrics"
		}
	}
	const ownName = "system_cpu_time_seconds_total{"
	all := []peer{
		{"sysotel as it comes", true, false, sysotel(binary), ownName},
		{"sysotel as it comes and scraped", true, true, sysotel(binary), ownName},
		{"sysotel without a store", false, false, sysotel(binary, noStore), ownName},
		{"sysotel with host collectors alone", false, false, sysotel(binary, noStore, noProcess, noProcessesCount), ownName},
		{"node_exporter scraped", true, true, startNodeExporter, "node_cpu_seconds_total{"},
		{"node_exporter and Prometheus", true, false, startPrometheus, ""},
		{"Collector with hostmetrics scraped", false, true, startHostCollector, "system_cpu_time"},
		{"Telegraf scraped", false, true, startTelegraf, "cpu_usage_idle"},
		{"Netdata", false, false, startNetdata, ""},
	}
	if before != "" {
		all = append(all,
			peer{"the build before", true, false, sysotel(before), ownName},
			peer{"the build before and scraped", true, true, sysotel(before), ownName})
	}
	return all
}

// freeAddress returns an address on this machine where nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startNodeExporter(t *testing.T) ([]int, string) {
	address := freeAddress(t)
	p := programs.Start(t, programs.Command(t, "node_exporter", "--web.listen-address="+address))
	page := "http://" + address + "/metrics"
	p.WaitHTTP(page, 30*time.Second)
	return []int{p.PID()}, page
}

// startPrometheus starts a node_exporter and the Prometheus that scrapes it.
func startPrometheus(t *testing.T) ([]int, string) {
	exporter, page := startNodeExporter(t)
	target := strings.TrimSuffix(strings.TrimPrefix(page, "http://"), "/metrics")
	config, address := written(t, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: node, static_configs: [{targets: [%q]}]}]
`, target)), freeAddress(t)
	p := programs.Start(t, programs.Command(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+t.TempDir(), "--web.listen-address="+address))
	for began := time.Now(); ; wait(t, 50*time.Millisecond) {
		response, err := http.Get("http://" + address + "/api/v1/query?query=up")
		if err == nil {
			text, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if bytes.Contains(text, []byte(`,"1"]`)) {
				break
			}
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("Prometheus has no sample after a minute: %v", err)
		}
	}
	return append(exporter, p.PID()), ""
}

// startHostCollector starts a Collector that reads what the agent reads.
func startHostCollector(t *testing.T) ([]int, string) {
	address := freeAddress(t)
	config := written(t, "collector.yaml", fmt.Sprintf(`
receivers:
  hostmetrics:
    collection_interval: 1s
    scrapers: {cpu: {}, memory: {}, load: {}, paging: {}, disk: {}, filesystem: {}, network: {}, processes: {}, process: {mute_process_all_errors: true}}
exporters:
  prometheus: {endpoint: %q}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [hostmetrics], exporters: [prometheus]}
`, address))
	p := programs.Start(t, programs.Command(t, "otelcol-host", "--config="+config))
	page := "http://" + address + "/metrics"
	p.WaitHTTP(page, 30*time.Second)
	return []int{p.PID()}, page
}

// startTelegraf starts a Telegraf that reads what the agent reads.
func startTelegraf(t *testing.T) ([]int, string) {
	address := freeAddress(t)
	config := written(t, "telegraf.conf", fmt.Sprintf(`
[agent]
  interval = "1s"
  flush_interval = "1s"
[[outputs.prometheus_client]]
  listen = %q
[[inputs.cpu]]
[[inputs.mem]]
[[inputs.swap]]
[[inputs.system]]
[[inputs.kernel]]
[[inputs.disk]]
[[inputs.diskio]]
[[inputs.net]]
[[inputs.processes]]
[[inputs.procstat]]
  pattern = ".*"
`, address))
	p := programs.Start(t, programs.Command(t, "telegraf-host", "--config", config))
	page := "http://" + address + "/metrics"
	p.WaitHTTP(page, 30*time.Second)
	return []int{p.PID()}, page
}

// startNetdata starts the Netdata that is installed, with its own collectors.
func startNetdata(t *testing.T) ([]int, string) {
	path, err := exec.LookPath("netdata")
	if err != nil {
		t.Log("Netdata is not installed: left out")
		return nil, ""
	}
	address, arguments := freeAddress(t), []string{"-D", "-u", "root"}
	set := func(section, key, value string) { arguments = append(arguments, "-W", "set", section, key, value) }
	set("web", "bind to", address)
	for _, name := range []string{"cache", "lib", "log"} {
		set("directories", name, t.TempDir())
	}
	arguments = append(arguments, "-P", filepath.Join(t.TempDir(), "pid"))
	p := programs.Start(t, exec.CommandContext(t.Context(), path, arguments...))
	p.WaitHTTP("http://"+address+"/api/v1/info", 30*time.Second)
	wait(t, 5*time.Second) // Its collectors are processes of their own.
	return descendants(t, p.PID()), ""
}

// written writes a file for one test.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// descendants returns a process and all that it started.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lists {
			for word := range strings.FieldsSeq(read(t, l)) {
				all = append(all, int(number(t, word)))
			}
		}
	}
	return all
}

// cost is what a peer took in one window.
type cost struct {
	cpu                 float64 // Percent of a core.
	resident, anonymous float64 // Megabytes.
	written             float64 // Bytes per second that went to storage.
	calls               float64 // read and write calls per second.
	others              float64 // Cores that the rest of the machine used.
}

// ioOf returns the bytes that a process had written to storage, and its read and write
// calls, by /proc/PID/io.
func ioOf(t *testing.T, pid int) (written, calls float64) {
	t.Helper()
	for row := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/io", pid))) {
		key, value, _ := strings.Cut(strings.TrimSpace(row), ": ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("/proc/%d/io: %v", pid, err)
		}
		switch key {
		case "write_bytes":
			written += n
		case "cancelled_write_bytes":
			written -= n
		case "syscr", "syscw":
			calls += n
		}
	}
	return written, calls
}

// measurePeer runs one peer for one window; false if it is not installed.
func measurePeer(t *testing.T, one peer, p plan) (c cost, ok bool) {
	t.Run(one.name, func(t *testing.T) {
		pids, page := one.start(t)
		if len(pids) == 0 {
			return
		}
		if one.want != "" {
			wait(t, 2500*time.Millisecond) // Some have rates from the second reading on.
			if body, err := unpacked(fetch(t, page)); err != nil || !bytes.Contains(body, []byte(one.want)) {
				t.Fatalf("its page has no %s (%v): %.300s", one.want, err, body)
			}
		}
		var scraper *child
		if one.scraped {
			scraper = startChild(t, "scraper", page)
		}
		wait(t, p.warmUp)
		var accounts []*account
		for _, pid := range pids {
			accounts = append(accounts, openAccount(t, pid))
		}
		sum := func() (used time.Duration, written, calls float64) {
			for i, a := range accounts {
				used += a.usage(t)
				w, n := ioOf(t, pids[i])
				written, calls = written+w, calls+n
			}
			return used, written, calls
		}
		used, written, calls := sum()
		machine, began := machineBusy(t), time.Now()
		wait(t, p.window)
		usedAfter, writtenAfter, callsAfter := sum()
		elapsed := time.Since(began).Seconds()
		used, machine = usedAfter-used, machineBusy(t)-machine
		c = cost{
			cpu: 100 * used.Seconds() / elapsed, written: (writtenAfter - written) / elapsed, calls: (callsAfter - calls) / elapsed,
			others: (machine - used).Seconds() / elapsed,
		}
		for _, pid := range pids {
			c.resident, c.anonymous = c.resident+memory(t, pid, "VmRSS:"), c.anonymous+memory(t, pid, "RssAnon:")
		}
		if used <= 0 || c.anonymous <= 0 || c.calls <= 0 {
			t.Errorf("a value is missing: %+v", c)
		}
		if scraper != nil {
			if n, least := scraper.finish(t), int(p.window.Seconds())-1; n < least {
				t.Errorf("%d scrapes in more than %s", n, p.window)
			}
		}
		ok = true
		t.Logf("%.3f %%, %.1f MB (%.1f anonymous), %.1f kB/s written, %.0f calls/s, others %.2f cores", c.cpu, c.resident, c.anonymous, c.written/1e3, c.calls, c.others)
	})
	return c, ok
}

// TestPeers measures the agent beside what does the same work, in turn and in one run, and
// prints a table. SYSOTEL_BENCH_PEER is the binary of the build before,
// SYSOTEL_BENCH_PROCESSES says with how many processes on the machine.
func TestPeers(t *testing.T) {
	p, sizes := quick, []int{0}
	thoroughly := os.Getenv("SYSOTEL_BENCH") == "peers"
	if thoroughly {
		p, sizes = plan{warmUp: 15 * time.Second, window: 20 * time.Second, runs: 3}, []int{firstProcesses, fewProcesses, manyProcesses, 10_000}
		if words := strings.Fields(os.Getenv("SYSOTEL_BENCH_PROCESSES")); len(words) > 0 {
			sizes = nil
			for _, word := range words {
				sizes = append(sizes, int(number(t, word)))
			}
		}
	}
	binary := build(t)
	var table strings.Builder
	fmt.Fprintf(&table, "\nreading at 1 s, scrapes each second, %d x %s each, in turn, medians; CPU in percent of one core, measured by %s\n", p.runs, p.window, accountName(t))
	for _, processes := range sizes {
		t.Run(fmt.Sprint(processes, " processes"), func(t *testing.T) {
			crowd(t, processes)
			fmt.Fprintf(&table, "\n%d processes\n%-38s %8s %8s %8s %8s %10s %10s %8s\n", countProcesses(t), "", "CPU %", "ratio", "RSS MB", "anon MB", "kB/s", "calls/s", "others")
			var measured []peer
			for _, one := range peers(binary) {
				if one.quick || thoroughly {
					measured = append(measured, one)
				}
			}
			costs := make([][]cost, len(measured))
			for range p.runs {
				for i, one := range measured {
					if c, ok := measurePeer(t, one, p); ok {
						costs[i] = append(costs[i], c)
					}
				}
			}
			if len(costs[0]) == 0 { // -run has left the first one out.
				return
			}
			of := func(i int, f func(cost) float64) float64 {
				var values []float64
				for _, c := range costs[i] {
					values = append(values, f(c))
				}
				return middle(values)
			}
			cpu := func(c cost) float64 { return c.cpu }
			for i, one := range measured {
				if len(costs[i]) == 0 {
					continue
				}
				fmt.Fprintf(&table, "%-38s %8.3f %8.2f %8.1f %8.1f %10.1f %10.0f %8.2f\n", one.name, of(i, cpu), of(i, cpu)/of(0, cpu),
					of(i, func(c cost) float64 { return c.resident }), of(i, func(c cost) float64 { return c.anonymous }),
					of(i, func(c cost) float64 { return c.written })/1e3, of(i, func(c cost) float64 { return c.calls }),
					of(i, func(c cost) float64 { return c.others }))
			}
			t.Run("floor", func(t *testing.T) {
				a := startAgent(t, binary)
				wait(t, p.warmUp)
				floor := startChild(t, "floor", a.heldFiles(t)...)
				floor.line()
				own := openAccount(t, floor.pid())
				used, began := own.usage(t), time.Now()
				wait(t, p.window)
				spent := 100 * (own.usage(t) - used).Seconds() / time.Since(began).Seconds()
				fmt.Fprintf(&table, "%-38s %8.3f %8.2f\n", "only reading the files that we read", spent, spent/of(0, cpu))
				floor.stop()
			})
		})
	}
	table.WriteString("\nratio: to the first line; kB/s: to storage, without what was deleted before; calls: read and write\ncalls; others: cores used by the rest of the machine\n")
	fmt.Println(table.String())
}
