package instruments

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sysotel/instruments/exposition"
)

// customFixture reads a custom collector a second at a time.
type customFixture struct {
	t         *testing.T
	collector *custom
	host      *Host
	now       time.Time
	seq       uint64
}

func newCustomFixture(t *testing.T, c CustomConfig) *customFixture {
	f := &customFixture{t: t, host: NewHost("/"), now: time.Now()}
	// Commands run beside the ticks and ask the clock too, so it is moved only
	// while none runs.
	f.host.Now = func() time.Time { return f.now }
	f.collector = newCustom(Config{Custom: c}).(*custom)
	f.collector.patience = time.Minute
	t.Cleanup(func() {
		if err := f.collector.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// tick waits for the commands that run, and reads the collector a second later.
func (f *customFixture) tick() *Custom {
	f.t.Helper()
	for _, c := range f.collector.commands {
		c.Wait()
	}
	f.now = f.now.Add(time.Second)
	f.seq++
	r, err := f.collector.Read(context.Background(), f.host, Tick{Time: f.now, Seq: f.seq, Interval: time.Second})
	if err != nil {
		f.t.Fatal(err)
	}
	return r.(*Custom)
}

// contents writes what a reading holds: families with their values, then errors.
func contents(c *Custom) string {
	var lines []string
	for _, f := range c.Families {
		for _, m := range f.Metric {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
			lines = append(lines, fmt.Sprintf("%s %v", exposition.SeriesName(f, m), v))
		}
	}
	for _, err := range c.Errors {
		lines = append(lines, "error "+filepath.Base(err.Source)+": "+err.Err.Error())
	}
	return strings.Join(lines, "\n")
}

// successes are the self-metrics of a reading by source.
func successes(c *Custom) map[string]float64 {
	found := map[string]float64{}
	Visit(c, func(m *Metric, v float64, values []string) {
		if m == customSuccess {
			found[filepath.Base(values[0])] = v
		}
	})
	return found
}

func writeText(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCustomNothingConfigured(t *testing.T) {
	_, err := newCustom(Defaults()).Read(context.Background(), NewHost("/"), Tick{})
	if !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "custom.textfile") {
		t.Errorf("error %v, want ErrUnsupported with the name of an option", err)
	}
}

func TestTextFiles(t *testing.T) {
	dir := t.TempDir()
	f := newCustomFixture(t, CustomConfig{Textfile: []string{dir, filepath.Join(dir, "missing")}})
	writeText(t, filepath.Join(dir, "raid.prom"), "raid_disks{array=\"md0\"} 2\n")
	writeText(t, filepath.Join(dir, "bad.prom"), "fine 1\n}{\n")
	writeText(t, filepath.Join(dir, "raid.prom.tmp"), "half_written 1\n")
	writeText(t, filepath.Join(dir, ".hidden.prom"), "hidden 1\n")
	first := f.tick()
	want := "raid_disks{array=\"md0\"} 2\nerror bad.prom: line 2: "
	if got := contents(first); !strings.HasPrefix(got, want) || !strings.Contains(got, "error missing: open ") || len(first.Errors) != 2 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := successes(first); got["raid.prom"] != 1 || got["bad.prom"] != 0 || got["missing"] != 0 || len(got) != 4 {
		t.Errorf("successes are %v", got)
	}
	if second := f.tick(); &second.Families[0] != &first.Families[0] {
		t.Error("nothing changed, but the files were read again")
	}

	writeText(t, filepath.Join(dir, "bad.prom"), "fine 1\nmended 2\n")
	if err := os.Remove(filepath.Join(dir, "raid.prom")); err != nil {
		t.Fatal(err)
	}
	third := f.tick()
	if got := contents(third); !strings.HasPrefix(got, "fine{} 1\nmended{} 2\nerror missing: ") {
		t.Errorf("after the change got\n%s", got)
	}
	if got := contents(first); !strings.HasPrefix(got, want) {
		t.Errorf("an old reading changed to\n%s", got)
	}

	// A new file of the same size and time, as an exact copy would have it, is another file.
	info, err := os.Stat(filepath.Join(dir, "bad.prom"))
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(dir, "new"), "fine 3\nmended 4\n")
	if err := os.Chtimes(filepath.Join(dir, "new"), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "bad.prom")); err != nil {
		t.Fatal(err)
	}
	if got := contents(f.tick()); !strings.HasPrefix(got, "fine{} 3\nmended{} 4\n") {
		t.Errorf("after a rename got\n%s", got)
	}
}

// TestCustomAge: values that nobody writes any more do not look new.
func TestCustomAge(t *testing.T) {
	dir := t.TempDir()
	f := newCustomFixture(t, CustomConfig{Textfile: []string{dir}})
	path := filepath.Join(dir, "backup.prom")
	writeText(t, path, "backup_success 1\n")
	ages := func(c *Custom) (found []float64) {
		Visit(c, func(m *Metric, v float64, _ []string) {
			if m == customAge {
				found = append(found, v)
			}
		})
		return found
	}
	for _, behind := range []time.Duration{3 * 24 * time.Hour, time.Minute} {
		if err := os.Chtimes(path, f.now, f.now.Add(-behind)); err != nil {
			t.Fatal(err)
		}
		for second := range 2 {
			want := behind.Seconds() + float64(second+1)
			if got := ages(f.tick()); len(got) != 1 || math.Abs(got[0]-want) > 2 {
				t.Errorf("the ages are %v, want %v", got, want)
			}
		}
	}
	if err := os.Chtimes(path, f.now, f.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := ages(f.tick()); len(got) != 0 {
		t.Errorf("by a clock that is behind the ages are %v", got)
	}
}

func TestTextFileThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder.prom"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeText(t, filepath.Join(dir, "large.prom"), strings.Repeat("# comment\n", exposition.MaxBytes/10+1))
	f := newCustomFixture(t, CustomConfig{Textfile: []string{dir}})
	want := "error folder.prom: is not a plain file but d---------\nerror large.prom: is larger than 1048576 bytes"
	if got := contents(f.tick()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMergeSources(t *testing.T) {
	source := func(name, text string) exposition.Source {
		families, errs := exposition.Parse([]byte(text))
		return exposition.Source{Name: name, Families: families, Errors: errs, OK: errs == nil}
	}
	for _, c := range []struct {
		name    string
		sources []string
		want    string
	}{
		{"one name in two sources", []string{"a{x=\"1\"} 1\n", "a{x=\"2\"} 2\n"}, "a{x=\"1\"} 1\na{x=\"2\"} 2"},
		{"one series in two sources", []string{"a 1\n", "a 2\nb 3\n"}, "a{} 1\nb{} 3\nerror s1: series a{} is also in s0"},
		{"one series twice in a source", []string{"a 1\na 2\n"}, "a{} 1\nerror s0: line 2: series a{} is also in line 1; a label without a value counts as none"},
		{"labels in another order", []string{"a{x=\"1\",y=\"2\"} 1\n", "a{y=\"2\",x=\"1\"} 2\n"}, "a{x=\"1\",y=\"2\"} 1\nerror s1: series a{x=\"1\",y=\"2\"} is also in s0"},
		{"two types", []string{"# TYPE a gauge\na 1\n", "# TYPE a counter\na 2\n"}, "a{} 1\nerror s1: metric a (counter) conflicts with a (gauge) of s0"},
		{"a counter beside a gauge", []string{"# TYPE a gauge\na 1\n", "# TYPE a_total counter\na_total 2\n"}, "a{} 1\na_total{} 2"},
		{"two types of one page name", []string{"# TYPE a_total gauge\na_total 1\n", "# TYPE a counter\na 2\n"}, "a_total{} 1\nerror s1: metric a (counter) conflicts with a_total (gauge) of s0"},
		{"underscores", []string{"a_b 1\n", "a__b 2\n"}, "a_b{} 1\nerror s1: metric a__b (untyped) conflicts with a_b (untyped) of s0"},
		{"parts of a histogram", []string{"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n", "h_count 5\n"}, "h{} 0\nerror s1: metric h_count (untyped) conflicts with h (histogram) of s0"},
		{"names of the agent's", []string{"own 1\nown_other 2\nown_min 3\n"}, "own_other{} 2\nerror s0: metric own: the agent has a metric of this name\nerror s0: metric own_min: the agent has a metric of this name"},
		{"a name of the agent's on the page", []string{"# TYPE __own counter\n__own 1\n"}, "error s0: metric __own: the agent has a metric of this name"},
		{"Windows", []string{"\ufeff# TYPE a gauge\r\na 1\r\nb{c=\"d\"} 2\r\n"}, "a{} 1\nb{c=\"d\"} 2"},
	} {
		var sources []exposition.Source
		for i, text := range c.sources {
			sources = append(sources, source(fmt.Sprintf("s%d", i), text))
		}
		families, errs := exposition.Merge(sources, map[string]bool{"own": true, "own_min": true, "own_total": true}, exposition.MaxMerged)
		merged := &Custom{Families: families, Errors: errs, sources: sources}
		if got := contents(merged); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
		for _, err := range merged.Errors {
			if successes(merged)[err.Source] != 0 {
				t.Errorf("%s: %s has an error and success 1", c.name, err.Source)
			}
		}
	}
}
