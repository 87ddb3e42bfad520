package records

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sysotel/agent/sqlite"
)

// childEnv makes the test binary a child that writes records until it is killed.
const childEnv = "SYSOTEL_TEST_RECORDS_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := flow(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// flow adds ticks as fast as it can from the end of the file, and reports after
// each minute which tick was written.
func flow(dir string) error {
	r, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	s := max(r.newest/1000, epoch.Unix())
	for {
		s++
		r.AddProcesses(steady(s))
		if s%20 == 0 {
			if err := r.Flush(context.Background()); err != nil {
				return err
			}
			fmt.Println("written", s)
		}
	}
}

// TestWrittenWhileChecked: records are written while the file is checked, which can take
// longer than the agent lives.
func TestWrittenWhileChecked(t *testing.T) {
	r, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.check = func(ctx context.Context, _ *sql.DB) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	if err := r.AddEvent(Event{Time: epoch, Kind: Start}); err != nil {
		t.Fatal(err)
	}
	written := func() (n int) {
		if err := r.read(t.Context(), func(d *database) error {
			return d.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM event").Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for until := time.After(10 * time.Second); written() == 0; {
		select {
		case <-poll.C:
		case <-until:
			t.Fatal("nothing is written during the check")
		}
	}
	stop()
	if err := errors.Join(<-ended, r.Close()); err != nil {
		t.Error(err)
	}
}

// steady is a tick of a machine with constant load.
func steady(s int64) ProcessReading {
	reading := ProcessReading{Time: time.Unix(s, 0), Interval: time.Second, BootID: "boot", CPUs: 2, MemoryTotal: 1 << 30, HostCPUSeconds: 1.01, Unattributed: 0}
	for pid := range 10 {
		reading.Rows = append(reading.Rows, ProcessRow{PID: pid + 1, Start: 7, Name: "p" + strconv.Itoa(pid), CPUSeconds: 0.1, RSS: uint64(pid+1) << 20})
	}
	return reading
}

// TestKilled: after any number of kills every start succeeds, nothing written is
// lost or counted twice, and no bucket is wrong.
func TestKilled(t *testing.T) {
	rounds := 10
	if os.Getenv("SYSOTEL_TEST_SOAK") != "" {
		rounds = 50
	}
	dir := t.TempDir()
	written := int64(0)
	for round := range rounds {
		command := exec.CommandContext(t.Context(), os.Args[0])
		command.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := rand.IntN(60) + 1; n > 0 && lines.Scan(); n-- {
			word, number, _ := strings.Cut(lines.Text(), " ")
			s, err := strconv.ParseInt(number, 10, 64)
			if word != "written" || err != nil {
				t.Fatalf("round %d: the child says %q", round, lines.Text())
			}
			written = s
		}
		if err := command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := command.Wait(); err == nil {
			t.Fatal("the child was not killed")
		}
	}
	if written == 0 {
		t.Fatal("nothing was written")
	}
	r := open(t, dir, func(o *Options) { o.Clock = nil })
	if h := r.Health(); h.Status != "ok" {
		t.Fatalf("after %d kills: %+v", rounds, h)
	}
	if lost := written - r.newest/1000; lost > 5 {
		t.Errorf("%d s of what was written are lost", lost)
	}
	for _, tier := range r.tiers {
		for _, rec := range storedRecords(t, r, tier) {
			// Kills leave gaps of less than 5 s of ticks; the rest adds up.
			if rec.host != rec.covered*1010 || rec.covered > tier.Resolution.Milliseconds() || len(rec.rows) != 10 {
				t.Fatalf("tier %s, record to %d: %+v", tier.Resolution, rec.until, rec.frame)
			}
			for _, row := range rec.rows {
				if row.cpu != rec.covered*100 || row.seen != rec.covered || row.memory != row.peak*uint64(row.seen) {
					t.Fatalf("tier %s, record to %d: %+v", tier.Resolution, rec.until, row)
				}
			}
		}
	}
	// Everything is there but the open records.
	p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: time.UnixMilli(r.newest), Order: ByCPU})
	if err != nil {
		t.Fatal(err)
	}
	span := time.UnixMilli(r.newest).Sub(epoch)
	if missing := span - p.Covered; missing > time.Duration(rounds)*5*time.Second || missing < 0 {
		t.Errorf("%s of %s are missing after %d kills", missing, span, rounds)
	}
}

// filled creates a file with some records and events and returns its path.
func filled(t *testing.T, dir string) string {
	t.Helper()
	r, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for s := epoch.Unix() + 1; s <= epoch.Unix()+3600; s++ {
		r.AddProcesses(steady(s))
	}
	for i := range 200 {
		if err := r.AddEvent(Event{Time: epoch.Add(time.Duration(i) * time.Second), Kind: Gap, Cause: "overload"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, fileName)
}

// TestDamagedFileNeverRefusesTheStart: truncated and bit-flipped files are used or
// set aside, and readable rows are kept.
func TestDamagedFileNeverRefusesTheStart(t *testing.T) {
	original, err := os.ReadFile(filled(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string]func([]byte) []byte{
		"empty":      func([]byte) []byte { return nil },
		"one byte":   func(b []byte) []byte { return b[:1] },
		"half":       func(b []byte) []byte { return b[:len(b)/2] },
		"odd length": func(b []byte) []byte { return b[:len(b)*3/4+17] },
		"no header":  func(b []byte) []byte { copy(b, "not a database at all"); return b },
		"zeros":      func(b []byte) []byte { clear(b[4096:]); return b },
		"first page": func(b []byte) []byte { clear(b[100:4096]); return b },
		"text":       func([]byte) []byte { return []byte(strings.Repeat("hello\n", 5000)) },
	}
	for i := range 20 {
		random := rand.New(rand.NewPCG(uint64(i), 11)) // Each case its own: maps have no order.
		damage[fmt.Sprintf("bits %d", i)] = func(b []byte) []byte {
			for range 1 + i {
				if at := random.IntN(len(b)); at < 60 || at >= 64 { // There stands the version.
					b[at] ^= 1 << random.IntN(8)
				}
			}
			return b
		}
		damage[fmt.Sprintf("page %d", i)] = func(b []byte) []byte {
			at := (1 + random.IntN(len(b)/4096-1)) * 4096
			for j := range 4096 {
				b[at+j] = byte(random.Uint32())
			}
			return b
		}
	}
	kept, aside := 0, 0
	for name, f := range damage {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), f(append([]byte(nil), original...)), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(Options{Dir: dir})
		if err != nil {
			t.Errorf("%s: the start is refused: %v", name, err)
			continue
		}
		r.inspect(t.Context())
		// It works at once.
		for s := epoch.Unix() + 4000; s <= epoch.Unix()+4100; s++ {
			r.AddProcesses(steady(s))
		}
		if err := r.AddEvent(Event{Time: epoch.Add(4000 * time.Second), Kind: Start}); err != nil {
			t.Fatal(err)
		}
		p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch.Add(4000 * time.Second), End: epoch.Add(4100 * time.Second), Order: ByCPU})
		if err != nil || p.Covered != 100*time.Second {
			t.Errorf("%s: after the damage: %+v, %v", name, p, err)
		}
		p, err = r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(time.Hour), Order: ByCPU})
		switch {
		case err == nil && p.Covered > time.Hour, err == nil && p.Damaged == 0 && p.Rows[0].CPUSeconds != p.Covered.Seconds()/10:
			t.Errorf("%s: wrong numbers: %s, %+v", name, p.Covered, p.Rows)
		case err == nil && p.Covered > 30*time.Minute:
			kept++
		case err != nil && !errors.Is(err, ErrNoRecord):
			t.Errorf("%s: %v", name, err)
		}
		events, err := r.Events(t.Context(), EventQuery{Start: epoch, End: epoch.Add(2 * time.Hour), Limit: MaxEvents})
		if err != nil || len(events.Events) == 0 {
			t.Errorf("%s: events %v, %v", name, events, err)
		}
		files, err := r.asideFiles()
		if err != nil {
			t.Fatal(err)
		}
		h, broken := r.Health(), r.file.Damage() != nil
		if (len(files) > 0) != broken || broken && h.Status != "degraded" {
			t.Errorf("%s: files %v are aside, and health says %+v", name, files, h)
		}
		if broken {
			aside++
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		// The next start finds a sound file.
		if r, err = Open(Options{Dir: dir}); err != nil {
			t.Errorf("%s: the second start: %v", name, err)
			continue
		}
		r.inspect(t.Context())
		if h := r.Health(); r.file.Damage() != nil {
			t.Errorf("%s: set aside again: %+v", name, h)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
	}
	t.Logf("%d of %d damaged files were set aside, %d still answer for more than half of the hour", aside, len(damage), kept)
	if aside < 10 || kept < 20 {
		t.Errorf("of %d damaged files %d were set aside and %d still answer for the most part", len(damage), aside, kept)
	}
}

// TestDamagedHeaderNeverRefusesTheStart: for any flipped bit except the version's,
// which would be a newer one.
func TestDamagedHeaderNeverRefusesTheStart(t *testing.T) {
	original, err := os.ReadFile(filled(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	for at := range 100 {
		if at >= 60 && at < 64 {
			continue
		}
		dir := t.TempDir()
		flipped := append([]byte(nil), original...)
		flipped[at] ^= 1 << (at % 8)
		if err := os.WriteFile(filepath.Join(dir, fileName), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(Options{Dir: dir})
		if err != nil {
			t.Errorf("byte %d: the start is refused: %v", at, err)
			continue
		}
		r.AddProcesses(steady(epoch.Unix() + 4000))
		if err := r.Close(); err != nil {
			t.Errorf("byte %d: close: %v", at, err)
		}
	}
}

// TestDamagedLogIsHarmless: SQLite ignores damage at the end of the WAL.
func TestDamagedLogIsHarmless(t *testing.T) {
	dir := t.TempDir()
	live := open(t, dir)
	for s := epoch.Unix() + 1; s <= epoch.Unix()+600; s++ {
		live.AddProcesses(steady(s))
		if s%50 == 0 {
			flush(t, live)
		}
	}
	file, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, fileName+walSuffix))
	if err != nil || len(log) < 1<<16 {
		t.Fatalf("the log has %d bytes: %v", len(log), err)
	}
	for _, cut := range []int{0, 10, 32, 5000, len(log) / 2, len(log) - 1} {
		for _, flip := range []bool{false, true} {
			copied := t.TempDir()
			damaged := append([]byte(nil), log...)
			if flip {
				damaged[min(cut, len(log)-1)] ^= 0x10
			} else {
				damaged = damaged[:cut]
			}
			for name, text := range map[string][]byte{fileName: file, fileName + walSuffix: damaged} {
				if err := os.WriteFile(filepath.Join(copied, name), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := open(t, copied)
			r.inspect(t.Context())
			r.AddProcesses(steady(epoch.Unix() + 700))
			if p, err := r.ProcessesBetween(t.Context(), ProcessQuery{Start: epoch, End: epoch.Add(700 * time.Second), Order: ByCPU}); err != nil || p.Damaged > 0 {
				t.Errorf("cut at %d (flipped %v): %v, %v", cut, flip, p, err)
			}
		}
	}
}

// TestNewerFormatIsRefused: with a clear error, and the file is unchanged.
func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filled(t, dir)
	d, err := format.Connect(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", len(format.Steps)+1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Options{Dir: dir})
	if !errors.Is(err, sqlite.ErrNewer) || !strings.Contains(err.Error(), path) {
		t.Fatalf("got %v", err)
	}
	if files, _ := matching(path + brokenSuffix); len(files) > 0 {
		t.Errorf("it was set aside: %v", files)
	}
}
