package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/otel-collector/programs"
)

// occupy listens on a TCP port of 127.0.0.1, 0 for any, and accepts connections
// without responding.
func occupy(tb testing.TB, port int) (address string, err error) {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	tb.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String(), nil
}

// refused checks that New fails and leaves no goroutine, lock or socket.
func refused(t *testing.T, c config.Config, words ...string) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	_, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("New succeeded")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
	goleak.VerifyNone(t, before)
	if _, err := os.Stat(filepath.Join(c.DataDir, SocketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	d, err := holdDirectory(c.DataDir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("the lock is left: %v", err)
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

func TestNewRollsBack(t *testing.T) {
	taken, err := occupy(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(taken)
	holder := fmt.Sprintf("(pid %d)", os.Getpid())

	t.Run("API port taken", func(t *testing.T) {
		refused(t, configure(t, "--http.listen="+taken), "port "+port+" is taken", holder, "--http.listen")
	})
	t.Run("scrape port taken", func(t *testing.T) {
		free := programs.FreePort(t)
		refused(t, configure(t, fmt.Sprintf("--http.listen=127.0.0.1:%d", free), "--prometheus.listen="+taken), "port "+port+" is taken", holder, "--prometheus.listen")
		if _, err := occupy(t, free); err != nil {
			t.Errorf("the port of the API is left: %v", err)
		}
	})
	t.Run("no machine", func(t *testing.T) {
		refused(t, configure(t, "--host.root="+t.TempDir()), "host.root", "-v /:/host:ro")
	})
	t.Run("no certificate", func(t *testing.T) {
		refused(t, configure(t, "--otlp.endpoint=https://127.0.0.1:1", "--otlp.tls.ca="+t.TempDir()), "otlp.tls.ca")
	})
}

func TestLogThatCannotBeOpened(t *testing.T) {
	c := configure(t, "--log.file="+filepath.Join(t.TempDir(), "none", "log"))
	if _, err := New(Options{Config: c}); err == nil || !strings.Contains(err.Error(), "log.file") {
		t.Errorf("New = %v, want that log.file cannot be opened", err)
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	c := configure(t)
	a := run(t, c)
	a.tick()
	_, err := New(Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "another sysotel runs on "+c.DataDir) {
		t.Errorf("New = %v, want that another one runs", err)
	}
	// The first agent is unaffected.
	if got := current(t, a.socket).Hostname; got == "" {
		t.Error("the first agent no longer responds")
	}
}

// TestDefaultPortTaken: the default port 9100 is optional, as node_exporter uses it.
func TestDefaultPortTaken(t *testing.T) {
	if _, err := occupy(t, 9100); err != nil {
		t.Logf("another program has port 9100, which serves the test too: %v", err)
	}
	c := configure(t)
	a := run(t, load(t, "--data-dir="+c.DataDir, "--http.listen=127.0.0.1:0"))
	warning := a.journal.await(t, map[string]any{"level": "WARN"})
	if text := fmt.Sprint(warning); !strings.Contains(text, "9100 is taken") || !strings.Contains(text, a.Addr().String()+"/metrics") {
		t.Errorf("the warning is %s", text)
	}
	if a.ScrapeAddr() != nil {
		t.Errorf("the page is on %s", a.ScrapeAddr())
	}
	a.ticks(3) // The first two can be too close for a rate.
	if _, ok := scrape(t, a.socket).sum("node_cpu_usage_percent"); !ok {
		t.Error("the page is not under /metrics of the API")
	}
}

func TestStop(t *testing.T) {
	t.Run("leaves nothing", func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		c := configure(t)
		a := run(t, c)
		a.ticks(2)
		for range 2 {
			if err := a.Stop(); err != nil {
				t.Errorf("Stop = %v", err)
			}
		}
		a.socket.CloseIdleConnections()
		goleak.VerifyNone(t, before)
		if _, err := os.Stat(filepath.Join(c.DataDir, SocketName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is left: %v", err)
		}
		run(t, c).tick() // Another agent can take its place.
	})
	t.Run("before the start", func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		a, err := New(Options{Config: configure(t), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Stop(); err != nil {
			t.Errorf("Stop = %v", err)
		}
		goleak.VerifyNone(t, before)
	})
	t.Run("with a receiver that hangs and a client that reads", func(t *testing.T) {
		before := goleak.IgnoreCurrent()
		hangs, err := occupy(t, 0)
		if err != nil {
			t.Fatal(err)
		}
		a, err := New(Options{Config: configure(t, "--otlp.endpoint=http://"+hangs), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		a.Start()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		client := unixClient(a.config)
		readings := stream(ctx, t, client)
		<-readings
		begun := time.Now()
		if err := a.Stop(); err == nil || !strings.Contains(err.Error(), "could not be sent") {
			t.Errorf("Stop = %v, want what could not be sent", err)
		}
		if took := time.Since(begun); took > stopLimit+2*time.Second {
			t.Errorf("Stop took %s, at most %s is allowed", took, stopLimit)
		}
		for range readings { // The stream ends with the agent.
		}
		client.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
}

// TestFailed: a component that ends by itself is reported, so that the program can
// exit.
func TestFailed(t *testing.T) {
	a, err := New(Options{Config: configure(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	defer func() {
		if err := a.Stop(); err != nil {
			t.Errorf("Stop = %v", err)
		}
	}()
	if err := a.scrape.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-a.Failed():
		if !strings.Contains(err.Error(), "prometheus page") {
			t.Errorf("what failed is %v", err)
		}
	case <-time.After(patience):
		t.Error("the end of the page is not reported")
	}
}

func TestReload(t *testing.T) {
	c := configure(t)
	a := run(t, c)
	a.ticks(2)
	flags := []string{"--data-dir=" + c.DataDir, "--http.listen=127.0.0.1:0", "--prometheus.listen=127.0.0.1:0"}
	changed := load(t, append(flags, "--log.level=debug", "--instruments.load.enabled=false", "--processes.top=3", "--sampling.interval=2s")...)
	if restart := a.Reload(changed); !slices.Equal(restart, []string{"sampling.interval"}) {
		t.Errorf("Reload wants a restart for %v", restart)
	}
	if a.level.Level() != slog.LevelDebug {
		t.Errorf("the level is %s", a.level.Level())
	}
	a.ticks(2)
	got := current(t, a.socket)
	if load := float64(got.CPU.LoadAverage[0]); load == load {
		t.Errorf("the collector load is off and reports %g", load)
	}
	if total := float64(got.Memory.Total); total != total {
		t.Error("the collector memory is gone")
	}
	a.ReloadFailed([]config.ValidationError{{Path: "one", Rule: "is wrong"}, {Path: "two", Rule: "is wrong"}})
	if h := a.reloaded.health(); h.Status != health.Degraded || !strings.Contains(h.Reason, "stays in use: one") || !strings.HasSuffix(h.Reason, "and 1 more in the log; these options were changed and need a restart: sampling.interval") {
		t.Errorf("after a reload that failed health says %+v", h)
	}
	if text := a.journal.String(); strings.Count(text, "the configuration cannot be reloaded") != 2 {
		t.Errorf("the log says\n%s", text)
	}
	if restart := a.Reload(c); len(restart) > 0 {
		t.Errorf("back to the first configuration Reload wants a restart for %v", restart)
	}
	if h := a.reloaded.health(); h.Status != health.OK {
		t.Errorf("after a reload that succeeded health says %+v", h)
	}
	a.ticks(2)
	if load := float64(current(t, a.socket).CPU.LoadAverage[0]); load != load {
		t.Error("the collector load does not come back")
	}
}

// TestRulesThatAreRemoved: a pattern of rule files may match nothing, at the start and
// when the files are gone, and then no rule of theirs goes on.
func TestRulesThatAreRemoved(t *testing.T) {
	dir := t.TempDir()
	rules := "--alerting.rules=" + filepath.Join(dir, "*.yml")
	c := configure(t, rules)
	a := run(t, c)
	listed := func(want int) {
		t.Helper()
		if got := strings.Count(string(get(t, a.socket, "/prometheus/api/v1/rules")), `"name":"FromFile"`); got != want {
			t.Errorf("%d rules of the file, want %d", got, want)
		}
	}
	listed(0)
	if err := os.WriteFile(filepath.Join(dir, "a.yml"), []byte("groups: [{name: g, rules: [{alert: FromFile, expr: vector(1)}]}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--data-dir=" + c.DataDir, "--http.listen=127.0.0.1:0", "--prometheus.listen=127.0.0.1:0", rules}
	a.Reload(load(t, flags...))
	listed(1)
	if err := os.Remove(filepath.Join(dir, "a.yml")); err != nil {
		t.Fatal(err)
	}
	a.Reload(load(t, flags...))
	listed(0)
	if text := a.journal.String(); strings.Count(text, "no rule file matches") != 2 {
		t.Errorf("the log says\n%s", text)
	}
}

// TestStartIsQuick logs the time from start to the first served reading, which should
// be below a second. It cannot fail, as machines differ.
func TestStartIsQuick(t *testing.T) {
	begun := time.Now()
	a := run(t, configure(t))
	made := time.Since(begun)
	poll(t, func() error {
		_, err := ask(t.Context(), a.socket, "/api/v1/metrics/current")
		return err
	})
	t.Logf("made after %s, first reading served after %s", made, time.Since(begun))
}

// TestLogFile: a log contains what its level allows, and no name forges a line.
func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	a, err := New(Options{Config: configure(t, "--log.file="+path, "--log.format=json", "--log.level=warn")})
	if err != nil {
		t.Fatal(err)
	}
	a.log.Info("not this")
	a.log.Warn("this", "name", "a\nname=b\x1b[2J")
	if err := a.Stop(); err != nil {
		t.Error(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var lines []string
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	if len(lines) != 1 || !strings.Contains(lines[0], `"msg":"this"`) || strings.Contains(lines[0], "\x1b") {
		t.Errorf("the log is %q", lines)
	}
}
