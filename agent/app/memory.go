package app

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/agent/query"
)

// memory keeps the agent within memory.limit. What is held for long is bounded by design:
// series by the names that things can have, ended ones by the store, queries by their
// budgets. What remains is measured: the Go runtime is told how much the heap may take
// beside what is not its own, never less than what is alive, and if that is not enough,
// fewer things have names of their own.
type memory struct {
	// limit is the most resident memory, 0 for none.
	limit uint64
	log   *slog.Logger
	// halve is told how many times names are to be halved.
	halve func(times int)
	// measure returns what the agent has now; collect sets the limit of the Go runtime and free
	// has it give back what it can. Tests have their own.
	measure func() memoryUse
	collect func(limit int64)
	free    func()

	mu  sync.Mutex
	use memoryUse
	// halved is how many times names are halved.
	halved int
	// over and under are for how many looks in a row the agent was above the limit, and well
	// below it; idle is for how many it has held much that nothing lives in.
	over, under, idle int
	since             time.Time
}

// memoryUse is the agent's memory in bytes.
type memoryUse struct {
	// Resident is the process's, with the files that it has mapped.
	Resident uint64
	// Live is what was alive at the newest garbage collection, Runtime what the Go runtime
	// holds of the machine's memory.
	Live, Runtime uint64
}

const (
	// memoryEvery is how often memory looks, overLooks how many times in a row it must be
	// above the limit before names are halved: a query or a block that is written needs more
	// for a moment.
	memoryEvery = 10 * time.Second
	overLooks   = 6
	// underLooks is for how many looks it must be below underShare of the limit before twice
	// as many have names again. What ended has left the heads by then.
	underLooks = 90
	underShare = 0.8
	// mostHalved is how many times at most.
	mostHalved = 4
	// aliveShare is how much more than what is alive the heap may take in any case: with less
	// the garbage collector would run all the time.
	aliveShare = 1.3
	// What the runtime holds beyond garbageShare of what is alive and spare bytes is of work
	// that is done, such as a block that was written: it is given back after idleLooks.
	garbageShare = 1.6
	spare        = 12 << 20
	idleLooks    = 6
	// queryShare is the part of the limit that one query may take.
	queryShare = 4
)

// newMemory makes what keeps an agent within its limit.
func (a *App) newMemory(c config.Config, resident func() uint64, halve func(int)) *memory {
	m := &memory{limit: uint64(c.Memory.Limit), log: a.log.With("component", "memory"), halve: halve, free: debug.FreeOSMemory} //nolint:gosec // It is valid.
	m.measure = func() memoryUse {
		samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		metrics.Read(samples)
		return memoryUse{
			Resident: resident(), Live: samples[0].Value.Uint64(),
			Runtime: samples[1].Value.Uint64() - samples[2].Value.Uint64(),
		}
	}
	m.collect = func(limit int64) { debug.SetMemoryLimit(limit) }
	if os.Getenv("GOMEMLIMIT") != "" {
		m.collect = func(int64) {} // The user has set it.
	}
	return m
}

// run looks until the context ends.
func (m *memory) run(ctx context.Context) error {
	if m.limit == 0 {
		return nil
	}
	every := time.NewTicker(memoryEvery)
	defer every.Stop()
	for {
		m.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// look measures and decides.
func (m *memory) look(now time.Time) {
	use := m.measure()
	if use.Resident == 0 {
		return // The system does not tell.
	}
	beside := use.Resident - min(use.Runtime, use.Resident) // The program itself, mapped files.
	m.collect(int64(max(float64(m.limit)-float64(beside), aliveShare*float64(use.Live)+8<<20)))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.use = use
	switch {
	case use.Resident > m.limit:
		m.over++
		m.under = 0
	case float64(use.Resident) < underShare*float64(m.limit):
		m.under++
		m.over = 0
	default:
		m.over, m.under = 0, 0
	}
	m.idle++
	if float64(use.Runtime) < garbageShare*float64(use.Live)+spare {
		m.idle = 0
	}
	if m.idle == idleLooks {
		m.idle = 0
		m.free()
	}
	switch {
	case m.over == overLooks/2:
		m.free()
	case m.over >= overLooks && m.halved < mostHalved:
		m.change(m.halved+1, now)
		m.log.Warn("more memory is in use than memory.limit, fewer things have names of their own", "resident_bytes", use.Resident, "limit_bytes", m.limit, "share", m.share())
	case m.under >= underLooks && m.halved > 0:
		m.change(m.halved-1, now)
		m.log.Info("there is memory again, more things have names of their own", "resident_bytes", use.Resident, "limit_bytes", m.limit, "share", m.share())
	}
}

// change sets how many times names are halved.
func (m *memory) change(halved int, now time.Time) {
	m.halved, m.over, m.under, m.since = halved, 0, 0, now
	m.halve(halved)
}

// share is the part of the configured names that can be given.
func (m *memory) share() string { return fmt.Sprintf("1/%.0f", math.Pow(2, float64(m.halved))) }

// health is degraded while fewer things than configured have names.
func (m *memory) health() health.Component {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := health.Component{Name: "memory", Status: health.OK, Since: m.since}
	mib := func(bytes uint64) float64 { return float64(bytes) / (1 << 20) }
	if m.halved > 0 {
		c.Status = health.Degraded
		c.Reason = fmt.Sprintf("%.0f MiB are resident and memory.limit is %.0f MiB: only %s of the configured names of programs, devices, file systems and interfaces are given, the rest is added up as others", mib(m.use.Resident), mib(m.limit), m.share())
	}
	return c
}

// boundQueries returns the limits of queries with no more memory for one of them than a part
// of the agent's.
func boundQueries(c config.Config) query.Limits {
	limits := c.Query.Limits()
	if c.Memory.Limit > 0 {
		limits.Memory = min(limits.Memory, float64(c.Memory.Limit)/queryShare)
	}
	return limits
}
