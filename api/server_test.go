package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysotel/agent/health"
)

func TestNewSaysWhatIsMissing(t *testing.T) {
	whole := Options{Machine: ticked(), Health: func() []health.Component { return nil }, Logger: quiet}
	for says, break_ := range map[string]func(*Options){
		"Machine": func(o *Options) { o.Machine = nil },
		"Health":  func(o *Options) { o.Health = nil },
		"Logger":  func(o *Options) { o.Logger = nil },
	} {
		o := whole
		break_(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

func TestPortTaken(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Close() }()
	address := holder.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	err = newTestServer(t, ticked(), func(o *Options) { o.Config.Listen = address }).Listen()
	if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), port) || !strings.Contains(err.Error(), "--http.listen") {
		t.Errorf("%v", err)
	}
	if runtime.GOOS != "windows" && !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v hides the system's error", err)
	}
	err = NewScrape(address, "", http.NotFoundHandler(), RateLimitConfig{}, quiet).Listen()
	if !errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "--prometheus.listen") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"nonsense", "127.0.0.1:99999", "192.0.2.1:8080"} {
		err := newTestServer(t, ticked(), func(o *Options) { o.Config.Listen = bad }).Listen()
		if err == nil || errors.Is(err, ErrPortTaken) || !strings.Contains(err.Error(), "--http.listen") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestUnixSocketIsForAdministrators(t *testing.T) {
	path := filepath.Join(shortDir(t), "sysotel.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close() // As a killed agent leaves it.

	s := newTestServer(t, ticked(), func(o *Options) { o.Socket = path })
	s.routes.page(http.MethodGet, "/admins", Access{Role: Admin, Guarded: true}, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, callerOf(r.Context()).Role) })
	t.Run("serve", func(t *testing.T) {
		address := run(t, s)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
			t.Errorf("the socket's mode is %v", info.Mode())
		}
		if status, body := get(t, unixClient(t, path), "http://whatever/admins"); status != 200 || body != "admin" {
			t.Errorf("over the socket: %d %s", status, body)
		}
		if status, _ := get(t, streamClient(t), address+"/admins"); status != 403 {
			t.Errorf("over loopback: %d", status)
		}
		if status, _ := get(t, streamClient(t), address+"/api/v1/metrics/current"); status != 200 {
			t.Errorf("over loopback: %d", status)
		}
		other := newTestServer(t, ticked(), func(o *Options) { o.Socket = path })
		if err := other.Listen(); err == nil || !strings.Contains(err.Error(), "another agent") {
			t.Errorf("a second agent takes the socket: %v", err)
		}
	})
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 0 {
		t.Errorf("the server left %v behind (%v)", entries, err)
	}
}

// shortDir is a directory with a path short enough for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api") //nolint:usetesting // The path of t.TempDir is too long for a socket on macOS.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestUnixSocketThatCannotBe(t *testing.T) {
	dir := shortDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := newTestServer(t, ticked(), func(o *Options) { o.Socket = filepath.Join(dir, strings.Repeat("x", 100), "sock") })
	if err := long.Listen(); err == nil || !strings.Contains(err.Error(), "too long") || long.Addr() != nil {
		t.Errorf("a long path: %v", err)
	}
	// What may go away keeps nobody from the API.
	for path, says := range map[string]string{
		file:                                 "not a socket",
		filepath.Join(dir, "absent", "sock"): "absent",
	} {
		s := newTestServer(t, ticked(), func(o *Options) { o.Socket = path })
		if err := s.Listen(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if parts := s.Health(); len(parts) != 1 || parts[0].Status != health.Degraded || !strings.Contains(parts[0].Reason, says) {
			t.Errorf("%s: health is %+v, want %q", path, parts, says)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("a file that is no socket was touched: %q %v", b, err)
	}
}

// TestUnixSocketComesBack: a socket that is deleted with its directory is made anew.
func TestUnixSocketComesBack(t *testing.T) {
	dir := filepath.Join(shortDir(t), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	s := newTestServer(t, ticked(), func(o *Options) { o.Socket = path })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	often := time.NewTicker(20 * time.Millisecond)
	defer often.Stop()
	answers := func(when string) {
		t.Helper()
		for until := time.Now().Add(time.Minute); ; <-often.C {
			c, err := new(net.Dialer).DialContext(ctx, "unix", path)
			if err == nil {
				_ = c.Close()
				return
			}
			if time.Now().After(until) {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	answers("at the start")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); len(s.Health()) == 0; <-often.C {
		if time.Now().After(until) {
			t.Fatal("its loss is not noticed")
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	answers("with a new directory")
	if parts := s.Health(); len(parts) != 0 {
		t.Errorf("health is %+v", parts)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestCloseWithoutRun(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	s := newTestServer(t, ticked(), func(o *Options) { o.Socket = path })
	if s.Addr() != nil {
		t.Error("an address before Listen")
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	address := s.Addr().String()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the address was not given back: %v", err)
	}
	_ = again.Close()
}

// A request in progress completes although the server stops.
func TestStopLetsRequestsFinish(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	begun, finish := make(chan struct{}), make(chan struct{})
	s.routes.page(http.MethodGet, "/slow", Access{}, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "done")
	})
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	client, answer := streamClient(t), make(chan string, 1)
	go func() {
		_, body := get(t, client, "http://"+s.Addr().String()+"/slow")
		answer <- body
	}()
	<-begun
	cancel()
	<-s.closing
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the request in progress got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Malicious requests.
func TestForgedRequests(t *testing.T) {
	address := strings.TrimPrefix(run(t, newTestServer(t, ticked(), nil)), "http://")
	for name, c := range map[string]struct{ request, status string }{
		"forged Host":        {"GET /api/v1/health HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403"},
		"absolute address":   {"GET http://evil.example/api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n", "403"},
		"no Host":            {"GET /api/v1/health HTTP/1.1\r\n\r\n", "400"},
		"two Hosts":          {"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", "400"},
		"HTTP/1.0, no Host":  {"GET /api/v1/metrics/current HTTP/1.0\r\n\r\n", "403"},
		"a check, no Host":   {"GET /api/v1/health HTTP/1.0\r\n\r\n", "200"},
		"forged Origin":      {"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil\r\n\r\n", "403"},
		"long headers":       {"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 32<<10) + "\r\n\r\n", "431"},
		"body that is there": {"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", "200"},
		"dots":               {"GET /docs/../../../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", "307"},
		"proxy":              {"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", "403"},
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		go func() { _, _ = io.WriteString(conn, c.request) }()
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, " "+c.status+" ") {
			t.Errorf("%s: %q %v, want %s", name, line, err, c.status)
		}
		_ = conn.Close()
	}
}
