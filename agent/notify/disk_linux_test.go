package notify

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/disktest"
	"sysotel/agent/health"
)

// TestBadDisk: while the disk is full or read-only, from before the start or from
// later, every notice is sent once. With a disk again health is ok, and after another
// start nothing is sent again.
func TestBadDisk(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(testing.TB, string) func()
		atStart bool
		trouble string
	}{
		"full":      {disktest.Fill, true, "the notification queue is kept in memory and lost at a stop: the disk is full"},
		"read-only": {disktest.ReadOnly, true, "the notification queue is kept in memory and lost at a stop: the disk is read-only"},
		"filled":    {disktest.Fill, false, "the notification queue is kept in memory and lost at a stop: the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := disktest.Small(t, 1<<20)
			f := &fake{}
			fresh := func() (*Notifier, func()) {
				n := open(t, filepath.Join(disk, "data"), map[string]*fake{"a": f}, func(c *Config) { c.GroupWait = 0 })
				return n, start(t, n)
			}
			n, stop := fresh()
			delivered := 0
			send := func(count int) {
				t.Helper()
				for range count {
					delivered++
					one := firing(fmt.Sprintf("rule%d", delivered))
					one.Description = strings.Repeat("x", 400)
					deliver(t, n, one, one)
				}
				for end := time.Now().Add(20 * time.Second); ; <-time.After(10 * time.Millisecond) {
					ids := strings.FieldsFunc(f.received(), func(r rune) bool { return r == ',' || r == '|' })
					if waiting := n.Channels()[0].Waiting; len(ids) == delivered && waiting == 0 {
						return
					} else if len(ids) > delivered || time.Now().After(end) {
						t.Fatalf("of %d notices %d were sent, %d wait", delivered, len(ids), waiting)
					}
				}
			}
			send(3)
			if c.atStart {
				stop()
			}
			undo := c.spoil(t, disk)
			if c.atStart {
				n, stop = fresh()
			}
			for range 100 { // What fits into free pages is still written.
				if send(3); n.file.Trouble() != nil {
					break
				}
			}
			if h := n.Health(); h.Status != health.Degraded || h.Reason != c.trouble {
				t.Errorf("health says %+v", h)
			}
			send(3)
			undo()
			for end := time.Now().Add(20 * time.Second); n.Health().Status != health.OK; <-time.After(100 * time.Millisecond) {
				if n.file.Retry(t.Context()); time.Now().After(end) {
					t.Fatalf("with a disk again health says %+v", n.Health())
				}
			}
			send(3)
			stop()
			n, stop = fresh()
			for i := range delivered {
				deliver(t, n, firing(fmt.Sprintf("rule%d", i+1)))
			}
			send(3)
			stop()
		})
	}
}

// TestDamagedQueue: neither a damaged queue nor what is no file keeps the notifier
// from starting.
func TestDamagedQueue(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"garbage":     func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("garbage ", 1000)), 0o600) },
		"a directory": func(path string) error { return os.MkdirAll(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "alerting", "messages.db")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), spoil(path)); err != nil {
				t.Fatal(err)
			}
			n := open(t, dir, map[string]*fake{"a": {}}, nil)
			deliver(t, n, firing("cpu"))
			want(t, "what waits", n.Channels()[0].Waiting, 1)
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
