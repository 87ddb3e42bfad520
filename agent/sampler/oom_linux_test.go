package sampler

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// limitedGroup makes a memory control group with a limit of 32 MiB, of version 1 or
// 2; it returns the file into which processes are written.
func limitedGroup(t *testing.T) string {
	t.Helper()
	name := "sysotel-test-" + strconv.Itoa(os.Getpid())
	for _, version := range []struct{ dir, limit string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		dir := filepath.Join(version.dir, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			within(t, 5*time.Second, "the control group is gone", func() bool { return os.Remove(dir) == nil })
		})
		if os.WriteFile(filepath.Join(dir, version.limit), []byte("33554432"), 0o600) != nil {
			continue
		}
		// Swap would only make it slower; without an account of it there is no file.
		_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0o600)
		_ = os.WriteFile(filepath.Join(dir, "memory.memsw.limit_in_bytes"), []byte("33554432"), 0o600)
		return filepath.Join(dir, "cgroup.procs")
	}
	return ""
}

// TestRealOOMKill: a process that the kernel kills because of its control group's
// limit is one event with its name, by the real counter and the real log.
func TestRealOOMKill(t *testing.T) {
	host := instruments.NewHost("/")
	kernel, err := host.OpenKernelLog()
	if err != nil {
		t.Skipf("the kernel's log can be read by root only: %v", err)
	}
	_ = kernel.Close() // The event recorder opens its own.
	group := limitedGroup(t)
	if group == "" {
		if os.Geteuid() != 0 && os.Getenv("CI") != "" {
			t.Fatal("only root can make a control group with a limit")
		}
		t.Skip("only root can make a control group with a limit, where the kernel has them")
	}
	// The kernel's name of a program is its first 15 bytes.
	program := filepath.Join(t.TempDir(), "memory_eater")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}

	n := &notebook{}
	var log logbook
	measured := instruments.Defaults()
	for name, f := range measured.Collectors {
		f.Enabled = name == "paging" || name == "process"
		measured.Collectors[name] = f
	}
	s := New(Options{
		Host: host, Collectors: instruments.NewCollectors(measured, nil), Measured: measured, Interval: time.Second,
		Records: n, Log: log.logger(),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	within(t, 10*time.Second, "two ticks", func() bool { seq, _, _ := s.Tick(); return seq >= 2 })

	eater := exec.CommandContext(ctx, program)
	eater.Env = append(os.Environ(), eatMemory+"=1")
	gate, err := eater.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := eater.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(eater.Process.Pid)
	if err := os.WriteFile(group, []byte(pid), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = gate.Close() // It begins to eat.
	_ = eater.Wait() // Its state says how it ended.
	status, ok := eater.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v, the kernel should have killed it", eater.ProcessState)
	}
	within(t, 10*time.Second, "an event", func() bool { return len(n.of(records.OOMKill)) > 0 })
	seq, _, _ := s.Tick()
	within(t, 10*time.Second, "three more ticks", func() bool { now, _, _ := s.Tick(); return now >= seq+3 })
	var found []records.Event
	for _, e := range n.of(records.OOMKill) {
		if e.Detail["pid"] == pid { // Another process may be killed while the test runs.
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("events %+v, want one with pid %s", n.of(records.OOMKill), pid)
	}
	e := found[0]
	if !strings.HasPrefix("memory_eater", e.Subject) || e.Subject == "" {
		t.Errorf("the victim is %q", e.Subject)
	}
	equal(t, "cause", e.Cause, instruments.OOMCgroup)
	if rss, err := strconv.ParseUint(e.Detail["rss_bytes"], 10, 64); err != nil || rss < 16<<20 || rss > 512<<20 { // What it held before the limit does not count for it.
		t.Errorf("it held %q bytes", e.Detail["rss_bytes"])
	}
	for i := range 5 {
		if e.Detail["largest_"+strconv.Itoa(i+1)+"_name"] == "" {
			t.Errorf("the largest processes before it are not changes: %v", e.Detail)
		}
	}
}
