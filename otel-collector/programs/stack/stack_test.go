//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what takes a moment when all is well.
const patience = time.Minute

// terminal is what the stack prints.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// testStack is a stack in a folder of its own, on ports where nothing listens. Its
// agent is still to be built.
func testStack(t *testing.T) *stack {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// The agent's socket is in there, and the path of a socket must be short.
	folder, err := os.MkdirTemp(filepath.Join(root, "bin"), "stack-test-") //nolint:usetesting // See above.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	relative, err := filepath.Rel(root, folder)
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{root: root, folder: relative, agent: filepath.Join(folder, "sysotel"), output: &terminal{}}
	for s.shift = 10000 + os.Getpid()%20000; s.taken(t) != nil; s.shift += 7 {
		if s.shift > 40000 {
			t.Fatal("no free ports for a whole stack")
		}
	}
	return s
}

// taken tells which of the stack's ports somebody has.
func (s *stack) taken(t *testing.T) error {
	t.Helper()
	parts, err := s.parts(map[string]string{})
	if err != nil {
		t.Fatal(err)
	}
	return s.free(t.Context(), parts)
}

// await waits until the stack has printed a text.
func await(t *testing.T, s *stack, text string, ended <-chan error) {
	t.Helper()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	deadline := time.After(2 * patience)
	for !strings.Contains(fmt.Sprint(s.output), text) {
		select {
		case <-ticker.C:
		case err := <-ended:
			t.Fatalf("the stack ended with %v, and printed %s", err, s.output)
		case <-deadline:
			t.Fatalf("the stack does not print %q but %s", text, s.output)
		}
	}
}

// ask returns the body of a good answer, else what is wrong.
func ask(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %s", url, response.Status, body)
	}
	return string(body), err
}

// TestStack starts everything that `make stack` does, has the agent answer from
// VictoriaMetrics what it sent there, stops everything, and does so again.
func TestStack(t *testing.T) {
	s := testStack(t)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", s.agent, "./agent")
	build.Dir, build.Env = s.root, append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, output)
	}
	for range 2 {
		s.output = &terminal{}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- start(ctx, s) }()
		await(t, s, "The stack is up", ended)
		deadline := time.Now().Add(patience)
		for {
			// The node answers two seconds late, so this is what went the whole way.
			text, err := ask(ctx, "http://"+s.at(8428)+"/api/v1/query?query=system_memory_limit_bytes")
			targets, err2 := ask(ctx, "http://"+s.at(9090)+"/api/v1/targets")
			n := strings.Count(targets, `"scrapeUrl"`) // The agent, the Collector, four nodes and itself.
			if err == nil && err2 == nil && strings.Contains(text, `"host_name"`) && n == 7 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the node answers %s, %v; Prometheus has %d targets, %v", text, err, n, err2)
			}
			<-time.After(100 * time.Millisecond)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the stack ended with %v", err)
		}
		if err := s.taken(t); err != nil {
			t.Errorf("after the stop something still runs: %v", err)
		}
	}
}

// TestStackSaysWhatIsTaken: where a port is taken nothing is started, and the
// error names the program, the port and the way out.
func TestStackSaysWhatIsTaken(t *testing.T) {
	s := testStack(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", s.at(9090))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	err = start(t.Context(), s)
	for _, words := range []string{"prometheus", s.at(9090), "address already in use", "SHIFT=", "nothing was started"} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("the error is %v; it should say %q", err, words)
		}
	}
	if _, err := os.Stat(filepath.Join(s.root, s.folder, "logs")); !os.IsNotExist(err) {
		t.Errorf("something was started: %v", err)
	}
}

// TestStackEndsWithItsPart: a program that does not start takes all others along,
// and the error has the end of its log.
func TestStackEndsWithItsPart(t *testing.T) {
	s := testStack(t)
	if err := os.WriteFile(s.agent, []byte("#!/bin/sh\necho this is why\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := start(t.Context(), s); err == nil || !strings.Contains(err.Error(), "sysotel ended before it was ready (exit status 3)") || !strings.Contains(err.Error(), "this is why") {
		t.Errorf("the stack ended with %v", err)
	}
	if err := s.taken(t); err != nil {
		t.Errorf("after the end something still runs: %v", err)
	}
}
