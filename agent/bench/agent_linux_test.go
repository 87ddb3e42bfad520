package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build returns the path of the agent's binary: the one of `make build` if no source is
// newer, else it builds one.
func build(t *testing.T) string {
	t.Helper()
	if made := filepath.Join("..", "..", "bin", "sysotel"); isFresh(t, made) {
		return made
	}
	binary := filepath.Join(t.TempDir(), "sysotel")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w", "-o", binary, "sysotel/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	return binary
}

// isFresh reports whether a binary exists and is newer than its sources.
func isFresh(t *testing.T, binary string) bool {
	t.Helper()
	info, err := os.Stat(binary)
	if err != nil {
		return false
	}
	fresh := true
	for _, from := range []string{"agent", "api", "instruments", "go.mod", "go.sum"} {
		err := filepath.WalkDir(filepath.Join("..", "..", from), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := d.Info()
			if err == nil && source.ModTime().After(info.ModTime()) {
				fresh = false
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return fresh
}

func binarySize(t *testing.T, binary string) int64 {
	t.Helper()
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// wait waits in real time.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("the test was stopped")
	}
}

// diesWithUs kills a process when this one ends, even without cleanup after the test's
// time limit.
var diesWithUs = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

// agent is a running sysotel.
type agent struct {
	command *exec.Cmd
	address string // Address of its API.
	started time.Time
	log     *logged
	died    chan struct{}
}

// logged is the log of the agent.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// hostName is the host name in every metric, also of the history that the tests write.
const hostName = "bench"

// startAgent starts the agent on an empty data directory and returns when it has logged
// its address.
func startAgent(t *testing.T, binary string, arguments ...string) *agent {
	t.Helper()
	// The agent's socket is in there, and the path of a socket must be short.
	directory, err := os.MkdirTemp("", "so") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return startAgentOn(t, binary, directory, arguments...)
}

// startAgentOn starts the agent on a data directory.
func startAgentOn(t *testing.T, binary, directory string, arguments ...string) *agent {
	t.Helper()
	arguments = append([]string{
		"run", "--data-dir", directory, "--host.name", hostName, "--http.listen", "127.0.0.1:0", "--prometheus.listen", "127.0.0.1:0",
		"--rate-limit.enabled=false", // To measure the agent's own limits.
	}, arguments...)
	a := &agent{command: exec.Command(binary, arguments...), log: &logged{}, died: make(chan struct{})}
	// Ignore this shell's configuration of the agent, but pass variables of the Go runtime
	// on, to compare settings.
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SYSOTEL_") && !strings.HasPrefix(v, "OTEL_") {
			a.command.Env = append(a.command.Env, v)
		}
	}
	stderr, err := a.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.command.SysProcAttr = diesWithUs
	a.started = time.Now()
	if err := a.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	address := make(chan string, 1)
	go func() {
		defer close(a.died)
		apiAddress := regexp.MustCompile(`api=http://(\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			a.log.add(lines.Text())
			if m := apiAddress.FindStringSubmatch(lines.Text()); m != nil && len(address) == 0 {
				address <- m[1]
			}
		}
		_ = a.command.Wait()
	}()
	select {
	case a.address = <-address:
	case <-a.died:
		t.Fatalf("the agent died:\n%s", a.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("the agent does not log its address:\n%s", a.log)
	}
	return a
}

func (a *agent) pid() int { return a.command.Process.Pid }

func (a *agent) stop() {
	_ = a.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.died:
	case <-time.After(10 * time.Second):
		_ = a.command.Process.Kill()
		<-a.died
	}
}

// get requests a path of the agent's API.
func (a *agent) get(t *testing.T, path string) (status int, body []byte) {
	t.Helper()
	response, err := http.Get("http://" + a.address + path)
	if err != nil {
		t.Fatalf("%v; the agent's log:\n%s", err, a.log)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// check fails the test if the agent did not work correctly while it was measured.
func (a *agent) check(t *testing.T, processes bool) {
	t.Helper()
	select {
	case <-a.died:
		t.Fatalf("the agent died:\n%s", a.log)
	default:
	}
	a.checkFresh(t)
	status, body := a.get(t, "/api/v1/metrics/processes")
	if has := status == http.StatusOK && bytes.Contains(body, []byte(`"pid":`)); has != processes {
		t.Errorf("/processes: %d %.300s; want a process table: %t", status, body, processes)
	}
	for row := range strings.Lines(a.log.String()) {
		// Missed seconds are due to the machine, failed collectors are not.
		if strings.Contains(row, "collector failed") && !strings.Contains(row, "cause=timeout") {
			t.Errorf("while it was measured: %s", row)
		}
	}
}

// checkFresh waits until /current has fresh and complete readings: rates are there from
// the second tick on.
func (a *agent) checkFresh(t *testing.T) {
	t.Helper()
	for began := time.Now(); ; wait(t, 50*time.Millisecond) {
		var current struct {
			Timestamp time.Time `json:"timestamp"`
			CPU       struct {
				Usage *float64 `json:"usage_percent"`
			} `json:"cpu"`
			Memory struct {
				Total *float64 `json:"total"`
			} `json:"memory"`
		}
		status, body := a.get(t, "/api/v1/metrics/current")
		if err := json.Unmarshal(body, &current); err != nil || status != http.StatusOK {
			t.Fatalf("/current: %d %s (%v)", status, body, err)
		}
		if current.CPU.Usage != nil && current.Memory.Total != nil && time.Since(current.Timestamp) < 5*time.Second {
			return
		}
		if time.Since(began) > 10*time.Second {
			t.Errorf("/current has no fresh readings: %s", body)
			return
		}
	}
}

// heldFiles returns the files of /proc and /sys that the agent keeps open, which it reads
// at every tick.
func (a *agent) heldFiles(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", a.pid()))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, l := range links {
		to, err := os.Readlink(l)
		if err == nil && (to == "/proc" || strings.HasPrefix(to, "/proc/") || strings.HasPrefix(to, "/sys/")) {
			files = append(files, to)
		}
	}
	// Sort them by PID, the order in which the agent reads them, because the order
	// affects the cost.
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	if len(files) < 5 {
		t.Fatalf("the agent holds only %v open", files)
	}
	return files
}

// crowd starts sleeping processes until the machine has the given number of processes.
func crowd(t *testing.T, processes int) {
	t.Helper()
	for range processes - countProcesses(t) - 2 { // Without the agent and the floor.
		c := exec.Command("sleep", "1800")
		c.SysProcAttr = diesWithUs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
		})
	}
}

// measureStart returns the time from the start of the process to its first response with
// a reading. Without a directory the agent starts without history.
func measureStart(t *testing.T, binary, directory string, p plan) time.Duration {
	var took []time.Duration
	for range p.starts {
		t.Run("start", func(t *testing.T) {
			on := directory
			if on == "" {
				on = t.TempDir()
			}
			a := startAgentOn(t, binary, on)
			for {
				if status, _ := a.get(t, "/api/v1/metrics/current"); status == http.StatusOK {
					break
				}
				if time.Since(a.started) > 30*time.Second {
					t.Fatalf("no reading within 30 s:\n%s", a.log)
				}
				wait(t, 2*time.Millisecond)
			}
			took = append(took, time.Since(a.started))
		})
	}
	if len(took) == 0 {
		t.FailNow()
	}
	return middle(took)
}

type scrape struct {
	took          time.Duration
	plain, packed int
}

// measureScrape measures one compressed scrape.
func measureScrape(t *testing.T, binary string, p plan) (s scrape) {
	t.Run("scrape", func(t *testing.T) {
		crowd(t, fewProcesses)
		a := startAgent(t, binary)
		wait(t, p.warmUp)
		var took []time.Duration
		for range scrapesToTime {
			began := time.Now()
			body := fetch(t, "http://"+a.address+"/metrics")
			took = append(took, time.Since(began))
			plain, err := unpacked(body)
			if err != nil || !bytes.Contains(plain, []byte("system_cpu_time_seconds_total{")) {
				t.Fatalf("the page has no CPU time (%v): %.300s", err, plain)
			}
			s.plain, s.packed = len(plain), len(body)
		}
		s.took = middle(took)
	})
	if s.took == 0 {
		t.FailNow()
	}
	return s
}

func fetch(t *testing.T, url string) []byte {
	t.Helper()
	body, err := fetchPacked(url)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// fetchPacked requests a page as Prometheus does.
func fetchPacked(url string) ([]byte, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Encoding") != "gzip" {
		return nil, fmt.Errorf("%s: %s, encoding %q", url, response.Status, response.Header.Get("Content-Encoding"))
	}
	return io.ReadAll(response.Body)
}

func unpacked(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
