package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// guarded makes the agent require a login on this machine too.
const guarded = "--auth.mode=always"

// agent is the real program, with a data directory and a port that survive a restart.
type agent struct {
	*programs.Process
	tb   testing.TB
	args []string
	url  string
	dir  string // Its data.
}

// startAgent builds the agent with the latest build of the web app, starts it and
// waits until it responds.
func startAgent(tb testing.TB, flags ...string) *agent {
	tb.Helper()
	a := newAgent(tb, flags...)
	a.start()
	return a
}

// newAgent builds an agent without starting it.
func newAgent(tb testing.TB, flags ...string) *agent {
	tb.Helper()
	if _, err := os.Stat("../web/dist/index.html"); err != nil {
		missing(tb, "the web app is not built; make build does")
	}
	program, err := buildAgent()
	if err != nil {
		tb.Fatal(err)
	}
	// A socket's path must be short, and the name of a test can be long.
	dir, err := os.MkdirTemp("", "so") //nolint:usetesting // See above.
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	address := "127.0.0.1:" + strconv.Itoa(programs.FreePort(tb))
	a := &agent{tb: tb, url: "http://" + address, dir: dir}
	a.args = append([]string{program, "run", "--data-dir=" + dir, "--http.listen=" + address, "--prometheus.listen=127.0.0.1:0"}, flags...)
	return a
}

// buildAgent builds the agent once for all tests, and returns the program.
var buildAgent = sync.OnceValues(func() (string, error) {
	dir, err := programDir()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "sysotel")
	if output, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "sysotel/agent").CombinedOutput(); err != nil { //nolint:noctx // It is for all tests.
		return "", fmt.Errorf("build the agent: %w\n%s", err, output)
	}
	return program, nil
})

// command returns a command of the agent's program.
func (a *agent) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(a.tb.Context(), a.args[0], args...)
	// Variables for the tests are not options of the agent.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SYSOTEL_") })
	return cmd
}

func (a *agent) start() {
	a.tb.Helper()
	cmd := a.command(a.args[1:]...)
	a.Process = programs.Start(a.tb, cmd)
	ready := "/api/v1/metrics/current"
	if slices.Contains(a.args, guarded) {
		ready = "/api/v1/health" // What else there is asks who comes.
	}
	a.WaitHTTP(a.url+ready, patience)
}

// stop stops the agent as a service manager does.
func (a *agent) stop() {
	a.tb.Helper()
	if err := a.Stop(); err != nil {
		a.tb.Fatalf("stop the agent: %v", err)
	}
}

// get requests a document from the agent.
func (a *agent) get(path string, to any) {
	a.tb.Helper()
	request, err := http.NewRequestWithContext(a.tb.Context(), http.MethodGet, a.url+path, nil)
	if err != nil {
		a.tb.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		a.tb.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(to); err != nil || response.StatusCode != http.StatusOK {
		a.tb.Fatalf("%s: %s %v", path, response.Status, err)
	}
}

// tick returns the number and time of the newest reading.
func (a *agent) tick() (number int, at time.Time) {
	a.tb.Helper()
	var current struct {
		Tick      int
		Timestamp time.Time
	}
	a.get("/api/v1/metrics/current", &current)
	return current.Tick, current.Timestamp
}

// ticks waits for n readings of this run.
func (a *agent) ticks(n int) {
	a.tb.Helper()
	await(a.tb, func() error {
		if number, _ := a.tick(); number < n {
			return fmt.Errorf("tick %d, want %d", number, n)
		}
		return nil
	})
}
