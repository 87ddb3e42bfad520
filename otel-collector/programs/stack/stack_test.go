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

// patience bounds the wait for what normally takes a moment.
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

// testStack returns a stack with its own folder and free ports. The agent is not built
// yet.
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

// taken returns an error that names the stack's ports in use, nil for none.
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

// ask returns the body of a response with status 200.
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
		err = fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return string(body), err
}

// TestStack starts what `make stack` starts, waits until the agent's readings are in
// VictoriaMetrics, stops everything, and does so again.
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
			// These readings came through the Collector.
			text, err := ask(ctx, "http://"+s.at(8428)+"/api/v1/query?query=system_memory_limit_bytes")
			targets, err2 := ask(ctx, "http://"+s.at(9090)+"/api/v1/targets")
			n := strings.Count(targets, `"scrapeUrl"`) // The agent, the Collector, four nodes and itself.
			if err == nil && err2 == nil && strings.Contains(text, `"host_name"`) && n == 7 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the node returns %s, %v; Prometheus has %d targets, %v", text, err, n, err2)
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

// TestStackPortTaken: if a port is in use nothing is started, and the error names the
// program, the port and the remedy.
func TestStackPortTaken(t *testing.T) {
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

// TestStackPartFails: if a program fails to start all are stopped, and the error has the
// end of its log.
func TestStackPartFails(t *testing.T) {
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
