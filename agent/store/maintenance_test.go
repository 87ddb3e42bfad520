package store

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/clock"
	"sysotel/agent/health"
)

// TestRun: buckets are written when their time is over even if no reading comes,
// and the head's chunks are mapped to disk.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := openStore(t, Options{
			Dir: filepath.Join(t.TempDir(), "store"), Tiers: Defaults().Tiers, Labels: labels.FromStrings("host_name", "h"),
			Clock: clock.New(clock.Options{Boot: func() time.Duration { return time.Since(start) }}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		g := gauge("g", "0")
		for range 30 {
			time.Sleep(time.Second)
			s.mustAppend(t, reading(time.Now(), "f", Sample{g, 1}))
		}
		time.Sleep(31 * time.Second)
		if got := points(t, s.tiers[1]); len(got) != 0 {
			t.Errorf("a second after its end the bucket is written: %v", got)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := points(t, s.tiers[1])[g.Labels.String()]; len(got) != 1 {
			t.Errorf("the minutes are %v, want one", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestVerifyAgain: a block that goes bad later is found within a day and set aside,
// and the rest stays readable.
func TestVerifyAgain(t *testing.T) {
	dir := t.TempDir()
	end, _ := aged(t, dir)
	m := newMachine(end)
	s := openStore(t, m.options(t, dir, damagedTiers()...))
	s.Maintain(t.Context())
	if h := s.Health(); h.Status != health.OK {
		t.Fatalf("health is %s, %s", h.Status, h.Reason)
	}
	flip(t, some(t, 1, filepath.Join(s.tiers[0].dir, "[0-9A-Z]*[0-9A-Z]", "chunks", "0*"))[0], 0.5)
	m.pass(time.Minute)
	s.Maintain(t.Context())
	if h := s.Health(); h.Status != health.OK {
		t.Fatal("it is verified at once, which costs too much")
	}
	m.pass(verifyAfter)
	s.tiers[0].config.Retention *= 100
	s.Maintain(t.Context())
	if asides, err := s.setAsideFiles(); err != nil || len(asides) != 1 {
		t.Errorf("set aside are %v (%v), want the block", asides, err)
	}
	countSamples(t, s)
}
