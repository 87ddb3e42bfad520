package export

import (
	"context"
	"fmt"
	"testing"
	"time"

	"sysotel/agent/store"
	"sysotel/instruments"
	"sysotel/instruments/heaptest"
)

// discarding is a store that keeps nothing.
type discarding struct{ samples int }

// Append implements Store.
func (d *discarding) Append(r store.Reading) error {
	for _, c := range r.Collectors {
		d.samples += len(c.Samples)
	}
	return nil
}

// TestNamesWithoutEnd exports 4,000 programs and as many network interfaces, each for
// two ticks: nothing of them stays.
func TestNamesWithoutEnd(t *testing.T) {
	const ticks, names = 80, 50
	kept := &discarding{}
	o := testOptions(t, Defaults(), &logbook{})
	o.Store = kept
	a, err := newAgent(o, &logbook{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Shutdown(context.WithoutCancel(t.Context())) })
	now, page := at("12:00:00"), 0
	tick := func(n int) {
		t.Helper()
		now = now.Add(time.Second)
		table, network := &instruments.ProcessTable{}, &instruments.Network{}
		for i := range names {
			name := fmt.Sprint("name", n/2*names+i)
			table.Programs = append(table.Programs, instruments.Program{Name: name, Processes: 1, IOKnown: true})
			network.Interfaces = append(network.Interfaces, instruments.Interface{Name: name})
		}
		a.machine.tick(now, map[string]instruments.Reading{"process": table, "network": network})
		if err := a.collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		page = scrape(t, a.Exporter).Body.Len()
	}
	for n := range 20 { // Until caches have their size.
		tick(n)
	}
	first := page
	heaptest.Bound(t, 2<<20, func() {
		for n := range 2 * ticks {
			tick(20 + n)
		}
	})
	if kept.samples < ticks*names || page > 2*first || first == 0 {
		t.Errorf("%d samples, a page of %d bytes after one of %d", kept.samples, page, first)
	}
}
