package store

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
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

// appendForEver appends readings as fast as it can, a second apart, and reports
// each.
func appendForEver(dir string) error {
	tick, err := strconv.ParseInt(os.Getenv(childTick), 10, 64)
	if err != nil {
		return err
	}
	m := newMachine(time.Unix(tick-1, 0))
	s, err := Open(Options{
		Dir: dir, Tiers: childTiers(), Labels: labels.FromStrings("host_name", "h"), Now: m.now, Boot: m.boot,
	})
	if err != nil {
		return err
	}
	<-s.Opened()
	maintain := make(chan struct{}, 1)
	go func() {
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

// TestKill: a child killed during appends loses only the reading in flight, no
// bucket is wrong, and every start succeeds.
func TestKill(t *testing.T) {
	kills := 10
	if soak() {
		kills = 50
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	tick := noon.Unix() + 1
	plains := []*plain{}
	for _, one := range killSeries() {
		plains = append(plains, &plain{series: one})
	}
	for n := range kills {
		first := tick
		acked := runAndKill(t, dir, tick, 1+rng.IntN(2000))
		m := newMachine(time.Unix(acked, 0))
		s, err := Open(m.options(t, dir, childTiers()...))
		if err != nil {
			t.Fatalf("kill %d: the start is refused: %v", n, err)
		}
		<-s.Opened()
		if h := s.Health(); h.Status != health.OK {
			t.Errorf("kill %d: %s, %s", n, h.Status, h.Reason)
		}
		last := s.tiers[0].Newest().Unix()
		if last < acked {
			t.Fatalf("kill %d: the newest reading is %d, but %d was in", n, last, acked)
		}
		for i, p := range plains {
			for at1 := first; at1 <= last; at1++ {
				p.samples = append(p.samples, point{at1 * 1000, at(i, at1)})
			}
		}
		compareKilled(t, s, plains, first)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		tick = last + 1 + int64(rng.IntN(100))
	}
	t.Logf("%d readings in %d lives", len(plains[0].samples), kills)
}

// compareKilled checks the samples since the last start, and all buckets.
func compareKilled(t *testing.T, s *Store, plains []*plain, first int64) {
	t.Helper()
	raw := pointsBetween(t, s.tiers[0], first*1000, math.MaxInt64/2)
	newest := s.tiers[0].newest.Load()
	for _, p := range plains {
		key := p.series.Labels.String()
		var want []point
		for _, one := range p.samples {
			if one.t >= first*1000 {
				want = append(want, one)
			}
		}
		comparePoints(t, "1s "+key, raw[key], want)
	}
	for _, tier := range s.tiers[1:] {
		found := points(t, tier)
		for _, p := range plains {
			// The reading in flight may have written a bucket before it was lost.
			interval := tier.Resolution().Milliseconds()
			inFlight := p.rollUp(interval, newest+1000)
			for key, want := range p.rollUp(interval, newest) {
				if len(found[key]) == len(inFlight[key]) {
					want = inFlight[key]
				}
				comparePoints(t, tier.Name()+" "+key, found[key], want)
			}
		}
	}
}

// runAndKill runs the child until it appended a number of readings, and returns the
// last one it reported.
func runAndKill(t *testing.T, dir string, tick int64, readings int) (acked int64) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprintf("%s=%d", childTick, tick))
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
	return acked
}
