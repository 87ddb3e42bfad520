package export

import (
	"maps"
	"sync"
	"testing"
	"time"

	"sysotel/instruments"
)

// machine is a Machine whose readings are the test's.
type machine struct {
	mu       sync.Mutex
	readings map[string]machineReading
	seq      uint64
	at       time.Time
	next     chan struct{}
}

// machineReading is a reading with the time of its tick, and when it was really read.
type machineReading struct {
	reading   instruments.Reading
	at, taken time.Time
}

var _ Machine = (*machine)(nil)

func newMachine() *machine {
	return &machine{readings: map[string]machineReading{}, next: make(chan struct{})}
}

// Interval implements Machine.
func (*machine) Interval() time.Duration { return time.Second }

// Newest implements Machine.
func (m *machine) Newest(collector string) (instruments.Reading, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.readings[collector]
	return r.reading, r.at
}

// Tick implements Machine.
func (m *machine) Tick() (seq uint64, at time.Time, next <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq, m.at, m.next
}

// Taken implements Machine.
func (m *machine) Taken(collector string, at time.Time) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.readings[collector]; r.at.Equal(at) {
		return r.taken
	}
	return time.Time{}
}

// set replaces a collector's newest reading; nil for none.
func (m *machine) set(collector string, r instruments.Reading, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r == nil {
		delete(m.readings, collector)
		return
	}
	m.readings[collector] = machineReading{reading: r, at: at}
}

// tick completes a tick that read these.
func (m *machine) tick(at time.Time, readings map[string]instruments.Reading) {
	for name, r := range readings {
		m.set(name, r, at)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq, m.at = m.seq+1, at
	close(m.next)
	m.next = make(chan struct{})
}

// later makes the newest readings those of a tick at a time.
func (m *machine) later(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seq, m.at = m.seq+1, at
	for name := range maps.Keys(m.readings) {
		r := m.readings[name]
		m.readings[name] = machineReading{reading: r.reading, at: at}
	}
}

// holding is a machine that has the readings, of the given time.
func holding(at time.Time, readings map[string]instruments.Reading) *machine {
	m := newMachine()
	for name, r := range readings {
		m.set(name, r, at)
	}
	return m
}

// collectors are those of the default configuration.
func collectors(t testing.TB) (all []instruments.Collector) {
	t.Helper()
	return instruments.NewCollectors(instruments.Defaults(), func() instruments.AgentStats { return instruments.AgentStats{} })
}
