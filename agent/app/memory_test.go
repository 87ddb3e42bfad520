package app

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sysotel/agent/config"
	"sysotel/agent/health"
	"sysotel/agent/store"
)

// TestMemoryIsKept: the Go runtime is told what the heap may take beside mapped files and
// never less than what is alive; a moment above the limit changes nothing, a minute halves
// the names, once a minute and only so many times; they come back when there is memory for
// a quarter of an hour; and health says all that.
func TestMemoryIsKept(t *testing.T) {
	const mib = 1 << 20
	var use memoryUse
	var runtimeLimit int64
	halved, frees := 0, 0
	m := &memory{
		limit: 96 * mib, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		halve: func(n int) { halved = n }, free: func() { frees++ },
		measure: func() memoryUse { return use }, collect: func(limit int64) { runtimeLimit = limit },
	}
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	look := func(n int) {
		for range n {
			now = now.Add(memoryEvery)
			m.look(now)
		}
	}
	use = memoryUse{Resident: 60 * mib, Runtime: 35 * mib, Live: 20 * mib}
	look(10)
	if runtimeLimit != (96-25)*mib || halved != 0 || m.health().Status != health.OK || m.health().Reason != "" {
		t.Errorf("a runtime limit of %d, names halved %d times, health %+v", runtimeLimit, halved, m.health())
	}
	use.Resident = 100 * mib
	look(overLooks - 1)
	use.Resident = 90 * mib
	look(1)
	if halved != 0 || frees != 1 {
		t.Errorf("after a moment above the limit names are halved %d times, memory was given back %d times", halved, frees)
	}
	use = memoryUse{Resident: 120 * mib, Runtime: 95 * mib, Live: 80 * mib}
	look(overLooks)
	alive := float64(80 * mib)
	if halved != 1 || runtimeLimit != int64(aliveShare*alive+8*mib) {
		t.Errorf("names are halved %d times, the runtime limit is %d below what is alive", halved, runtimeLimit)
	}
	if c := m.health(); c.Status != health.Degraded || !strings.Contains(c.Reason, "120 MiB") || !strings.Contains(c.Reason, "96 MiB") || !strings.Contains(c.Reason, "1/2") || !c.Since.Equal(now) {
		t.Errorf("health %+v", c)
	}
	look(10 * overLooks)
	if halved != mostHalved {
		t.Errorf("names are halved %d times, want %d", halved, mostHalved)
	}
	use.Resident = 50 * mib
	look(underLooks - 1)
	if halved != mostHalved {
		t.Errorf("names came back after %d looks", underLooks-1)
	}
	look(1 + (mostHalved-1)*underLooks)
	if halved != 0 || m.health().Status != health.OK {
		t.Errorf("names are halved %d times with much memory left, health %+v", halved, m.health())
	}
	frees = 0
	use = memoryUse{Resident: 70 * mib, Runtime: 45 * mib, Live: 20 * mib}
	look(idleLooks)
	if frees != 1 {
		t.Errorf("memory that nothing lives in was given back %d times in a minute", frees)
	}
	use = memoryUse{}
	look(20 * overLooks)
	if halved != 0 {
		t.Error("names were halved where the system does not tell the memory in use")
	}
}

// TestQueriesAreBounded: one query may take a quarter of the limit, and never more than
// without one.
func TestQueriesAreBounded(t *testing.T) {
	c := config.Defaults()
	usual := c.Query.Limits().Memory
	for limit, want := range map[int]float64{96: usual, 48: 12 << 20, 1000: usual, 0: usual} {
		c.Memory.Limit = store.ByteSize(limit) << 20
		if got := boundQueries(c).Memory; got != want {
			t.Errorf("with %d MiB a query may take %v bytes, want %v", limit, got, want)
		}
	}
}
