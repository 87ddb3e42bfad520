package notify

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"sysotel/agent/secret"
)

const (
	childDir = "SYSOTEL_NOTIFY_CHILD_DIR"
	childURL = "SYSOTEL_NOTIFY_CHILD_URL"
)

// childOptions is what the child and the test open.
func childOptions(dir, url string) Options {
	c := Defaults()
	c.GroupWait = 0
	c.Channels = []ChannelConfig{
		{Name: "chat", MaxPerHour: 3600, Slack: SlackConfig{URL: secret.Text(url)}},
		{Name: "file", MaxPerHour: 3600, Log: LogConfig{File: "alerts.log"}},
	}
	return Options{Config: c, DataDir: dir, Host: "h", Log: slog.New(slog.DiscardHandler)}
}

// runChild is the process that is killed: it delivers a notice for every line that it
// reads, and confirms it.
func runChild() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	n, err := Open(context.Background(), childOptions(dir, os.Getenv(childURL)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() { _ = n.Run(context.Background()) }()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := n.Deliver(context.Background(), firing(lines.Text())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("safe " + lines.Text())
	}
	os.Exit(1)
}

// TestKill: a process killed between the response to one message and the next one
// does not send the first again and sends the second once.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	counts := map[string]int{}
	closed := true // whether the receiver answers 503
	arrived := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		for _, name := range []string{"first", "second", "third"} {
			if strings.Contains(string(body), "FIRING "+name) {
				if name != "first" && closed {
					w.WriteHeader(http.StatusServiceUnavailable)
					arrived <- name + " in vain"
					continue
				}
				counts[name]++
				arrived <- name
			}
		}
	}))
	defer server.Close()

	in, out, kill := startChild(t, dir, server.URL)
	say(t, in, out, "first")
	if name := <-arrived; name != "first" {
		t.Fatalf("%s came first", name)
	}
	// The acknowledgement is on disk when the next message is tried.
	say(t, in, out, "second")
	if name := <-arrived; name != "second in vain" {
		t.Fatalf("%s came second", name)
	}
	kill()
	mu.Lock()
	closed = false
	mu.Unlock()

	in, out, kill = startChild(t, dir, server.URL)
	say(t, in, out, "first") // What was handed over once may be so again.
	if name := <-arrived; name != "second" {
		t.Errorf("%s came again", name)
	}
	say(t, in, out, "third")
	if name := <-arrived; name != "third" {
		t.Errorf("%s came again", name)
	}
	kill()
	mu.Lock()
	defer mu.Unlock()
	want(t, "what came", counts, map[string]int{"first": 1, "second": 1, "third": 1})
	lines, err := os.ReadFile(dir + "/log/alerts.log")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		want(t, "lines about "+name, strings.Count(string(lines), `"message":"FIRING `+name), 1)
	}
}

// startChild starts the child; kill kills it with -9.
func startChild(t *testing.T, dir, url string) (in io.Writer, out *bufio.Scanner, kill func()) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+url)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return in, bufio.NewScanner(said), func() {
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := child.Wait(); err == nil {
			t.Error("the child ended by itself")
		}
	}
}

// say passes the child a notice and waits until it is on disk.
func say(t *testing.T, in io.Writer, out *bufio.Scanner, name string) {
	t.Helper()
	if _, err := io.WriteString(in, name+"\n"); err != nil {
		t.Fatal(err)
	}
	if !out.Scan() || out.Text() != "safe "+name {
		t.Fatalf("the child says %q", out.Text())
	}
}
