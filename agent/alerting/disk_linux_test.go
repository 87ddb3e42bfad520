package alerting

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/agent/disktest"
	"sysotel/agent/health"
)

// TestBadDisk: the state is opened on a full or read-only disk. What fired before is
// not told again, a silence from before holds, and so do a new alert and a new silence,
// also once the disk is good and after another start.
func TestBadDisk(t *testing.T) {
	for name, spoil := range map[string]func(testing.TB, string) func(){"full": disktest.Fill, "read-only": disktest.ReadOnly} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, `groups: [{name: g, rules: [{alert: Busy, expr: cpu_usage > 80}, {alert: Full, expr: disk_used > 80}, {alert: Quiet, expr: quiet_one > 80}, {alert: Still, expr: quiet_two > 80}]}]`)
			dir := filepath.Join(p.dir, "alerting")
			if err := p.alerts.Close(); err != nil {
				t.Fatal(err)
			}
			disktest.Mount(t, dir, 1<<20)
			p.open()
			for _, line := range []string{"set cpu_usage 90", "silence alertname=Quiet 24h", "pass 30s"} {
				p.command(line)
			}
			if err := p.alerts.Close(); err != nil {
				t.Fatal(err)
			}
			undo := spoil(t, dir)
			p.open()
			for _, line := range []string{"set quiet_one 90", "set disk_used 90", "silence alertname=Still 24h", "pass 30s", "set quiet_two 90", "pass 30s"} {
				p.command(line)
			}
			check := func(when string) {
				t.Helper()
				all, err := p.alerts.History(t.Context(), HistoryQuery{Start: dawn, End: p.wall, Limit: 10})
				if err != nil || len(all) != 4 || len(p.sent) != 2 || len(p.alerts.Silences()) != 2 {
					t.Errorf("%s: the history has %v, %v; sent were %v; silences are %v", when, all, err, p.sent, p.alerts.Silences())
				}
			}
			check("without a disk")
			if h := p.alerts.Health(); h.Status != health.Degraded || !strings.Contains(h.Reason, "the alert state is kept in memory and lost at a stop: the disk is "+name) {
				t.Errorf("health says %+v", h)
			}
			if _, err := p.alerts.EnableRule(t.Context(), "Busy", false); err == nil {
				t.Error("a change of the rules that is not on disk was accepted")
			}
			undo()
			for end := time.Now().Add(time.Minute); p.alerts.file.Trouble() != nil; <-time.After(100 * time.Millisecond) {
				if p.alerts.file.Retry(t.Context()); time.Now().After(end) {
					t.Fatal("it does not return to the disk")
				}
			}
			p.command("pass 15s")
			check("with a disk again")
			if h := p.alerts.Health(); h.Status != health.OK {
				t.Errorf("health says %+v", h)
			}
			p.command("kill")
			p.command("pass 30s")
			check("after another start")
		})
	}
}

// TestDamagedRules: a damaged file of rules from the API is set aside and told; one
// that cannot be read is not replaced.
func TestDamagedRules(t *testing.T) {
	for name, c := range map[string]struct {
		spoil   func(path string) error
		changes bool
	}{
		"half a file": {func(path string) error { return os.WriteFile(path, []byte(`{"format": 1, "thresholds": [{"na`), 0o600) }, true},
		"a directory": {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t, "groups: [{name: g, rules: [{alert: Busy, expr: cpu_usage > 80}]}]")
			p.command(`threshold {"name": "Mine", "metric": "cpu_usage", "op": ">", "threshold": 80}`)
			if err := errors.Join(p.alerts.Close(), c.spoil(p.alerts.path)); err != nil {
				t.Fatal(err)
			}
			p.open()
			p.command("set cpu_usage 90")
			p.command("pass 15s")
			if h := p.alerts.Health(); h.Status != health.Degraded || !strings.Contains(h.Reason, "rules of the API") || len(p.sent) != 1 {
				t.Errorf("health says %+v; sent were %v", h, p.sent)
			}
			if _, err := p.alerts.EnableRule(t.Context(), "Busy", false); (err == nil) != c.changes {
				t.Errorf("a change: %v", err)
			}
			aside, err := filepath.Glob(p.alerts.path + ".broken-*")
			if err != nil || len(aside) == 1 != c.changes {
				t.Errorf("set aside are %v, %v", aside, err)
			}
			if _, err := os.Stat(p.alerts.path); errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		})
	}
}
