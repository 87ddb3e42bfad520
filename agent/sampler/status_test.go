package sampler

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/agent/health"
	"sysotel/instruments"
)

// component is one component of the sampler's health.
func component(t *testing.T, s *Sampler, name string) health.Component {
	t.Helper()
	for _, c := range s.Health() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("health has no component %s", name)
	return health.Component{}
}

func TestHealthOfTheSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testSampler(t, time.Second, &logbook{}, nil)
		clock := steer(s)
		if h := component(t, s, "sampler"); h.Status != "ok" || h.Reason == "" {
			t.Errorf("before the first tick: %+v", h)
		}
		pass(11 * time.Second)
		equal(t, "without a tick for 11 s", component(t, s, "sampler").Status, "failed")

		s.publish(instruments.Tick{Time: time.Now(), Seq: 1})
		equal(t, "after a tick", component(t, s, "sampler").Status, "ok")
		// Neither a clock that is set nor a machine that slept is a sampler that hangs.
		clock.set(time.Hour)
		equal(t, "with the clock an hour ahead", component(t, s, "sampler").Status, "ok")
		clock.sleep(time.Hour)
		equal(t, "after an hour of sleep", component(t, s, "sampler").Status, "ok")
		pass(9 * time.Second)
		if h := component(t, s, "sampler"); h.Status != "failed" || !strings.Contains(h.Reason, "no tick since 2000-01-01T00:00:11Z") {
			t.Errorf("without a tick for 9 s: %+v", h)
		}
	})
}

func TestHealthAndStatsOfACollector(t *testing.T) {
	s := testSampler(t, time.Second, &logbook{}, nil, &fake{name: "load"}, &fake{name: "cpu"})
	tick := instruments.Tick{Time: at("12:00:00"), Seq: 1}
	load := s.byName["load"]
	s.finished(load, tick, nil, 1, errors.New("no such file"), 3*time.Millisecond)
	h := component(t, s, "family load")
	equal(t, "status", h.Status, "degraded")
	equal(t, "reason", h.Reason, "no such file")
	equal(t, "since", h.Since, at("12:00:00"))
	s.byName["cpu"].enabled.Store(false)
	s.publish(tick)

	stats := s.Stats()
	equal(t, "ticks", stats.Ticks, 1)
	equal(t, "gaps", stats.Gaps[causeError], 1)
	equal(t, "collectors", len(stats.Collectors), 1)
	for _, f := range stats.Collectors {
		equal(t, "a disabled collector is listed", f.Name == "cpu", false)
		if f.Name == "load" {
			equal(t, "seconds", f.Seconds, 0.003)
			equal(t, "ok", f.OK, false)
			equal(t, "failures", f.Failures, 1)
			equal(t, "retries", f.Retries, 1)
		}
	}
	s.finished(load, tick, &instruments.Load{}, 0, nil, time.Millisecond)
	equal(t, "status when it is back", component(t, s, "family load").Status, "ok")
	equal(t, "reason when it is back", component(t, s, "family load").Reason, "")
}
