package instruments

import (
	"context"
	"math"
	"strconv"
	"time"
)

// AgentStats is what the agent knows about itself; package app fills it.
type AgentStats struct {
	// Info identifies this agent: host name comes with every point, so only the rest.
	// Started is when it began, in the form of RFC 3339 with milliseconds: machines
	// that were cloned have one id, but their agents did not begin at one moment.
	HostID, Version, Started string
	// URL is where people reach its page, "" if not configured.
	URL string
	// Interval is the longest time between two readings of a collector, 0 if unknown.
	Interval time.Duration
	// CPUSeconds and ResidentBytes are the process's own cost.
	CPUSeconds    float64
	ResidentBytes uint64
	// MemoryLimit is the resident memory that it keeps within in bytes, 0 for no limit.
	MemoryLimit uint64
	// Ticks counts ticks that were read, Gaps those that were missed, by cause.
	Ticks uint64
	Gaps  map[string]uint64
	// Collectors is the status of each collector.
	Collectors []CollectorStats
	// Queues is the status of each push destination's queue.
	Queues []QueueStats
	// Config is what became of the newest reload.
	Config ConfigStats
	// Store and Records are nil where no history is kept.
	Store   *StoreStats
	Records *RecordsStats
}

// ConfigStats is whether the configuration that was read last is in use.
type ConfigStats struct {
	// ReloadFailed: the configuration before it stays in use.
	ReloadFailed bool
	// NeedRestart is the number of changed options that need a restart.
	NeedRestart uint64
}

// StoreStats counts what the store of the history writes and drops.
type StoreStats struct {
	// Samples were written, Series are being written, Waiting readings are in memory.
	Samples, Series, Waiting uint64
	// Dropped samples by reason.
	Dropped map[string]uint64
}

// RecordsStats counts what is dropped of process tables and events, by reason.
type RecordsStats struct {
	Dropped map[string]uint64
}

// CollectorStats is the status of one collector.
type CollectorStats struct {
	Name string
	// Seconds is how long the newest read took, unknown before the first.
	Seconds float64
	// OK reports whether the newest read gave a reading.
	OK bool
	// Failures counts ticks without a reading, Retries second attempts,
	// Overflow points beyond the collector's bound.
	Failures, Retries, Overflow uint64
	// Folded is how many programs, devices, file systems or interfaces are added up as
	// others in the newest reading; unknown for other collectors.
	Folded float64
}

// QueueStats is the status of a push destination's queue.
type QueueStats struct {
	Destination string
	// Waiting is the number of requests not sent yet.
	Waiting uint64
	// Age is how long the oldest of them that is due has waited, in seconds.
	Age float64
	// Sent, Dropped and Rejected count requests sent, requests dropped because
	// the queue was full, and points the receiver refused.
	Sent, Dropped, Rejected uint64
}

// Agent is a reading of the agent itself.
type Agent struct{ AgentStats }

var (
	causeKey       = Key{Name: "cause", Help: "why: suspend, clock_step, overload, timeout, error"}
	destinationKey = Key{Name: "destination", Help: "push destination: otlp, and with tiers otlp 1m and so on"}

	storeReasonKey = Key{Name: "reason", Help: "why: " +
		"late (not newer than the collector's newest reading), late_rollup (missing in a coarser tier only), " +
		"queue_full (too many readings waited), new_series (too many series of the collector came and went), rejected (by the database)"}
	recordsReasonKey = Key{Name: "reason", Help: "why: " +
		"late (a process table, the clock was set back), record_queue_full and event_queue_full (too many waited to be written)"}

	agentInfo = &Metric{
		Name: "sysotel.agent.info", Kind: Gauge, Integer: true,
		Keys: []Key{
			{Name: "host_id", Help: "machine id, or one of the agent's own where the system has none"},
			{Name: "version", Help: "version of the agent"},
			{Name: "started", Help: "when the agent began; two values at once under one id are two agents"},
			{Name: "url", Help: "where people reach its page; missing without http.external_url"},
			{Name: "interval", Help: "how many seconds apart its readings are, at most"},
		},
		Help: "Always 1; its attributes identify the agent.", Source: "/etc/machine-id or host_id in the data directory, the build, the clock and the configuration",
	}
	agentCPU = &Metric{
		Name: "sysotel.agent.cpu.time", Unit: "s", Kind: Counter, Start: SinceAgent,
		Help: "CPU time the agent itself has used.", Source: "getrusage(2)",
	}
	agentMemory = &Metric{
		Name: "sysotel.agent.memory.usage", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Resident memory of the agent itself.", Source: "/proc/self/statm",
	}
	agentMemoryLimit = &Metric{
		Name: "sysotel.agent.memory.limit", Unit: "By", Kind: UpDownCounter, Integer: true,
		Help: "Resident memory that the agent keeps within; none without a limit.", Source: "memory.limit in the configuration",
	}
	agentTicks = &Metric{
		Name: "sysotel.agent.ticks", Unit: "{tick}", Kind: Counter, Integer: true, Start: SinceAgent,
		Help: "Ticks at which the machine was read.", Source: "the sampler",
	}
	agentGaps = &Metric{
		Name: "sysotel.agent.gaps", Unit: "{tick}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{causeKey},
		Help: "Ticks that were missed, by cause.", Source: "the sampler",
	}
	collectorDuration = &Metric{
		Name: "sysotel.family.read.duration", Unit: "s", Kind: Gauge, Keys: []Key{collectorKey},
		Help: "How long the newest read of a collector took.", Source: "the sampler",
	}
	collectorSuccess = &Metric{
		Name: "sysotel.family.success", Kind: Gauge, Integer: true, Keys: []Key{collectorKey},
		Help: "1 where the newest read of a collector gave a reading, 0 where it failed.", Source: "the sampler",
	}
	collectorFailures = &Metric{
		Name: "sysotel.family.failures", Unit: "{tick}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{collectorKey},
		Help: "Ticks at which a collector gave no reading.", Source: "the sampler",
	}
	collectorRetries = &Metric{
		Name: "sysotel.family.retries", Unit: "{read}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{collectorKey},
		Help: "Reads of a collector that were tried again within their tick.", Source: "the sampler",
	}
	collectorOverflow = &Metric{
		Name: "sysotel.family.overflow", Unit: "{point}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{collectorKey},
		Help: "Points left out because a collector passed its bound of points.", Source: "the observer",
	}
	collectorFolded = &Metric{
		Name: "sysotel.family.folded", Unit: "{name}", Kind: Gauge, Keys: []Key{collectorKey},
		Help: "Programs, block devices, file systems or interfaces that have no name of their own in metrics, because there are too many, and are added up as others.", Source: "the collector",
	}
	queueWaiting = &Metric{
		Name: "sysotel.queue.requests", Unit: "{request}", Kind: UpDownCounter, Integer: true, Keys: []Key{destinationKey},
		Help: "Requests waiting to be sent.", Source: "the queue",
	}
	queueAge = &Metric{
		Name: "sysotel.queue.age", Unit: "s", Kind: Gauge, Keys: []Key{destinationKey},
		Help: "How long the oldest request that could not be sent has waited, 0 where none waits. What waits for otlp.interval does not count.", Source: "the sender",
	}
	queueSent = &Metric{
		Name: "sysotel.queue.sent", Unit: "{request}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{destinationKey},
		Help: "Requests accepted by the receiver.", Source: "the sender",
	}
	queueDropped = &Metric{
		Name: "sysotel.queue.dropped", Unit: "{request}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{destinationKey},
		Help: "Requests dropped because the queue was full or the receiver refused them for good.", Source: "the queue",
	}
	queueRejected = &Metric{
		Name: "sysotel.queue.rejected", Unit: "{point}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{destinationKey},
		Help: "Points that the receiver refused in a partial success.", Source: "the receiver's response",
	}
	configReload = &Metric{
		Name: "sysotel.config.reload.success", Kind: Gauge, Integer: true,
		Help: "1 where the configuration that was read last is in use, 0 where its reload failed and the one before stays in use.", Source: "the newest reload",
	}
	configRestart = &Metric{
		Name: "sysotel.config.restart.options", Unit: "{option}", Kind: Gauge, Integer: true,
		Help: "Options that a reload found changed and that need a restart.", Source: "the newest reload",
	}
	storeSamples = &Metric{
		Name: "sysotel.store.samples", Unit: "{sample}", Kind: Counter, Integer: true, Start: SinceAgent,
		Help: "Samples written to the finest tier of the history.", Source: "the store",
	}
	storeSeries = &Metric{
		Name: "sysotel.store.series", Unit: "{series}", Kind: UpDownCounter, Integer: true,
		Help: "Series being written to the history.", Source: "the store",
	}
	storeWaiting = &Metric{
		Name: "sysotel.store.waiting", Unit: "{reading}", Kind: UpDownCounter, Integer: true,
		Help: "Readings in memory that cannot be written to the history yet: it is being opened, the disk is full or the clock jumped ahead.", Source: "the store",
	}
	storeDropped = &Metric{
		Name: "sysotel.store.dropped", Unit: "{sample}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{storeReasonKey},
		Help: "Samples missing in the history.", Source: "the store",
	}
	recordsDropped = &Metric{
		Name: "sysotel.records.dropped", Unit: "{record}", Kind: Counter, Integer: true, Start: SinceAgent, Keys: []Key{recordsReasonKey},
		Help: "Process tables, process records and events missing in the history.", Source: "the records",
	}
)

// agent reports the agent's own cost and health; its numbers come from package app.
type agent struct{ stats func() AgentStats }

func newAgent(stats func() AgentStats) Collector { return &agent{stats} }

func (*agent) Name() string { return "agent" }

func (*agent) Metrics() []*Metric {
	return []*Metric{
		agentInfo, agentCPU, agentMemory, agentMemoryLimit, agentTicks, agentGaps, collectorDuration, collectorSuccess,
		collectorFailures, collectorRetries, collectorOverflow, collectorFolded, queueWaiting, queueAge, queueSent, queueDropped, queueRejected,
		configReload, configRestart,
		storeSamples, storeSeries, storeWaiting, storeDropped, recordsDropped,
	}
}

func (a *agent) Read(context.Context, *Host, Tick) (Reading, error) {
	return &Agent{AgentStats: a.stats()}, nil
}

// Report implements Reading.
func (a *Agent) Report(o *Observer) {
	interval := ""
	if a.Interval > 0 {
		interval = strconv.FormatFloat(a.Interval.Seconds(), 'g', -1, 64)
	}
	o.Int(agentInfo, 1, a.HostID, a.Version, a.Started, a.URL, interval)
	o.Float(agentCPU, a.CPUSeconds)
	if a.ResidentBytes > 0 {
		o.Uint(agentMemory, a.ResidentBytes)
	}
	if a.MemoryLimit > 0 {
		o.Uint(agentMemoryLimit, a.MemoryLimit)
	}
	o.Uint(agentTicks, a.Ticks)
	for cause, n := range a.Gaps {
		o.Uint(agentGaps, n, cause)
	}
	for _, f := range a.Collectors {
		ok := int64(0)
		if f.OK {
			ok = 1
		}
		if !math.IsNaN(f.Seconds) {
			o.Int(collectorSuccess, ok, f.Name)
		}
		o.Float(collectorDuration, f.Seconds, f.Name)
		o.Uint(collectorFailures, f.Failures, f.Name)
		o.Uint(collectorRetries, f.Retries, f.Name)
		o.Uint(collectorOverflow, f.Overflow, f.Name)
		o.Float(collectorFolded, f.Folded, f.Name)
	}
	for _, q := range a.Queues {
		o.Uint(queueWaiting, q.Waiting, q.Destination)
		o.Float(queueAge, q.Age, q.Destination)
		o.Uint(queueSent, q.Sent, q.Destination)
		o.Uint(queueDropped, q.Dropped, q.Destination)
		o.Uint(queueRejected, q.Rejected, q.Destination)
	}
	valid := int64(1)
	if a.Config.ReloadFailed {
		valid = 0
	}
	o.Int(configReload, valid)
	o.Uint(configRestart, a.Config.NeedRestart)
	if s := a.Store; s != nil {
		o.Uint(storeSamples, s.Samples)
		o.Uint(storeSeries, s.Series)
		o.Uint(storeWaiting, s.Waiting)
		for reason, n := range s.Dropped {
			o.Uint(storeDropped, n, reason)
		}
	}
	if r := a.Records; r != nil {
		for reason, n := range r.Dropped {
			o.Uint(recordsDropped, n, reason)
		}
	}
}
