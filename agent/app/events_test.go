package app

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sysotel/agent/records"
)

// TestEventsOfARestart: an agent records process tables, its start and its stop; the
// next one on the same directory records how the first one ended.
func TestEventsOfARestart(t *testing.T) {
	c := configure(t)
	begin := time.Now().Add(-time.Second)
	first := run(t, c)
	first.tick()
	for range 12 { // More than two process records of 5 s.
		first.tick()
	}
	kept := first.history.records
	p, err := kept.ProcessesBetween(t.Context(), records.ProcessQuery{Start: begin, End: time.Now().Add(time.Minute), Order: records.ByCPU})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(p.Rows, func(r records.ProcessUsage) bool {
		return r.PID == os.Getpid() && r.CPUSeconds > 0 && r.MemoryMean > 1<<20 && r.Start > 0 && !r.Started.IsZero()
	}) {
		t.Errorf("the agent's own process is not among %d rows", len(p.Rows))
	}
	cpu := p.Unattributed
	for _, r := range append(p.Rows, records.ProcessUsage{Usage: p.Others}) {
		if !math.IsNaN(r.CPUSeconds) {
			cpu += r.CPUSeconds
		}
	}
	if p.HostCPUSeconds <= 0 || math.Abs(cpu-p.HostCPUSeconds) > 1e-3 {
		t.Errorf("the processes used %v s, the machine %v s", cpu, p.HostCPUSeconds)
	}
	if most := p.CPUCovered.Seconds() * float64(p.CPUs); p.HostCPUSeconds > 1.1*most || p.Unattributed < -0.2*most {
		t.Errorf("the machine used %v s of %v s, %v s of it without a process", p.HostCPUSeconds, most, p.Unattributed)
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}

	second := run(t, c)
	second.tick()
	page, err := second.history.records.Events(t.Context(), records.EventQuery{Start: begin, End: time.Now().Add(time.Minute), Kinds: []records.Kind{records.Start, records.Stop, records.Reboot, records.Gap}, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []records.Kind
	for _, e := range page.Events {
		if e.Kind != records.Gap || e.Subject != "" { // A busy machine may miss a tick.
			kinds = append(kinds, e.Kind)
		}
	}
	if want := []records.Kind{records.Start, records.Stop, records.Start}; !slices.Equal(kinds, want) {
		t.Fatalf("events %v, want %v (newest first)", kinds, want)
	}
	if previous := page.Events[0].Detail["previous"]; page.Events[0].Kind == records.Start && previous != "stopped" {
		t.Errorf("the second start has previous=%q, want stopped", previous)
	}
}

// TestDamageIsAnEvent: what was damaged is told where one looks for what happened.
func TestDamageIsAnEvent(t *testing.T) {
	c := configure(t)
	begin := time.Now().Add(-time.Second)
	before := run(t, c)
	before.tick()
	if err := before.Stop(); err != nil {
		t.Fatal(err)
	}
	want := []string{"the alert state", "the notification queue"}
	for _, file := range []string{"state.db", "messages.db"} {
		if err := os.WriteFile(filepath.Join(c.DataDir, alertingDir, file), []byte("no database"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	after := run(t, c)
	after.tick()
	page, err := after.history.records.Events(t.Context(), records.EventQuery{Start: begin, End: time.Now().Add(time.Minute), Kinds: []records.Kind{records.Damage}, Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var damaged []string
	for _, e := range page.Events {
		damaged = append(damaged, e.Subject)
		if aside := e.Detail["set_aside"]; !strings.HasPrefix(aside, e.Detail["path"]+".broken-") {
			t.Errorf("%s is set aside as %q", e.Subject, aside)
		}
	}
	if slices.Sort(damaged); !slices.Equal(damaged, want) {
		t.Errorf("the events name %q, want %q", damaged, want)
	}
}
