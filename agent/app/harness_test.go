package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sysotel/agent/config"
	"sysotel/api"
	"sysotel/otel-collector/programs"
)

// patience bounds the wait for what normally takes a moment.
const patience = time.Minute

// configure returns a configuration from the defaults and flags, with its own data
// directory and free ports unless the flags set them.
func configure(tb testing.TB, flags ...string) config.Config {
	tb.Helper()
	// A socket's path must be short, and the name of a test can be long.
	dir, err := os.MkdirTemp("", "so") //nolint:usetesting // See above.
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, flag := range []string{"--data-dir=" + dir, "--http.listen=127.0.0.1:0", "--prometheus.listen=127.0.0.1:0"} {
		name, _, _ := strings.Cut(flag, "=")
		if !slices.ContainsFunc(flags, func(f string) bool { return strings.HasPrefix(f, name+"=") }) {
			flags = append(flags, flag)
		}
	}
	return load(tb, flags...)
}

// load returns a configuration from flags only.
func load(tb testing.TB, flags ...string) config.Config {
	tb.Helper()
	c, invalid := config.Load(config.Options{Args: flags})
	if len(invalid) > 0 {
		tb.Fatalf("the test's configuration is invalid: %v", invalid)
	}
	return c
}

// agent is an App that runs for a test, with its log.
type agent struct {
	*App
	tb      testing.TB
	journal *journal
	socket  *http.Client
	started time.Time
}

// run starts an agent and stops it when the test ends.
func run(tb testing.TB, c config.Config) *agent {
	tb.Helper()
	a := &agent{tb: tb, journal: &journal{changed: make(chan struct{})}, socket: unixClient(c), started: time.Now()}
	var err error
	a.App, err = New(Options{Config: c, Version: "test", Log: slog.New(slog.NewJSONHandler(a.journal, nil))})
	if err != nil {
		tb.Fatal(err)
	}
	a.Start()
	tb.Cleanup(func() {
		if err := a.Stop(); err != nil {
			tb.Errorf("stop the agent: %v", err)
		}
		a.socket.CloseIdleConnections()
		select {
		case err := <-a.Failed():
			tb.Errorf("a component of the agent ended by itself: %v", err)
		default:
		}
		if tb.Failed() {
			tb.Logf("the agent's log:\n%s", a.journal)
		}
	})
	return a
}

// unixClient returns a client for the agent's Unix socket.
func unixClient(c config.Config) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.DataDir, SocketName))
		},
	}}
}

// tick waits until the next tick's readings are complete and returns its time.
func (a *agent) tick() time.Time {
	a.tb.Helper()
	_, _, next := a.readings.sampler.Tick()
	select {
	case <-next:
	case <-time.After(patience):
		a.tb.Fatal("no tick within a minute")
	}
	_, at, _ := a.readings.sampler.Tick()
	return at
}

// ticks waits for several ticks.
func (a *agent) ticks(n int) {
	a.tb.Helper()
	for range n {
		a.tick()
	}
}

// get requests a path through the agent's Unix socket.
func get(tb testing.TB, client *http.Client, path string) []byte {
	tb.Helper()
	body, err := ask(tb.Context(), client, path)
	if err != nil {
		tb.Fatal(err)
	}
	return body
}

func ask(ctx context.Context, client *http.Client, path string) ([]byte, error) {
	return fetch(ctx, client, "http://localhost"+path)
}

// request sends a GET request.
func request(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}

// fetch returns the body of a successful GET request.
func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	response, err := request(ctx, client, url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return wholeBody(response)
}

// wholeBody returns the body of a successful response.
func wholeBody(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", response.Request.URL, response.Status, body)
	}
	return body, err
}

// current gets the newest reading.
func current(tb testing.TB, client *http.Client) *api.Current {
	tb.Helper()
	var c api.Current
	decode(tb, get(tb, client, "/api/v1/metrics/current"), &c)
	return &c
}

// stream follows the agent's live stream until the context ends.
func stream(ctx context.Context, tb testing.TB, client *http.Client) <-chan *api.Current {
	tb.Helper()
	endless := &http.Client{Transport: client.Transport}
	response, err := request(ctx, endless, "http://localhost/api/v1/metrics/stream")
	if err != nil {
		tb.Fatal(err)
	}
	readings := make(chan *api.Current)
	go func() {
		defer close(readings)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		text := ""
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				text = data
			}
			// An event ends with an empty line; the agent may be killed before.
			if lines.Text() != "" || text == "" {
				continue
			}
			var c api.Current
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				tb.Errorf("the stream sent %.200s: %v", text, err)
				return
			}
			text = ""
			select {
			case readings <- &c:
			case <-ctx.Done():
				return
			}
		}
	}()
	return readings
}

// processes gets the process table.
func processes(tb testing.TB, client *http.Client, query string) *api.Processes {
	tb.Helper()
	var p api.Processes
	decode(tb, get(tb, client, "/api/v1/metrics/processes?"+query), &p)
	return &p
}

// row gets the row of one process.
func row(tb testing.TB, client *http.Client, pid int) *api.ProcessRow {
	tb.Helper()
	all := processes(tb, client, fmt.Sprintf("top=1000&sort=pid&q=%d", pid)).Processes
	i := slices.IndexFunc(all, func(p api.ProcessRow) bool { return p.PID == pid })
	if i < 0 {
		tb.Fatalf("the process table has no process %d", pid)
	}
	return &all[i]
}

func decode(tb testing.TB, text []byte, to any) {
	tb.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		tb.Fatalf("decode %.200s: %v", text, err)
	}
}

// page is a parsed scrape page.
type page map[string]*dto.MetricFamily

// scrape gets the scrape page.
func scrape(tb testing.TB, client *http.Client) page {
	tb.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(get(tb, client, "/metrics")))
	if err != nil {
		tb.Fatalf("parse the scrape page: %v", err)
	}
	return families
}

// sum adds up the series of a metric that have all the labels, given in pairs, and
// reports whether there is any.
func (p page) sum(name string, labels ...string) (total float64, found bool) {
	for _, m := range p[name].GetMetric() {
		if hasLabels(m, labels) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
			found = true
		}
	}
	return total, found
}

func hasLabels(m *dto.Metric, pairs []string) bool {
	have := map[string]string{}
	for _, l := range m.GetLabel() {
		have[l.GetName()] = l.GetValue()
	}
	for i := 0; i < len(pairs); i += 2 {
		if have[pairs[i]] != pairs[i+1] {
			return false
		}
	}
	return true
}

// journal keeps what an agent logs, one JSON object a line.
type journal struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

// readJournal reads the log file of an agent in another process.
func readJournal(tb testing.TB, path string) *journal {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return &journal{lines: slices.Collect(strings.Lines(string(text)))}
}

// Write implements io.Writer; slog passes whole lines.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(b))
	close(j.changed)
	j.changed = make(chan struct{})
	return len(b), nil
}

// String returns the whole journal.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines, "")
}

// find returns the records with these fields.
func (j *journal) find(tb testing.TB, fields map[string]any) (found []map[string]any) {
	tb.Helper()
	j.mu.Lock()
	lines := slices.Clone(j.lines)
	j.mu.Unlock()
	for _, line := range lines {
		var record map[string]any
		decode(tb, []byte(line), &record)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(fields)), func(k string) bool { return record[k] != fields[k] }) {
			found = append(found, record)
		}
	}
	return found
}

// await waits for a record with these fields.
func (j *journal) await(tb testing.TB, fields map[string]any) map[string]any {
	tb.Helper()
	deadline := time.After(patience)
	for {
		j.mu.Lock()
		changed := j.changed
		j.mu.Unlock()
		if found := j.find(tb, fields); len(found) > 0 {
			return found[0]
		}
		select {
		case <-changed:
		case <-deadline:
			tb.Fatalf("nothing like %v was logged:\n%s", fields, j)
		}
	}
}

// missed returns the seconds that the agent logged as missed.
func (j *journal) missed(tb testing.TB) map[time.Time]bool {
	tb.Helper()
	missed := map[time.Time]bool{}
	for _, r := range j.find(tb, map[string]any{"event": "gap", "msg": "ticks were missed"}) {
		from, to := parseTime(tb, r["from"]), parseTime(tb, r["to"])
		for at := from; !at.After(to); at = at.Add(time.Second) {
			missed[at] = true
		}
	}
	return missed
}

func parseTime(tb testing.TB, v any) time.Time {
	tb.Helper()
	at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(v))
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

// poll calls f until it returns nil, for at most patience.
func poll(tb testing.TB, f func() error) {
	tb.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			tb.Fatalf("after %s: %v", patience, err)
		case <-tb.Context().Done():
			tb.Fatal(err)
		}
	}
}

// requireRoot skips a test that needs root, and fails it in CI, where a skip would go
// unnoticed.
func requireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		tb.Fatal("this test needs root (network namespaces, loop devices, mounts), and CI must run it")
	}
	tb.Skip("needs root: it makes network namespaces, loop devices and mounts")
}

// command runs a program to its end and returns what it printed.
func command(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	output, err := exec.CommandContext(tb.Context(), name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// undo runs a program when the test ends, after the test's context has ended.
func undo(tb testing.TB, name string, args ...string) {
	tb.Helper()
	tb.Cleanup(func() {
		output, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput()
		if err != nil {
			tb.Errorf("clean up: %s %s: %v\n%s", name, strings.Join(args, " "), err, output)
		}
	})
}

// child is this test program in another process, doing one of the jobs in
// children_test.go. It answers each line with a line of JSON.
type child struct {
	*programs.Process
	tb      testing.TB
	input   io.WriteCloser
	answers chan string
}

// childVariable names the job of a child.
const childVariable = "SYSOTEL_TEST_CHILD"

// self is the path of this test program.
func self(tb testing.TB) string {
	tb.Helper()
	path, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// spawn starts a child for a job. wrap is a command line to run it with, such as ip
// netns exec NAME, nil for none. name is the child's name in the process table.
func spawn(tb testing.TB, job, name string, wrap []string, args ...string) *child {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.Symlink(self(tb), path); err != nil {
		tb.Fatal(err)
	}
	line := slices.Concat(wrap, []string{path}, args)
	cmd := exec.CommandContext(tb.Context(), line[0], line[1:]...)
	cmd.Env = append(os.Environ(), childVariable+"="+job)
	input, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	output, far, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stdout = far
	c := &child{Process: programs.Start(tb, cmd), tb: tb, input: input, answers: make(chan string, 16)}
	_ = far.Close()
	go func() {
		defer close(c.answers)
		defer output.Close()
		for lines := bufio.NewScanner(output); lines.Scan(); {
			c.answers <- lines.Text()
		}
	}()
	c.answer(nil)
	return c
}

// send writes a line to the child's input.
func (c *child) send(format string, args ...any) {
	c.tb.Helper()
	if _, err := fmt.Fprintf(c.input, format+"\n", args...); err != nil {
		c.tb.Fatalf("write to the child: %v", err)
	}
}

// answer waits for the child's next answer.
func (c *child) answer(to any) {
	c.tb.Helper()
	select {
	case line, ok := <-c.answers:
		if !ok {
			c.tb.Fatalf("the child ended: %v\n%s", c.Err(), c.Output())
		}
		if to != nil {
			decode(c.tb, []byte(line), to)
		}
	case <-time.After(2 * patience):
		c.tb.Fatal("no answer from the child")
	}
}

// Addr is the address of the API.
func (a *App) Addr() net.Addr { return a.server.Addr() }

// ScrapeAddr is the address of the scrape page, nil if it has no listener.
func (a *App) ScrapeAddr() net.Addr {
	if a.scrape == nil {
		return nil
	}
	return a.scrape.Addr()
}
