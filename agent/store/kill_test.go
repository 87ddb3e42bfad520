package store

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/health"
)

// soak reports whether the long versions of the tests are requested.
func soak() bool { return os.Getenv("SYSOTEL_TEST_SOAK") != "" }

const (
	childDir  = "SYSOTEL_STORE_CHILD_DIR"
	childTick = "SYSOTEL_STORE_CHILD_TICK"
	// childFree is the free space that the child sees: with little its store never opens.
	childFree = "SYSOTEL_STORE_CHILD_FREE"
	// childWaits is set for a child that waits for its store to be open.
	childWaits = "SYSOTEL_STORE_CHILD_WAITS"
)

// at is the value of a series at a tick: a counter with a reset now and then.
func at(i int, tick int64) float64 {
	if i%2 == 0 {
		return math.Floor(1000 * math.Sin(float64(tick)*float64(i+1)))
	}
	return float64(tick % (97 * int64(i+1)) * 10)
}

func childTiers() []TierConfig {
	return []TierConfig{{time.Second, 2 * time.Hour}, {time.Minute, 24 * time.Hour}, {5 * time.Minute, 48 * time.Hour}}
}

// TestMain is also the child that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := appendForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// appendForEver appends readings as fast as it can, a second apart, and reports each.
func appendForEver(dir string) error {
	tick, err := strconv.ParseInt(os.Getenv(childTick), 10, 64)
	if err != nil {
		return err
	}
	free, err := strconv.ParseInt(os.Getenv(childFree), 10, 64)
	if err != nil {
		return err
	}
	m := newMachine(time.Unix(tick-1, 0))
	s, err := Open(Options{
		Dir: dir, Tiers: childTiers(), Labels: labels.FromStrings("host_name", "h"), Clock: m.judge(),
		Free: func(string) (int64, error) { return free, nil },
	})
	if err != nil {
		return err
	}
	if os.Getenv(childWaits) != "" {
		<-s.Opened()
	}
	maintain := make(chan struct{}, 1)
	go func() {
		<-s.Opened()
		for range maintain {
			s.Maintain(context.Background())
		}
	}()
	series := killSeries()
	for {
		m.pass(time.Second)
		r := reading(m.now(), "f")
		for i, one := range series {
			r.Collectors[0].Samples = append(r.Collectors[0].Samples, Sample{one, at(i, tick)})
		}
		if err := s.Append(r); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "in %d\n", tick); err != nil {
			return err
		}
		if tick%60 == 0 {
			select {
			case maintain <- struct{}{}:
			default:
			}
		}
		tick++
	}
}

func killSeries() (series []*Series) {
	for i := range 20 {
		if i%2 == 0 {
			series = append(series, gauge("g", strconv.Itoa(i)))
		} else {
			series = append(series, counter("c", strconv.Itoa(i)))
		}
	}
	return series
}

// lived is a life of the child: the readings from first to acked are in the store, and
// the next, which was in flight, may be.
type lived struct{ first, acked int64 }

// TestKill: a child that is killed at any time, mostly while its store is being opened,
// loses only the reading in flight; nothing is doubled, no bucket is wrong, and every
// start succeeds.
func TestKill(t *testing.T) {
	kills := 10
	if soak() {
		kills = 200
	}
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	tick := noon.Unix() + 1
	plains := []*plain{}
	for _, one := range killSeries() {
		plains = append(plains, &plain{series: one})
	}
	var lives []lived
	readings, inOpening, lost := 0, 0, 0
	for n := range kills {
		count, free, waits := 1+rng.IntN(60), int64(1<<40), ""
		switch n % 4 {
		case 0:
			count = 1 + rng.IntN(1000)
		case 1:
			free = reserved
		case 2:
			count, waits = 1+rng.IntN(500), "1"
		}
		life := lived{first: tick}
		var opening bool
		life.acked, opening = runAndKill(t, dir, tick, count, free, waits)
		if opening {
			inOpening++
		}
		lives = append(lives, life)
		tick = life.acked + 2 + int64(rng.IntN(50))
		if rng.IntN(3) == 0 && n < kills-1 {
			continue // The next life finds what this one left in the log.
		}
		m := newMachine(time.Unix(tick, 0))
		s, err := Open(m.options(t, dir, childTiers()...))
		if err != nil {
			t.Fatalf("kill %d: the start is refused: %v", n, err)
		}
		<-s.Opened()
		if h, stats := s.Health(), s.Stats(); h.Status != health.OK || stats.Waiting > 0 || h.Reason != "" {
			t.Errorf("kill %d: %s, %s, %+v", n, h.Status, h.Reason, stats)
		}
		stored := points(t, s.tiers[0])[plains[0].series.Labels.String()]
		for _, life := range lives {
			last := life.acked
			if slices.ContainsFunc(stored, func(p point) bool { return p.t == (life.acked+1)*1000 }) {
				last++
			} else {
				lost++
			}
			for i, p := range plains {
				for at1 := life.first; at1 <= last; at1++ {
					p.samples = append(p.samples, point{at1 * 1000, at(i, at1)})
				}
			}
			readings += int(last - life.first + 1)
		}
		compareKilled(t, s, plains, lives[0].first)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("kill %d", n)
		}
		lives = nil
	}
	t.Logf("%d readings in %d lives, %d killed while the store was being opened; %d lost the reading in flight", readings, kills, inOpening, lost)
	if inOpening == 0 || inOpening == kills {
		t.Error("want both, killed before the store was open and after")
	}
}

// compareKilled checks the samples since a tick, and all buckets.
func compareKilled(t *testing.T, s *Store, plains []*plain, first int64) {
	t.Helper()
	raw := pointsBetween(t, s.tiers[0], first*1000, math.MaxInt64/2)
	newest := s.tiers[0].newest.Load()
	counts := map[int64]float64{}
	for _, p := range plains[0].samples {
		counts[p.t]++
	}
	for _, p := range plains {
		key := p.series.Labels.String()
		from, _ := slices.BinarySearchFunc(p.samples, first*1000, func(p point, t int64) int { return cmp.Compare(p.t, t) })
		comparePoints(t, "1s "+key, raw[key], p.samples[from:])
	}
	for _, tier := range s.tiers[1:] {
		found := points(t, tier)
		interval := tier.Resolution().Milliseconds()
		for _, p := range plains {
			// The reading in flight may have written a bucket before it was lost.
			inFlight := p.rollUp(interval, newest+1000)
			for key, want := range p.rollUp(interval, newest) {
				if len(found[key]) == len(inFlight[key]) {
					want = inFlight[key]
				}
				comparePoints(t, tier.Name()+" "+key, found[key], want)
			}
		}
		for _, p := range found[s.readingsSeriesLabels("f")] {
			n := 0.0
			for at := p.t - interval + 1000; at <= p.t; at += 1000 {
				n += counts[at]
			}
			if p.v != n {
				t.Errorf("%s: %v readings at %d, want %v", tier.Name(), p.v, p.t, n)
			}
		}
	}
}

// runAndKill runs the child until it appended a number of readings. It returns the last
// one it reported, and whether its store was still being opened.
func runAndKill(t *testing.T, dir string, tick int64, readings int, free int64, waits string) (acked int64, opening bool) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childTick, tick), fmt.Sprintf("%s=%d", childFree, free), childWaits+"="+waits)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		number, ok := strings.CutPrefix(lines.Text(), "in ")
		if !ok {
			t.Errorf("the child says %q", lines.Text())
			continue
		}
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			acked = n
		}
		if readings--; readings == 0 {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	if acked == 0 {
		t.Fatal("the child appended nothing")
	}
	return acked, len(logged(t, dir)) > 0
}
