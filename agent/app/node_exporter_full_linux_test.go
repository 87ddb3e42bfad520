package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sysotel/instruments"
)

// boardLacks are the names that the public board 1860, Node Exporter Full, asks for and the
// agent does not have, and why.
var boardLacks = map[string]string{
	"node_interrupts_total":                          "a series for each interrupt of each processor; node_exporter has it off too",
	"node_kernel_hung_tasks":                         "node_exporter has it as node_kernel_hung_tasks_total, and so has the agent",
	"node_netstat_Tcp_MaxConn":                       "node_exporter leaves it out by default",
	"node_systemd_socket_accepted_connections_total": "units are not read; node_exporter has them off too",
	"node_systemd_socket_current_connections":        "as node_systemd_socket_accepted_connections_total",
	"node_systemd_socket_refused_connections_total":  "as node_systemd_socket_accepted_connections_total",
	"node_systemd_units":                             "as node_systemd_socket_accepted_connections_total",
	"node_textfile_scrape_error":                     "about node_exporter itself; sysotel_custom_success says how text files are",
	"process_cpu_seconds_total":                      "about node_exporter itself",
	"process_max_fds":                                "about node_exporter itself",
	"process_open_fds":                               "about node_exporter itself",
	"process_virtual_memory_bytes":                   "about node_exporter itself",
	"process_virtual_memory_max_bytes":               "about node_exporter itself",
}

// boardForms are expressions in the forms of the board; each Linux machine has data for them.
var boardForms = []string{
	`(1 - node_memory_MemAvailable_bytes{$} / node_memory_MemTotal_bytes{$}) * 100`,
	`100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle", $}[1m])))`,
	`sum by (instance) (irate(node_cpu_seconds_total{$,mode=~"system|iowait"}[1m])) / on (instance) group_left sum by (instance) (irate(node_cpu_seconds_total{$}[1m]))`,
	`scalar(node_load1{$}) * 100 / count(count(node_cpu_seconds_total{$}) by (cpu))`,
	`rate(node_network_receive_bytes_total{$}[1m]) * 8`,
	`rate(node_vmstat_pgfault{$}[1m]) - rate(node_vmstat_pgmajfault{$}[1m])`,
	`node_time_seconds{$} - node_boot_time_seconds{$}`,
	`node_memory_HugePages_Total{$} * node_memory_Hugepagesize_bytes{$}`,
	`node_processes_threads{$} / node_processes_max_threads{$} < 1`,
	`node_processes_pids{$} < node_processes_max_processes{$}`,
	`sum(node_processes_state{$}) by (state)`,
	`count(node_scrape_collector_success{$} == 1)`,
	`count by (nodename) (node_uname_info{$})`,
	`rate(node_context_switches_total{$}[1m])`,
	`node_sockstat_TCP_mem_bytes{$}`,
}

// TestNodeExporterFull: of the names that the board asks for the agent has all but those
// that are listed with a reason, its PromQL answers to each without an error, with the labels
// that the board selects by, and its forms of expressions give data. SYSOTEL_BOARD is a file
// of the board itself: then each of its expressions is evaluated too.
func TestNodeExporterFull(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/node_exporter_full.txt")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]bool{}
	for _, n := range instruments.NodeNames() {
		table[n.Name] = true
	}
	asked := strings.Fields(string(text))
	var there []string
	for _, name := range asked {
		switch reason := boardLacks[name]; {
		case table[name] && reason != "":
			t.Errorf("%s is there, and yet it is listed: %s", name, reason)
		case table[name]:
			there = append(there, name)
		case reason == "":
			t.Errorf("%s is not there", name)
		}
	}
	for name := range boardLacks {
		if !slices.Contains(asked, name) {
			t.Errorf("the board does not ask for %s", name)
		}
	}
	if least := 210; len(there) < least {
		t.Errorf("%d of %d names are there, want %d", len(there), len(asked), least)
	}

	a := run(t, configure(t, "--prometheus.node-exporter=full"))
	p := &prometheusServer{tb: t, client: a.socket, url: "http://localhost/prometheus"}
	a.ticks(4)
	selector := `instance=~".+",job="node"`
	poll(t, func() error {
		for _, form := range boardForms {
			samples, _, err := p.query(strings.ReplaceAll(form, "$", selector))
			if err != nil {
				return fmt.Errorf("%s: %w", form, err)
			}
			if len(samples) == 0 {
				return fmt.Errorf("%s gives nothing", form)
			}
		}
		return nil
	})
	data, none := evaluateAll(t, p, there, func(name string) string { return name + "{" + selector + "}" })
	t.Logf("%d of %d names that the board asks for are there, %d have data; this machine has none for %s", len(there), len(asked), data, strings.Join(none, " "))
	if least := 130; data < least {
		t.Errorf("only %d names have data", data)
	}
	if file := os.Getenv("SYSOTEL_BOARD"); file != "" {
		expressions := boardExpressions(t, file)
		data, none := evaluateAll(t, p, expressions, func(e string) string {
			return strings.NewReplacer("$__rate_interval", "1m", "$__interval", "1m", "$__range", "1m", `="$node"`, `=~".+"`, `="$job"`, `="node"`, `"$nodename"`, `".+"`).Replace(e)
		})
		t.Logf("of %d expressions %d give data; these give none:\n%s", len(expressions), data, strings.Join(none, "\n"))
	}
}

// evaluateAll evaluates expressions, and returns how many give data and which do not.
func evaluateAll(t *testing.T, p *prometheusServer, all []string, of func(string) string) (data int, none []string) {
	t.Helper()
	for _, one := range all {
		samples, _, err := p.query(of(one))
		switch {
		case err != nil:
			t.Errorf("%s: %v", one, err)
		case len(samples) == 0:
			none = append(none, one)
		default:
			data++
		}
	}
	return data, none
}

// boardExpressions are those of the panels of a board, each once.
func boardExpressions(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var board any
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(any)
	walk = func(part any) {
		switch part := part.(type) {
		case map[string]any:
			if e, ok := part["expr"].(string); ok {
				found[e] = true
			}
			for _, one := range part {
				walk(one)
			}
		case []any:
			for _, one := range part {
				walk(one)
			}
		}
	}
	walk(board)
	return slices.Sorted(maps.Keys(found))
}
