//go:build unix

package instruments

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysotel/instruments/command"
)

// shell is a command that a test writes in one line; the agent itself uses no shell.
func shell(name, script string) command.Config {
	return command.Config{Name: name, Command: []string{"/bin/sh", "-c", script}, Interval: 2 * time.Second, Timeout: 20 * time.Second}
}

func TestCommands(t *testing.T) {
	counter := filepath.Join(t.TempDir(), "runs")
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{
		shell("good", "echo x >> "+counter+"; echo \"runs $(wc -l < "+counter+")\""),
		shell("failing", "echo lost 1; echo 'no\nsuch array' >&2; exit 3"),
		shell("garbage", "echo fine 1; echo '%$&!'"),
		{Name: "absent", Command: []string{"/no/such/program"}, Interval: time.Second, Timeout: time.Second},
		{Name: "arguments", Command: []string{"printf", "%s 1\n", "a_$(echo b)_c"}, Interval: time.Second, Timeout: 20 * time.Second},
	}})
	if first := f.tick(); contents(first) != "" || len(successes(first)) != 0 {
		t.Errorf("before any command has ended the reading has %q and %v", contents(first), successes(first))
	}
	second := f.tick()
	want := strings.Join([]string{
		"runs{} 1",
		`error failing: exit status 3, saying "no\nsuch array"`,
		"error garbage: line 2: invalid metric name",
		"error absent: fork/exec /no/such/program: no such file or directory",
		// No shell has read the argument.
		`error arguments: line 1: `,
	}, "\n")
	if got := contents(second); !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := successes(second); got["good"] != 1 || got["failing"] != 0 || got["absent"] != 0 || len(got) != 5 {
		t.Errorf("successes are %v", got)
	}
	// The interval is 2 s: it was started at 1, is due again at 3, and is read at 4.
	for i, want := range []string{"runs{} 1", "runs{} 2", "runs{} 2", "runs{} 3"} {
		if got := contents(f.tick()); !strings.HasPrefix(got, want+"\n") {
			t.Errorf("tick %d: got\n%s\nwant %s", i+3, got, want)
		}
	}
}

// TestCommandThatHangs: the program and what it started are killed, and
// meanwhile no tick waits and no second one is started.
func TestCommandThatHangs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := shell("hanging", "sleep 1000 & echo $! > "+file+"; echo half 1; wait")
	c.Timeout = 300 * time.Millisecond
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{c, shell("good", "echo good 1")}})
	f.tick()
	if got, want := contents(f.tick()), "good{} 1\nerror hanging: did not end within 300ms and was killed"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	expectDead(t, file)
}

func TestCommandThatPrintsTooMuch(t *testing.T) {
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{
		shell("million", "trap '' PIPE; i=0; while :; do echo \"a{i=\\\"$i\\\"} 1\"; i=$((i+1)); done"),
		shell("series", "i=0; while [ $i -le 10000 ]; do echo \"b{i=\\\"$i\\\"} 1\"; i=$((i+1)); done"),
	}})
	f.tick()
	want := "error million: printed more than 1048576 bytes and was killed\nerror series: has 10001 series, at most 10000 are possible"
	if got := contents(f.tick()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestCommandNeverOverlapsItself(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "go-on")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c := shell("slow", "echo x >> "+dir+"/runs; read line < "+fifo+"; echo slow 1")
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{c}})
	f.tick()
	slow := f.collector.commands[0]
	// The clock moves on without waiting for the command, as that of the agent does.
	for i := range 5 {
		if slow.Refresh(func() time.Time { return f.now.Add(time.Duration(i) * 5 * time.Second) }, time.Second) {
			t.Error("a command that still runs has a result")
		}
	}
	writer, err := os.OpenFile(fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if got := contents(f.tick()); got != "slow{} 1" {
		t.Errorf("got %s", got)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || string(text) != "x\n" {
		t.Errorf("it ran %q, %v; want once", text, err)
	}
}

func TestCloseKillsCommands(t *testing.T) {
	dir := t.TempDir()
	fifo, file := filepath.Join(dir, "started"), filepath.Join(dir, "pid")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{shell("sleeper", "echo $$ > "+file+"; echo yes > "+fifo+"; sleep 1000")}})
	f.tick()
	if _, err := os.ReadFile(fifo); err != nil { // returns once the command has written
		t.Fatal(err)
	}
	if err := f.collector.Close(); err != nil {
		t.Fatal(err)
	}
	expectDead(t, file)
}

func TestConfigureKeepsWhatStays(t *testing.T) {
	stays, goes := shell("stays", "echo stays 1"), shell("goes", "echo goes 1")
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{stays, goes}})
	f.tick()
	if got := contents(f.tick()); got != "goes{} 1\nstays{} 1" {
		t.Errorf("got %s", got)
	}
	goes.Command = []string{"/bin/sh", "-c", "echo came 1"}
	f.collector.Configure(Config{Custom: CustomConfig{Commands: []command.Config{stays, goes}}})
	if got := contents(f.tick()); got != "stays{} 1" {
		t.Errorf("after the change got %s", got)
	}
	if got := contents(f.tick()); got != "came{} 1\nstays{} 1" {
		t.Errorf("a tick later got %s", got)
	}
}

func TestCommandsDoNotSeeOurSecrets(t *testing.T) {
	t.Setenv("SYSOTEL_AUTH_TOKEN", "secret")
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "secret")
	t.Setenv("OTHER", "5")
	f := newCustomFixture(t, CustomConfig{Commands: []command.Config{shell("env", "echo \"seen ${#SYSOTEL_AUTH_TOKEN}${#OTEL_EXPORTER_OTLP_HEADERS}${#NOTIFY_SOCKET}$OTHER\"")}})
	f.tick()
	if got := contents(f.tick()); got != "seen{} 5" {
		t.Errorf("got %s, want 005", got)
	}
}

// expectDead fails where the process whose number is in the file still runs. The
// kill was sent before, but the kernel takes a moment, and init to collect it.
func expectDead(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		err := syscall.Kill(pid, 0)
		stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if errors.Is(err, syscall.ESRCH) || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there: %s", pid, stat)
		}
	}
}
