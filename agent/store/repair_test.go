package store

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/health"
)

// damagedTiers have blocks of 30 minutes.
func damagedTiers() []TierConfig {
	return []TierConfig{{time.Second, 6 * time.Hour}, {10 * time.Second, 24 * time.Hour}}
}

// aged makes a store with blocks and a WAL in both tiers, closes it, and returns
// its end and the number of samples per tier.
func aged(t *testing.T, dir string) (end time.Time, samples []int) {
	t.Helper()
	m := newMachine(noon)
	o := m.options(t, dir, damagedTiers()...)
	s := openStore(t, o)
	h := newHost(100)
	for i := range 4 * 3600 / 2 {
		m.pass(2 * time.Second)
		s.mustAppend(t, h.read(m.now()))
		if i%900 == 0 {
			s.Maintain(t.Context())
		}
	}
	s.Maintain(t.Context())
	samples = countSamples(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return m.now(), samples
}

func countSamples(t *testing.T, s *Store) (samples []int) {
	t.Helper()
	for _, tier := range s.tiers {
		n := 0
		for _, p := range points(t, tier) {
			n += len(p)
			mustRise(t, p)
		}
		samples = append(samples, n)
	}
	return samples
}

// some returns the files that match a pattern, at least a number, in order.
func some(t *testing.T, atLeast int, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < atLeast {
		t.Fatalf("%d files match %s, want %d", len(found), pattern, atLeast)
	}
	slices.Sort(found)
	return found
}

func flip(t *testing.T, path string, part float64) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[int(float64(len(text))*part)] ^= 0x10
	if err := os.WriteFile(path, text, 0o640); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, part float64) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, int64(float64(info.Size())*part)); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: damage is repaired or set aside and reported, the start succeeds, the
// rest is readable, and appending works.
func TestDamage(t *testing.T) {
	const block = "[0-9A-Z]*[0-9A-Z]"
	sound := t.TempDir()
	end, before := aged(t, sound)
	for _, c := range []struct {
		name   string
		kept   float64 // the minimum part of the samples of the finest tier
		silent bool    // a WAL cut at its end is what every crash leaves
		damage func(t *testing.T, tier string)
	}{
		{name: "nothing", kept: 1, silent: true, damage: func(*testing.T, string) {}},
		{name: "WAL flipped", kept: 0.95, damage: func(t *testing.T, tier string) {
			wal := some(t, 3, tier+"/wal/0*")
			flip(t, wal[len(wal)/2], 0.5)
		}},
		{name: "WAL truncated", kept: 0.9, damage: func(t *testing.T, tier string) {
			wal := some(t, 3, tier+"/wal/0*")
			cut(t, wal[len(wal)/2], 0.3)
		}},
		{name: "WAL torn at its end", kept: 0.99, silent: true, damage: func(t *testing.T, tier string) {
			for _, path := range slices.Backward(some(t, 2, tier+"/wal/0*")) {
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if info.Size() < walPage {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := os.Truncate(path, info.Size()-info.Size()%walPage-1000); err != nil {
					t.Fatal(err)
				}
				return
			}
		}},
		{name: "WAL segment of rubbish", kept: 0.8, damage: func(t *testing.T, tier string) {
			wal := some(t, 3, tier+"/wal/0*")
			if err := os.WriteFile(wal[len(wal)/2], bytes.Repeat([]byte{0xff}, 100_000), 0o640); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "checkpoint flipped", kept: 0.9, damage: func(t *testing.T, tier string) {
			flip(t, some(t, 1, tier+"/wal/checkpoint.*/0*")[0], 0.5)
		}},
		{name: "head chunks flipped", kept: 0.95, silent: true, damage: func(t *testing.T, tier string) {
			flip(t, some(t, 1, tier+"/chunks_head/0*")[0], 0.1)
		}},
		{name: "block chunk flipped", kept: 0.2, damage: func(t *testing.T, tier string) {
			flip(t, some(t, 1, tier+"/"+block+"/chunks/0*")[0], 0.5)
		}},
		{name: "block chunks truncated", kept: 0.2, damage: func(t *testing.T, tier string) {
			cut(t, some(t, 1, tier+"/"+block+"/chunks/0*")[0], 0.5)
		}},
		{name: "block index flipped", kept: 0.2, damage: func(t *testing.T, tier string) {
			flip(t, some(t, 1, tier+"/"+block+"/index")[0], 0.5)
		}},
		{name: "block index truncated", kept: 0.2, damage: func(t *testing.T, tier string) {
			cut(t, some(t, 1, tier+"/"+block+"/index")[0], 0.5)
		}},
		{name: "block meta of rubbish", kept: 0.2, damage: func(t *testing.T, tier string) {
			if err := os.WriteFile(some(t, 1, tier+"/"+block+"/meta.json")[0], []byte("{"), 0o640); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "block without chunks", kept: 0.2, damage: func(t *testing.T, tier string) {
			if err := os.RemoveAll(some(t, 1, tier+"/"+block+"/chunks")[0]); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "WAL segment is a directory", kept: 0.2, damage: func(t *testing.T, tier string) {
			wal := some(t, 3, tier+"/wal/0*")
			if err := os.Remove(wal[1]); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(wal[1], "below"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "WAL is a file", kept: 0.2, damage: func(t *testing.T, tier string) {
			if err := os.RemoveAll(tier + "/wal"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(tier+"/wal", []byte("x"), 0o640); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(end)
			o := m.options(t, filepath.Join(t.TempDir(), "store"), damagedTiers()...)
			if err := copyFolder(sound, o.Dir); err != nil {
				t.Fatal(err)
			}
			c.damage(t, filepath.Join(o.Dir, tiersDir, "1s"))
			s := openStore(t, o)
			s.Maintain(t.Context())
			got := s.Health()
			if reported := got.Status == health.Degraded && strings.Contains(got.Reason, brokenSuffix); reported == c.silent {
				t.Errorf("health is %s: %s", got.Status, got.Reason)
			}
			asides, err := s.setAsideFiles()
			if err != nil || len(asides) > 0 == c.silent {
				t.Errorf("set aside is %v (%v)", asides, err)
			}
			after := countSamples(t, s)
			if kept := float64(after[0]) / float64(before[0]); kept < c.kept || kept > 1 {
				t.Errorf("%.4f of the samples are left, want at least %v", kept, c.kept)
			}
			if after[1] < before[1] {
				t.Errorf("the other tier has %d samples, it had %d", after[1], before[1])
			}
			h := newHost(100)
			for range 30 {
				m.pass(time.Second)
				s.mustAppend(t, h.read(m.now()))
			}
			if n := countSamples(t, s)[0] - after[0]; n < 30*100 {
				t.Errorf("%d samples were appended, want 3000", n)
			}
		})
	}
}

// TestNewerFormat: a directory written by a newer version is refused with a clear
// error, and left unchanged.
func TestNewerFormat(t *testing.T) {
	m := newMachine(noon)
	o := m.options(t, t.TempDir())
	if err := os.WriteFile(filepath.Join(o.Dir, formatFile), []byte("2\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	_, err := Open(o)
	if err == nil || !strings.Contains(err.Error(), "newer sysotel (format 2") || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("the error is %v", err)
	}
	if found, _ := filepath.Glob(filepath.Join(o.Dir, tiersDir, "*")); len(found) > 0 {
		t.Errorf("tiers were made: %v", found)
	}
}
