//go:build linux

package app

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"sysotel/agent/store"
)

// TestSoakStack sends an agent's readings through the Collector to a node for each
// tier. The node of the finest tier is stopped for a while, during which the Collector
// is killed; later the agent is killed. In the end every tier has every sample once.
func TestSoakStack(t *testing.T) {
	t.Parallel()
	length := soakLength(t)
	resolutions := []time.Duration{time.Second, 10 * time.Second, time.Minute, 5 * time.Minute}
	if length < 10*time.Minute {
		// Each tier has whole buckets within a minute and a half.
		length = max(length, 90*time.Second)
		resolutions = []time.Duration{time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second}
	}
	var names []string
	for _, r := range resolutions {
		names = append(names, tierWord(r))
	}
	s := newStack(t, names...)
	c := configure(t)
	journal := filepath.Join(c.DataDir, "stack.log")
	flags := append(
		sameFlags(c), "--config="+tieredConfig(t, resolutions), "--otlp.endpoint=http://"+s.grpc,
		"--log.file="+journal, "--log.format=json",
	)
	began := time.Now()
	after := func(share float64) {
		t.Helper()
		betweenTicks(began.Add(time.Duration(share * float64(length))))
	}
	agent := spawn(t, "agent", "stackagent", nil, flags...)
	first := awaitTick(t, unixClient(c), 1)

	after(0.15)
	s.nodes[0].stop()
	after(0.3)
	s.collector.Kill()
	after(0.36)
	s.startCollector()
	after(0.5)
	s.nodes[0].start()
	after(0.65)
	killed := time.Now()
	agent.Kill()
	agent = spawn(t, "agent", "stackagent", nil, flags...)
	back := awaitTick(t, unixClient(c), 1)
	after(1)
	if err := agent.Stop(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	t.Logf("the agent ran from %s, was killed at %s, and ran again from %s", timeOfDay(first.Timestamp), timeOfDay(killed), timeOfDay(back.Timestamp))

	// The kill may lose the last second in the store or on the way to the Collector.
	torn := map[int64]bool{}
	for at := killed.Unix() - 1; at <= killed.Unix(); at++ {
		torn[1000*at] = true
	}
	var finest samples
	for i, n := range s.nodes {
		kept := tierOnDisk(t, c.DataDir, n.tier)
		sent := n.awaitSamples(kept, torn)
		n.checkOnce(sent, kept, torn)
		if i == 0 {
			finest = sent
			checkSeconds(t, readJournal(t, journal), finest, first.Timestamp.Unix())
			continue
		}
		checkBuckets(t, n.tier, finest, sent, resolutions[i], torn)
	}
	if t.Failed() {
		t.Logf("the agent's log:\n%s", readJournal(t, journal))
	}
}

func timeOfDay(t time.Time) string { return t.Format(time.TimeOnly) }

// tierWord is the name of a tier.
func tierWord(d time.Duration) string {
	return strings.NewReplacer("m0s", "m", "h0m0s", "h").Replace(d.String())
}

// tieredConfig writes a configuration with these tiers, all of which are sent.
func tieredConfig(tb testing.TB, resolutions []time.Duration) string {
	tb.Helper()
	text := "otlp:\n  tiered: true\nstore:\n  tiers:\n"
	for i, r := range resolutions {
		text += fmt.Sprintf("    - {resolution: %s, retention: %dh}\n", r, 24*(i+1))
	}
	path := filepath.Join(tb.TempDir(), "sysotel.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// betweenTicks waits until no request is in progress: after a tick was sent and well
// before the next.
func betweenTicks(at time.Time) {
	at = at.Truncate(time.Second).Add(700 * time.Millisecond)
	<-time.After(time.Until(at))
}

// awaitSamples waits until the node has all samples except the torn ones, and returns
// what it has. If some do not arrive the test fails and goes on.
func (n *node) awaitSamples(want samples, torn map[int64]bool) samples {
	n.tb.Helper()
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		got := n.export(`{__name__!=""}`)
		missing := lacking(got, want, torn)
		if len(missing) == 0 {
			return got
		}
		select {
		case <-ticker.C:
		case <-deadline:
			n.tb.Errorf("%s: %d samples of the agent did not arrive:\n%s", n.tier, len(missing), strings.Join(missing[:min(len(missing), 20)], "\n"))
			return got
		}
	}
}

// checkOnce: no sample arrived twice, and the agent has all of them.
func (n *node) checkOnce(got, want samples, torn map[int64]bool) {
	n.tb.Helper()
	points, twice, strange := 0, 0, 0
	for series, times := range got {
		for at, values := range times {
			points++
			if len(values) != 1 {
				if twice++; twice < 10 {
					n.tb.Errorf("%s: %s has %d samples at %d", n.tier, series, len(values), at)
				}
			}
			if want[series][at] == nil && !torn[at] {
				if strange++; strange < 10 {
					n.tb.Errorf("%s: %s has a sample at %d that the agent does not have", n.tier, series, at)
				}
			}
		}
	}
	n.tb.Logf("%s: %d samples of %d series, %d more than once, %d that the agent does not have", n.tier, points, len(got), twice, strange)
}

// tierOnDisk returns a tier of the agent's own store, read from its files while no agent
// runs, without the node_ series, which are not sent by OTLP.
func tierOnDisk(tb testing.TB, dataDir, tier string) samples {
	tb.Helper()
	db, err := tsdb.OpenDBReadOnly(filepath.Join(dataDir, storeDir, "tiers", tier), tb.TempDir(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	q, err := db.Querier(0, math.MaxInt64)
	if err != nil {
		tb.Fatal(err)
	}
	defer q.Close()
	all := samples{}
	set := q.Select(tb.Context(), false, nil, labels.MustNewMatcher(labels.MatchNotEqual, "__name__", ""))
	for set.Next() {
		times := map[int64][]float64{}
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			if at, v := it.At(); !value.IsStaleNaN(v) {
				times[at] = append(times[at], v)
			}
		}
		if it.Err() != nil {
			tb.Fatal(it.Err())
		}
		l := set.At().Labels()
		here := slices.ContainsFunc([]string{"node_", "ALERTS"}, func(prefix string) bool { return strings.HasPrefix(l.Get("__name__"), prefix) })
		if len(times) > 0 && !here && l.Get("family") != store.Rules { // These stay here.
			all[seriesName(l.Map())] = times
		}
	}
	if set.Err() != nil {
		tb.Fatal(set.Err())
	}
	return all
}

const (
	// decimals is the precision of a node, which stores decimal numbers with fewer
	// digits than a float64.
	decimals = 1e-9
	// rounded is the precision of averages in a tier, that of a float32.
	rounded = 1e-6
)

// lacking lists the samples of want that got lacks or has with another value.
func lacking(got, want samples, torn map[int64]bool) (missing []string) {
	for _, series := range slices.Sorted(maps.Keys(want)) {
		for _, at := range slices.Sorted(maps.Keys(want[series])) {
			if torn[at] {
				continue
			}
			if values := got[series][at]; len(values) == 0 || !equalWithin(values[0], want[series][at][0], decimals) {
				missing = append(missing, fmt.Sprintf("%s has %v at %d, the agent has %v", series, values, at, want[series][at]))
			}
		}
	}
	return missing
}

func equalWithin(a, b, tolerance float64) bool {
	return a == b || math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b), 1e-6)
}

// checkSeconds: every second from the first to the last is there, except those that the
// agent logged as missed and those in which no agent ran.
func checkSeconds(tb testing.TB, log *journal, finest samples, first int64) {
	tb.Helper()
	seconds := map[int64]bool{}
	for series, times := range finest {
		if strings.Contains(series, `__name__="system_cpu_load_average_1m"`) {
			for at := range times {
				seconds[at/1000] = true
			}
		}
	}
	missed := log.missed(tb)
	last := slices.Max(slices.Collect(maps.Keys(seconds)))
	absent := 0
	for at := first; at <= last; at++ {
		if !seconds[at] && !missed[time.Unix(at, 0).UTC()] {
			absent++
		}
	}
	// No agent logs the seconds between the kill and the next reading.
	if absent > 3 {
		tb.Errorf("%d seconds between %d and %d are missing, and no gap explains them", absent, first, last)
	}
	tb.Logf("%d seconds from the first to the last, %d missing while the agent started again", last-first+1, absent)
}

// checkBuckets: each bucket of a coarser tier is the roll-up of the finest tier's samples
// in (end−resolution, end].
func checkBuckets(tb testing.TB, tier string, finest, coarse samples, resolution time.Duration, torn map[int64]bool) {
	tb.Helper()
	width := resolution.Milliseconds()
	checked := 0
	for series, times := range finest {
		if coarse[series] == nil {
			continue // The coarsest tiers have no programs.
		}
		minimum, maximum := extremesOf(coarse, series)
		counter := strings.Contains(strings.SplitN(series[strings.Index(series, "__name__"):], ",", 2)[0], `_total"`)
		for end, got := range coarse[series] {
			if end%width != 0 {
				if want := times[end]; !counter || len(want) == 0 || !equalWithin(got[0], want[0], rounded) {
					tb.Errorf("%s: %s has %v at %d, which is not the end of a bucket; the seconds have %v", tier, series, got, end, want)
				}
				continue
			}
			var sum, low, high, last float64
			n, spoiled := 0, false
			for at := end - width + 1000; at <= end; at += 1000 {
				spoiled = spoiled || torn[at]
				if v := times[at]; len(v) > 0 {
					if n == 0 {
						low, high = v[0], v[0]
					}
					sum, low, high, last = sum+v[0], min(low, v[0]), max(high, v[0]), v[0]
					n++
				}
			}
			if spoiled || n == 0 {
				continue
			}
			checked++
			want := sum / float64(n)
			switch {
			case counter:
				want = last
			case strings.Contains(series, `"sysotel_family_readings"`):
				want = sum // It is a count.
			}
			if !equalWithin(got[0], want, rounded) {
				tb.Errorf("%s: %s is %v at %d, the seconds give %v", tier, series, got[0], end, want)
			}
			if counter || minimum == nil {
				continue
			}
			if lo, hi := minimum[end], maximum[end]; len(lo) != 1 || len(hi) != 1 || !equalWithin(lo[0], low, rounded) || !equalWithin(hi[0], high, rounded) {
				tb.Errorf("%s: %s has the minimum %v and maximum %v at %d, the seconds give %v and %v", tier, series, lo, hi, end, low, high)
			}
		}
	}
	if checked == 0 {
		tb.Errorf("%s: no bucket could be checked", tier)
	}
	tb.Logf("%s: %d buckets match their seconds", tier, checked)
}

// extremesOf returns the series of the minimum and maximum, whose names have min or max
// inserted before the unit.
func extremesOf(all samples, series string) (minimum, maximum map[int64][]float64) {
	const label = `__name__="`
	begin := strings.Index(series, label) + len(label)
	name := series[begin : begin+strings.IndexByte(series[begin:], '"')]
	with := func(word string) map[int64][]float64 {
		words := strings.Split(name, "_")
		for i := len(words); i > 0; i-- {
			other := strings.Join(slices.Concat(words[:i], []string{word}, words[i:]), "_")
			if found := all[series[:begin]+other+series[begin+len(name):]]; found != nil {
				return found
			}
		}
		return nil
	}
	return with("min"), with("max")
}
