package sampler

import (
	"context"
	"testing"
	"time"

	"sysotel/instruments"
)

// BenchmarkTick reads every collector once on the machine that it runs on, without
// exporting anything.
func BenchmarkTick(b *testing.B) {
	c := instruments.Defaults()
	stats := func() instruments.AgentStats { return instruments.AgentStats{} }
	s := New(Options{
		Host: instruments.NewHost("/"), Collectors: instruments.NewCollectors(c, stats), Measured: c, Interval: time.Second, Log: (&logbook{}).logger(),
	})
	ctx, cancel := context.WithCancel(b.Context())
	run := &worker{work: make(chan instruments.Tick), done: make(chan struct{}, 1), sampler: s}
	go run.loop(ctx)
	tick := instruments.Tick{Time: time.Now().Truncate(time.Second), Interval: time.Second}
	step := func() {
		tick.Seq++
		tick.Time = tick.Time.Add(time.Second)
		run = s.readAll(ctx, run, tick)
		s.publish(tick)
	}
	b.Cleanup(func() {
		close(run.work)
		cancel()
	})
	step()
	step() // There are rates since the second.
	b.ReportAllocs()
	for b.Loop() {
		step()
	}
}
