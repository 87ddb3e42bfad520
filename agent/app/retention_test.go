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

// remember gives a data directory so much history of so many series, as an agent
// would have left it that kept it for longer.
func remember(tb testing.TB, c config.Config, tiers []store.TierConfig, length time.Duration, series int) {
	tb.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(c.DataDir, storeDir), Tiers: tiers})
	if err != nil {
		tb.Fatal(err)
	}
	<-s.Opened()
	family := store.CollectorReading{Collector: "past"}
	for i := range series {
		family.Samples = append(family.Samples, store.Sample{Series: &store.Series{
			Labels:  labels.FromStrings(model.MetricNameLabel, "past_value", "i", strconv.Itoa(i)),
			MinName: "past_value_min", MaxName: "past_value_max",
		}})
	}
	random := rand.New(rand.NewPCG(1, 1))
	now := time.Now().Truncate(time.Second)
	for at := now.Add(-length); at.Before(now); at = at.Add(time.Second) {
		for i := range family.Samples {
			family.Samples[i].Value = random.Float64() // Which does not compress.
		}
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{family}}); err != nil {
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

// TestRetentionOfARunningAgent: an agent whose finest tier is to hold an hour
// deletes what is older, and only that.
func TestRetentionOfARunningAgent(t *testing.T) {
	c := configure(t)
	const hour = time.Hour
	remember(t, c, []store.TierConfig{{Resolution: time.Second, Retention: 4 * hour}, {Resolution: time.Minute, Retention: 8 * hour}}, 3*hour, 5)
	c.Store.Tiers = []store.TierConfig{{Resolution: time.Second, Retention: hour}, {Resolution: time.Minute, Retention: 8 * hour}}
	dir := filepath.Join(c.DataDir, storeDir)
	limit := time.Now().Add(-hour).UnixMilli()
	outdated := func(b storetest.Block) bool { return b.MaxTime <= limit }
	if blocks := storetest.Blocks(t, dir, "1s"); !slices.ContainsFunc(blocks, outdated) {
		t.Fatalf("nothing is there to be deleted: %v", blocks)
	}
	a := run(t, c)
	a.tick()
	poll(t, func() error {
		if blocks := storetest.Blocks(t, dir, "1s"); slices.ContainsFunc(blocks, outdated) {
			return fmt.Errorf("after an hour these are left: %v", blocks)
		}
		return nil
	})
	// The minutes of that time are still there, and so are the newer seconds.
	for ago, tier := range map[time.Duration]string{2 * hour: "1m", 50 * time.Minute: "1s"} {
		poll(t, func() error {
			at := time.Now().Add(-ago).Unix()
			body, err := ask(t.Context(), a.socket, fmt.Sprintf("/prometheus/api/v1/query?query=past_value&time=%d", at))
			if err == nil && strings.Count(string(body), `"i":`) != 5 {
				err = fmt.Errorf("%s ago, in the tier of %s, there is %s", ago, tier, body)
			}
			return err
		})
	}
}

// TestMaxBytesOfARunningAgent: an agent that may keep less than it finds deletes
// the oldest of the finest tier until it fits, and goes on.
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
			return fmt.Errorf("the data directory has %d bytes, at most %d are allowed", n, c.Store.MaxBytes)
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
