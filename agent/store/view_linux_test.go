package store

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/disktest"
	"sysotel/agent/health"
)

// TestOpenOnBadDisk: a store of hours is opened on a full and on a read-only disk. Its
// whole history and the new readings can be queried, it says so once, and when the disk
// can be written again everything is on it.
func TestOpenOnBadDisk(t *testing.T) {
	sound := filepath.Join(t.TempDir(), "sound")
	end, _ := aged(t, sound)
	for name, spoil := range map[string]func(testing.TB, string) (undo func()){"full": disktest.Fill, "read-only": disktest.ReadOnly} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			disk := disktest.Small(t, 96<<20)
			m := newMachine(end)
			o := m.options(t, filepath.Join(disk, "store"), damagedTiers()...)
			if err := copyFolder(sound, o.Dir); err != nil {
				t.Fatal(err)
			}
			whole := openStore(t, o)
			var want []map[string][]point
			for _, tier := range whole.tiers {
				want = append(want, points(t, tier))
			}
			oldest := whole.tiers[0].Oldest()
			if err := whole.Close(); err != nil {
				t.Fatal(err)
			}
			undo := spoil(t, disk)
			var log bytes.Buffer
			o.Free = nil // The real disk.
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			s, err := Open(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			poll(t, "a history that can be read", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.viewing
			})
			h := newHost(100)
			for range 30 {
				m.pass(time.Second)
				s.mustAppend(t, h.read(m.now()))
			}
			if got := s.Health(); got.Status != health.Degraded || !strings.Contains(got.Reason, "rules and queries see them and the history") {
				t.Errorf("health is %s: %s", got.Status, got.Reason)
			}
			if got := s.tiers[0].Oldest(); !got.Equal(oldest) {
				t.Errorf("the finest tier begins at %s, before at %s", got, oldest)
			}
			for i, tier := range s.tiers {
				got := points(t, tier)
				if !maps.EqualFunc(got, want[i], slices.Equal[[]point]) {
					t.Errorf("tier %s has %d series, want %d with the same points", tier.Name(), len(got), len(want[i]))
				}
			}
			newest := 0
			for _, p := range seen(t, s.tiers[0]) {
				mustRise(t, p)
				if p[len(p)-1].t == m.now().UnixMilli() {
					newest++
				}
			}
			if newest < 100 {
				t.Errorf("%d series have the newest second", newest)
			}
			if n := strings.Count(log.String(), "cannot open the store"); n != 1 {
				t.Errorf("the log says it %d times:\n%s", n, log.String())
			}
			undo()
			select {
			case <-s.Opened():
			case <-time.After(time.Minute):
				t.Fatalf("it is not open within a minute:\n%s", log.String())
			}
			for i, tier := range s.tiers {
				all := points(t, tier)
				for key, before := range want[i] {
					if got := all[key]; len(got) < len(before) || !slices.Equal(got[:len(before)], before) {
						t.Fatalf("tier %s lost points of %s", tier.Name(), key)
					}
				}
			}
			if got := points(t, s.tiers[0]); !hasNewest(got, m.now().UnixMilli()) {
				t.Error("the new readings are not on the disk")
			}
			if got := s.Health(); got.Status != health.OK {
				t.Errorf("health is %s: %s", got.Status, got.Reason)
			}
			if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "sysotel-*")); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
}

func hasNewest(all map[string][]point, at int64) bool {
	for _, p := range all {
		if p[len(p)-1].t == at {
			return true
		}
	}
	return false
}

// TestDamagedFormat: a damaged version of the format is written anew, and everything
// else is as before.
func TestDamagedFormat(t *testing.T) {
	sound := t.TempDir()
	end, before := aged(t, sound)
	for name, damage := range map[string]func(path string) error{
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"rubbish":   func(path string) error { return os.WriteFile(path, []byte("\x00\xff?"), 0o600) },
		"missing":   os.Remove,
		"directory": func(path string) error { _ = os.Remove(path); return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(end)
			o := m.options(t, filepath.Join(t.TempDir(), "store"), damagedTiers()...)
			if err := copyFolder(sound, o.Dir); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(o.Dir, formatFile)); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, o)
			if got := countSamples(t, s); !slices.Equal(got, before) {
				t.Errorf("%v samples, want %v", got, before)
			}
			if text, err := os.ReadFile(filepath.Join(o.Dir, formatFile)); err != nil || string(text) != "1\n" {
				t.Errorf("the format is %q (%v)", text, err)
			}
		})
	}
}
