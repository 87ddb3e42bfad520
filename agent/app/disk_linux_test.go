package app

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sysotel/api"
)

// diskTrouble is how long a disk stays full, and read-only.
func diskTrouble(tb testing.TB) time.Duration {
	if os.Getenv("SYSOTEL_TEST_SOAK") == "" {
		return 10 * time.Second
	}
	return soakLength(tb)
}

// TestDiskSoak: the disk of the data directory becomes full, has space again, and then
// becomes read-only after an error. The alert about that disk is told by mail and chat
// within a minute each time, though neither the store nor a queue can be written;
// queries show every second of that time, and after the full disk none is missing from
// the store.
func TestDiskSoak(t *testing.T) {
	requireRoot(t)
	image, dir := filepath.Join(t.TempDir(), "disk.img"), filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	command(t, "truncate", "--size=400M", image)
	device := command(t, "losetup", "--find", "--show", image)
	undo(t, "losetup", "--detach", device)
	command(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", device)
	command(t, "mount", "-o", "errors=remount-ro", device, dir)
	undo(t, "umount", "--lazy", dir) // What could not be written is open until the process ends.

	in := openInbox(t)
	path := filepath.Join(t.TempDir(), "sysotel.yaml")
	text := fmt.Sprintf(`
alerting:
  defaults: false
  interval: 1s
  group_wait: 0s
  channels:
    - {name: mail, email: {server: "%s", tls: none, from: sysotel@example.org, to: [ops@example.org]}}
    - {name: chat, slack: {url: "%s"}}
  thresholds:
    - {name: DiskFull, expr: '100 * sysotel_disk_utilization_ratio{mountpoint="%s"}', op: ">", threshold: 90}
`, in.mail, in.chat, dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := run(t, configure(t, "--config="+path, "--data-dir="+filepath.Join(dir, "data")))
	<-a.history.store.Opened()
	began := a.tick()
	told := func(state string, n int) {
		t.Helper()
		since := time.Now()
		poll(t, func() error {
			in.mu.Lock()
			defer in.mu.Unlock()
			for name, all := range map[string][]string{"mail": in.mailed, "chat": in.posted} {
				if got := strings.Count(strings.Join(all, "\n"), state+" DiskFull"); got != n {
					return fmt.Errorf("%s says %s %d times, want %d: %v", name, state, got, n, all)
				}
			}
			return nil
		})
		t.Logf("%s told within %s", state, time.Since(since).Round(time.Second))
	}
	// seconds compares the seconds that a query finds with the ticks there were.
	seconds := func() {
		t.Helper()
		from := max(began.Unix(), time.Now().Unix()-300)
		until := a.tick().Unix() - 1
		var answer struct {
			Data struct {
				Result []struct{ Values [][2]any }
			}
		}
		body := get(t, a.socket, fmt.Sprintf("/prometheus/api/v1/query?time=%d&query=system_memory_limit_bytes[%ds]", until, until-from+1))
		if err := json.Unmarshal(body, &answer); err != nil || len(answer.Data.Result) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		if got := len(answer.Data.Result[0].Values); got != int(until-from)+1 {
			t.Errorf("a query finds %d seconds from %d to %d", got, from, until)
		}
	}
	filler := filepath.Join(dir, "filler")
	fillDisk := func(left int64) {
		t.Helper()
		f, err := os.Create(filler)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var space syscall.Statfs_t
		if err := syscall.Statfs(dir, &space); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(space.Bavail)*space.Bsize-left); err != nil {
			t.Fatal(err)
		}
	}
	degraded := func(words ...string) {
		t.Helper()
		poll(t, func() error {
			var answer api.Health
			decode(t, get(t, a.socket, "/api/v1/health"), &answer)
			for _, p := range answer.Parts {
				if p.Name != "store" {
					continue
				}
				for _, word := range words {
					if !strings.Contains(p.Reason, word) {
						return fmt.Errorf("the store is %s: %s", p.Status, p.Reason)
					}
				}
			}
			return nil
		})
	}

	a.ticks(3)
	fillDisk(200 << 10)
	told("FIRING", 1)
	degraded("wait in memory", "rules and queries see them")
	a.passes(diskTrouble(t))
	seconds()
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	told("RECOVERED", 1)
	poll(t, func() error {
		if n := a.history.store.Stats().Waiting; n > 0 {
			return fmt.Errorf("%d readings wait", n)
		}
		return nil
	})
	seconds()

	fillDisk(25 << 20)
	if err := syscall.Mount(device, dir, "ext4", syscall.MS_REMOUNT, "abort"); err != nil {
		t.Fatal(err)
	}
	began = a.tick()
	told("FIRING", 2)
	degraded("wait in memory only", "rules and queries see")
	a.passes(diskTrouble(t))
	seconds()
	if n := a.history.store.Stats().Dropped; n["queue_full"] > 0 {
		t.Errorf("%v", n)
	}
	if err := a.Stop(); err == nil {
		t.Error("the agent lost what waited in memory without an error")
	}
}

// passes waits for ticks until a time has passed.
func (a *agent) passes(d time.Duration) {
	a.tb.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		a.tick()
	}
}
