package pipeline

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/instruments"
)

// part is one part of the pipeline's health.
func part(t *testing.T, p *Pipeline, name string) Part {
	t.Helper()
	for _, part := range p.Health() {
		if part.Name == name {
			return part
		}
	}
	t.Fatalf("health has no part %s", name)
	return Part{}
}

func TestHealthOfTheSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(testOptions(t, Defaults(), &logbook{}))
		if err != nil {
			t.Fatal(err)
		}
		clock := steer(p.Sampler)
		if h := part(t, p, "sampler"); h.Status != "ok" || h.Reason == "" {
			t.Errorf("before the first tick: %+v", h)
		}
		pass(11 * time.Second)
		equal(t, "without a tick for 11 s", part(t, p, "sampler").Status, "failed")

		p.publish(instruments.Tick{Time: time.Now(), Seq: 1})
		equal(t, "after a tick", part(t, p, "sampler").Status, "ok")
		// Neither a clock that is set nor a machine that slept is a sampler that hangs.
		clock.set(time.Hour)
		equal(t, "with the clock an hour ahead", part(t, p, "sampler").Status, "ok")
		clock.sleep(time.Hour)
		equal(t, "after an hour of sleep", part(t, p, "sampler").Status, "ok")
		pass(9 * time.Second)
		if h := part(t, p, "sampler"); h.Status != "failed" || !strings.Contains(h.Reason, "no tick since 2000-01-01T00:00:11Z") {
			t.Errorf("without a tick for 9 s: %+v", h)
		}
	})
}

func TestHealthAndStatsOfAFamily(t *testing.T) {
	p, err := New(testOptions(t, Defaults(), &logbook{}))
	if err != nil {
		t.Fatal(err)
	}
	tick := instruments.Tick{Time: at("12:00:00"), Seq: 1}
	load := p.byName["load"]
	p.finished(load, tick, nil, 1, errors.New("no such file"), 3*time.Millisecond)
	h := part(t, p, "family load")
	equal(t, "status", h.Status, "degraded")
	equal(t, "reason", h.Reason, "no such file")
	equal(t, "since", h.Since, at("12:00:00"))
	p.byName["cpu"].enabled.Store(false)
	p.publish(tick)

	s := p.stats()
	equal(t, "ticks", s.Ticks, 1)
	equal(t, "gaps", s.Gaps[causeError], 1)
	equal(t, "queues", len(s.Queues), 0)
	for _, f := range s.Collectors {
		equal(t, "a family that is off is told of", f.Name == "cpu", false)
		if f.Name == "load" {
			equal(t, "seconds", f.Seconds, 0.003)
			equal(t, "ok", f.OK, false)
			equal(t, "failures", f.Failures, 1)
			equal(t, "retries", f.Retries, 1)
		}
	}
	p.finished(load, tick, &instruments.Load{}, 0, nil, time.Millisecond)
	equal(t, "status when it is back", part(t, p, "family load").Status, "ok")
	equal(t, "reason when it is back", part(t, p, "family load").Reason, "")
}
