//go:build linux

package app

import (
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
)

// quickTiers are tiers with many buckets within a test.
const quickTiers = `
store:
  tiers:
    - {resolution: 1s, retention: 1h}
    - {resolution: 5s, retention: 2h}
    - {resolution: 15s, retention: 3h}
otlp: {tiered: true}
`

// TestTiersThroughCollector: a tiered destination behind a real Collector gets every
// point that the agent keeps in each tier, once, although the agent is killed with
// SIGKILL repeatedly.
func TestTiersThroughCollector(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	collector := newCollector(t, r)
	collector.start()
	c := configure(t)
	file := filepath.Join(t.TempDir(), "sysotel.yaml")
	if err := os.WriteFile(file, []byte(quickTiers), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := append(sameFlags(c), "--config="+file, "--otlp.endpoint=http://"+collector.receiver)
	deadline := time.Now().Add(soakLength(t) / 2)
	kills := 0
	a := spawn(t, "agent", "tiersagent", nil, flags...)
	for ; kills < 3 || time.Now().Before(deadline); kills++ {
		awaitTick(t, unixClient(c), 2+uint64(rand.IntN(7)))
		// Kill it between two ticks, when no request is in progress: OTLP repeats a
		// request whose response was lost.
		<-time.After(300*time.Millisecond + rand.N(500*time.Millisecond))
		a.Kill()
		<-a.Exited()
		a = spawn(t, "agent", "tiersagent", nil, flags...)
	}
	last := awaitTick(t, unixClient(c), 3).Timestamp.Truncate(15 * time.Second).Add(15 * time.Second)
	r.await("15s", last)
	if err := a.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	r.drain()

	if name, err := os.Hostname(); err != nil || !maps.Equal(r.resources["5s"], map[string]string{"host.name": name, "tier": "5s"}) {
		t.Errorf("the resource is %v (%v)", r.resources["5s"], err)
	}
	s, err := store.Open(store.Options{Dir: filepath.Join(c.DataDir, storeDir), Tiers: []store.TierConfig{
		{Resolution: time.Second, Retention: time.Hour}, {Resolution: 5 * time.Second, Retention: 2 * time.Hour}, {Resolution: 15 * time.Second, Retention: 3 * time.Hour},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	<-s.Opened()
	for i, tier := range s.Tiers() {
		points := 0
		kept := keptPoints(t, s, i, r.newest[tier.Name()])
		for series, values := range kept {
			for at, v := range values {
				points++
				if got, ok := r.values[series][at]; !ok || got != v {
					t.Errorf("%v at %s is %g (arrived: %t), the agent keeps %g", series, at, got, ok, v)
				}
			}
		}
		for series, times := range r.arrivals {
			for at, n := range times {
				if series.service != tier.Name() {
					break
				}
				if n != 1 {
					t.Errorf("%v: the point of %s arrived %d times", series, at, n)
				}
				if _, ok := kept[series][at]; !ok && r.hasValue(series, at) {
					t.Errorf("%v at %s arrived, but the agent does not keep it", series, at)
				}
			}
		}
		t.Logf("%s: %d points of %d series over %d kills", tier.Name(), points, len(kept), kills)
		if programs := len(r.programs(tier.Name())); (programs > 0) != (i < 2) {
			t.Errorf("tier %s has %d series of programs", tier.Name(), programs)
		}
	}
}

// hasValue reports whether a point arrived with a value; one that ends its series has
// none.
func (r *recorder) hasValue(series seriesID, at time.Time) bool {
	_, ok := r.values[series][at]
	return ok
}

// programs returns the series of programs that arrived.
func (r *recorder) programs(service string) (found []seriesID) {
	for series := range r.arrivals {
		if series.service == service && series.scope == "sysotel/process" && strings.HasPrefix(series.metric, "process.") {
			found = append(found, series)
		}
	}
	return found
}

// keptPoints returns the points of a tier up to a time, under their OTLP names.
func keptPoints(t *testing.T, s *store.Store, tier int, until time.Time) map[seriesID]map[time.Time]float64 {
	t.Helper()
	kept := map[seriesID]map[time.Time]float64{}
	err := s.Points(t.Context(), tier, time.Unix(0, 0), until, func(p *store.Point) {
		if p.Ended || math.IsNaN(p.Value) {
			return
		}
		series := seriesID{s.Tiers()[tier].Name(), "sysotel/" + p.Collector, p.Origin.Name, ""}
		if p.Rollup != nil {
			if p.Rollup.Rate {
				series.metric += ".rate"
			}
			series.metric += []string{".min", ".max"}[p.Rollup.Extreme]
		}
		var words []string
		p.Labels.Range(func(l labels.Label) {
			if l.Name != "__name__" && l.Name != "host_name" {
				key := l.Name
				if a, ok := p.Origin.Attributes[l.Name]; ok {
					key = a.Key
				}
				words = append(words, key+"="+l.Value)
			}
		})
		slices.Sort(words)
		series.attributes = strings.Join(words, ",")
		if kept[series] == nil {
			kept[series] = map[time.Time]float64{}
		}
		kept[series][p.Time.UTC()] = p.Value
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}
