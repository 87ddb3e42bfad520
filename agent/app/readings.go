package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"sysotel/agent/config"
	"sysotel/agent/export"
	"sysotel/agent/health"
	"sysotel/agent/queue"
	"sysotel/agent/sampler"
	"sysotel/instruments"
)

// readings are where readings come from and where they go.
type readings struct {
	sampler  *sampler.Sampler
	exporter *export.Exporter
}

// openReadings wires the sampler and the exporter. The collector of the agent itself
// reports both.
func (a *App) openReadings(o Options, host *instruments.Host, name string) error {
	r := &a.readings
	started := host.Now()
	about := instruments.AgentStats{
		HostID: host.ID(), Version: o.Version, URL: o.Config.API.HTTP.PublicURL(),
		MemoryLimit: uint64(o.Config.Memory.Limit), //nolint:gosec // It is valid.
		Started:     started.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		Interval:    slowest(o.Config),
	}
	collectors := instruments.NewCollectors(o.Config.Instruments, func() instruments.AgentStats {
		s := r.stats(host, about)
		s.Store, s.Records = a.history.stats()
		s.Config = a.reloaded.stats()
		return s
	})
	own, err := export.OwnNames(collectors, o.Config.Instruments.Conventions, o.Config.Export)
	if err != nil {
		return err
	}
	instruments.Reserve(collectors, own)
	reading := sampler.Options{
		Host: host, Collectors: collectors, Measured: o.Config.Instruments, Interval: o.Config.Sampling.Interval,
		HostName: name, Version: o.Version, Log: a.log, Clock: a.clock,
	}
	exporting := export.Options{
		Config: o.Config.Export, Collectors: collectors, Conventions: o.Config.Instruments.Conventions, Host: host,
		Started: started, Clock: a.clock, HostName: name, Version: o.Version, Log: a.log,
	}
	a.history.readingOptions(&reading, &exporting)
	if exporting.Queue, err = a.openQueue(o.Config); err != nil {
		return err
	}
	r.sampler = sampler.New(reading)
	exporting.Machine = r.sampler
	if r.exporter, err = export.New(exporting); err != nil {
		return err
	}
	r.sampler.AfterTick = r.exporter.Collect
	return nil
}

// stats completes what the agent knows of itself.
func (r *readings) stats(host *instruments.Host, about instruments.AgentStats) instruments.AgentStats {
	own, s := host.Self(), r.sampler.Stats()
	about.CPUSeconds, about.ResidentBytes = own.CPUSeconds, own.ResidentBytes
	about.Ticks, about.Gaps, about.Collectors = s.Ticks, s.Gaps, s.Collectors
	for i := range about.Collectors {
		c := &about.Collectors[i]
		c.Overflow = r.exporter.Overflow(c.Name)
	}
	about.Queues = r.exporter.Queues()
	return about
}

// resident is the agent's resident memory in bytes as it was read last, 0 if unknown.
func (r *readings) resident() uint64 {
	if reading, _ := r.sampler.Newest("agent"); reading != nil {
		if agent, ok := reading.(*instruments.Agent); ok {
			return agent.ResidentBytes
		}
	}
	return 0
}

// run ticks and sends what is queued, until the context ends. Sending stops after the
// last tick.
func (r *readings) run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { r.exporter.Run(sending) })
	err := r.sampler.Run(ctx)
	stop()
	running.Wait()
	return err
}

// health are the components of both.
func (r *readings) health() []health.Component {
	return append(r.sampler.Health(), r.exporter.Health()...)
}

// shutdown hands over the last reading and what is queued, records the stop, and
// closes every destination.
func (r *readings) shutdown(ctx context.Context) error {
	return errors.Join(r.exporter.Flush(ctx), r.sampler.Close(), r.exporter.Shutdown(ctx))
}

// queueFile is the file of unsent requests, in the data directory.
const queueFile = "queue/otlp.db"

// openQueue opens the queue of the push; nil if nothing is pushed.
func (a *App) openQueue(c config.Config) (*queue.Queue, error) {
	push := c.Export.OTLP
	if push.Endpoint == "" {
		return nil, nil
	}
	q, err := queue.Open(context.Background(), queue.Options{
		Path: filepath.Join(c.DataDir, queueFile), Partitions: export.Partitions(push, c.Store.Tiers), MaxBytes: int64(push.Queue.MaxBytes), MaxAge: push.Queue.MaxAge, Clock: a.clock,
		Log: a.log.With("component", "queue"), Damaged: a.noteDamage,
	})
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	a.closers = append(a.closers, q.Close)
	return q, nil
}
