package instruments

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bench is a machine made of a few files, whose clock only the test moves.
type bench struct {
	t    *testing.T
	host *Host
	now  time.Time
	seq  uint64
}

// newBench makes the files below an empty root: "dir/" is a directory, and a
// content "-> x" makes a symbolic link. Whatever asks a file system for its size
// without permission fails the test.
func newBench(t *testing.T, files map[string]string) *bench {
	b := &bench{t: t, now: time.Unix(1_700_000_000, 0)}
	root := t.TempDir()
	b.host = &Host{root: root, ownNetwork: true}
	b.write(files)
	b.host = NewHost(root)
	b.host.Now = func() time.Time { return b.now }
	b.host.statfs = func(path string) (capacity, error) {
		t.Errorf("statfs(%q) was not expected", path)
		return capacity{}, errors.New("not expected")
	}
	return b
}

func (b *bench) write(files map[string]string) {
	b.t.Helper()
	layFiles(b.t, b.host.root, files)
}

func layFiles(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		err := os.MkdirAll(dir, 0o755)
		if to, ok := strings.CutPrefix(content, "-> "); ok && err == nil {
			err = os.Symlink(to, path)
		} else if dir != path && err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bench) remove(name string) {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.host.root, name)); err != nil {
		b.t.Fatal(err)
	}
}

// tick moves the clock by a second and reads the collector.
func (b *bench) tick(f Collector) Reading {
	b.t.Helper()
	r, err := b.try(f)
	if err != nil {
		b.t.Fatalf("read %s: %v", f.Name(), err)
	}
	return r
}

func (b *bench) try(f Collector) (Reading, error) {
	b.now = b.now.Add(time.Second)
	b.seq++
	return f.Read(b.t.Context(), b.host, Tick{Time: b.now, Seq: b.seq, Interval: time.Second})
}

// with is the default configuration with a collector's patterns.
func with(collector string, include, exclude []string) Config {
	c := Defaults()
	one := c.Collectors[collector]
	one.Include, one.Exclude = include, exclude
	c.Collectors[collector] = one
	return c
}

// reported lists what a reading reports: "name{value,value}" and the number.
func reported(r Reading) map[string]float64 {
	found := map[string]float64{}
	Visit(r, func(m *Metric, value float64, values []string) {
		name := m.Name
		if name == "" {
			name = m.Semconv
		}
		found[name+"{"+strings.Join(values, ",")+"}"] = value
	})
	return found
}

// wantPoints compares some of a reading's points; NaN means that there is none.
func wantPoints(t *testing.T, r Reading, want map[string]float64) {
	t.Helper()
	got := reported(r)
	for name, w := range want {
		switch g, ok := got[name]; {
		case math.IsNaN(w) && ok:
			t.Errorf("%s = %v, want no point", name, g)
		case !math.IsNaN(w) && !ok:
			t.Errorf("%s is missing, want %v", name, w)
		case ok && math.Abs(g-w) > 1e-9*math.Abs(w):
			t.Errorf("%s = %v, want %v", name, g, w)
		}
	}
}

// missingText lists what a reading says it lacks.
func missingText(r Reading) string {
	var parts []string
	for _, m := range r.(Partial).Missing() {
		parts = append(parts, m.Subject+" "+m.Reason)
	}
	return strings.Join(parts, ", ")
}

func TestIsNumbered(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		want         bool
	}{
		{"loop0", "loop", true},
		{"loop12", "loop", true},
		{"loop", "loop", false},
		{"looper1", "loop", false},
		{"sr0", "sr", true},
		{"sda", "sr", false},
		{"7", "", true},
		{"", "", false},
	} {
		if got := isNumbered(c.name, c.prefix); got != c.want {
			t.Errorf("isNumbered(%q, %q) = %v, want %v", c.name, c.prefix, got, c.want)
		}
	}
}
