package app

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/config"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// remember fills a data directory with history of the given length, as an agent with a
// longer retention would have left it.
func remember(tb testing.TB, c config.Config, tiers []store.TierConfig, length time.Duration, series int) {
	tb.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(c.DataDir, storeDir), Tiers: tiers})
	if err != nil {
		tb.Fatal(err)
	}
	<-s.Opened()
	reading := store.CollectorReading{Collector: "past"}
	for i := range series {
		reading.Samples = append(reading.Samples, store.Sample{Series: &store.Series{
			Labels:  labels.FromStrings(model.MetricNameLabel, "past_value", "i", strconv.Itoa(i)),
			MinName: "past_value_min", MaxName: "past_value_max",
		}})
	}
	random := rand.New(rand.NewPCG(1, 1))
	now := time.Now().Truncate(time.Second)
	for at := now.Add(-length); at.Before(now); at = at.Add(time.Second) {
		for i := range reading.Samples {
			reading.Samples[i].Value = random.Float64() // Does not compress.
		}
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{reading}}); err != nil {
			tb.Fatal(err)
		}
		if at.Unix()%1800 == 0 {
			s.Maintain(tb.Context())
		}
	}
	s.Maintain(tb.Context())
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// TestRetentionOfARunningAgent: an agent whose finest tier keeps an hour deletes only
// what is older.
func TestRetentionOfARunningAgent(t *testing.T) {
	c := configure(t)
	const hour = time.Hour
	remember(t, c, []store.TierConfig{{Resolution: time.Second, Retention: 4 * hour}, {Resolution: time.Minute, Retention: 8 * hour}}, 3*hour, 5)
	c.Store.Tiers = []store.TierConfig{{Resolution: time.Second, Retention: hour}, {Resolution: time.Minute, Retention: 8 * hour}}
	dir := filepath.Join(c.DataDir, storeDir)
	limit := time.Now().Add(-hour).UnixMilli()
	outdated := func(b storetest.Block) bool { return b.MaxTime <= limit }
	if blocks := storetest.Blocks(t, dir, "1s"); !slices.ContainsFunc(blocks, outdated) {
		t.Fatalf("no block is outdated: %v", blocks)
	}
	a := run(t, c)
	a.tick()
	poll(t, func() error {
		if blocks := storetest.Blocks(t, dir, "1s"); slices.ContainsFunc(blocks, outdated) {
			return fmt.Errorf("an outdated block is left: %v", blocks)
		}
		return nil
	})
	// The coarser tier still covers that time, and newer seconds are kept.
	for ago, tier := range map[time.Duration]string{2 * hour: "1m", 50 * time.Minute: "1s"} {
		poll(t, func() error {
			at := time.Now().Add(-ago).Unix()
			body, err := ask(t.Context(), a.socket, fmt.Sprintf("/prometheus/api/v1/query?query=past_value&time=%d", at))
			if err == nil && strings.Count(string(body), `"i":`) != 5 {
				err = fmt.Errorf("%s ago, in tier %s: %s", ago, tier, body)
			}
			return err
		})
	}
}

// TestMaxBytesOfARunningAgent: an agent with too much history deletes the oldest blocks
// of the finest tier until it fits, and goes on recording.
func TestMaxBytesOfARunningAgent(t *testing.T) {
	c := configure(t)
	remember(t, c, store.Defaults().Tiers, 11*time.Hour, 200)
	c.Store.MaxBytes = 64 << 20
	dir := filepath.Join(c.DataDir, storeDir)
	if n := storetest.Size(t, dir); n <= int64(c.Store.MaxBytes) {
		t.Fatalf("the history has only %d bytes", n)
	}
	before := storetest.Blocks(t, dir, "1s")
	a := run(t, c)
	a.tick()
	poll(t, func() error {
		if n := storetest.Size(t, c.DataDir); n > int64(c.Store.MaxBytes) {
			return fmt.Errorf("the data directory has %d bytes, want at most %d", n, c.Store.MaxBytes)
		}
		return nil
	})
	if after := storetest.Blocks(t, dir, "1s"); len(after) >= len(before) {
		t.Errorf("blocks %v became %v", before, after)
	}
	newest := a.tick()
	poll(t, func() error {
		from, err := oldest(a, "system_cpu_load_average_1m")
		if err == nil && from.After(newest) {
			err = fmt.Errorf("the newest history begins at %s, want %s or before", from, newest)
		}
		return err
	})
}
