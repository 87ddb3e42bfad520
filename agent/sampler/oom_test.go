package sampler

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// fakeKernel is a kernel's log that a test writes.
type fakeKernel struct {
	waiting []instruments.OOMVictim
	err     error
	reads   int
	closed  bool
}

func (k *fakeKernel) OOMVictims() ([]instruments.OOMVictim, error) {
	k.reads++
	victims := k.waiting
	k.waiting = nil
	return victims, k.err
}

func (k *fakeKernel) Close() error { k.closed = true; return nil }

// TestOOMEvents: each kill that the kernel counts is one event, whichever of the
// counter and the log is seen first, and with a name where the log has it in time.
func TestOOMEvents(t *testing.T) {
	a := instruments.OOMVictim{PID: 10, Name: "a", Cause: instruments.OOMMachine, Resident: 4096, ResidentKnown: true}
	b := instruments.OOMVictim{PID: 11, Name: "b", Cause: instruments.OOMCgroup}
	old := instruments.OOMVictim{PID: 12, Name: "old"}
	type tick struct {
		counter uint64
		log     []instruments.OOMVictim
	}
	type victims = []instruments.OOMVictim
	for _, c := range []struct {
		name  string
		ticks []tick
		want  []string // Tick of the event, cause and name.
	}{
		{"nothing", []tick{{5, nil}, {5, nil}}, nil},
		{"before the agent", []tick{{5, victims{old}}, {5, nil}, {5, nil}}, nil},
		{"one", []tick{{5, nil}, {6, victims{a}}, {6, nil}, {6, nil}}, []string{"1 machine_memory a"}},
		{"one, after one before the agent", []tick{{5, victims{old}}, {6, victims{a}}, {6, nil}}, []string{"1 machine_memory a"}},
		{"two in one tick", []tick{{5, nil}, {7, victims{a, b}}, {7, nil}}, []string{"1 machine_memory a", "1 cgroup_limit b"}},
		{"the log is later", []tick{{5, nil}, {6, nil}, {6, victims{a}}, {6, nil}}, []string{"2 machine_memory a"}},
		{"the counter is later", []tick{{5, nil}, {6, victims{a, b}}, {7, nil}, {7, nil}}, []string{"1 machine_memory a", "2 cgroup_limit b"}},
		{"the log never comes", []tick{{5, nil}, {6, nil}, {6, nil}, {6, nil}, {6, nil}}, []string{"3 unknown "}},
		{"a line that was never counted", []tick{{5, nil}, {6, victims{a, old}}, {6, nil}, {6, nil}, {6, nil}, {7, victims{b}}}, []string{"1 machine_memory a", "5 cgroup_limit b"}},
		{"the counter goes back", []tick{{5, nil}, {0, victims{a}}, {1, victims{b}}, {1, nil}}, []string{"2 cgroup_limit b"}},
		{"a line without its cause", []tick{{5, nil}, {6, victims{old}}, {6, nil}}, []string{"1 unknown old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log logbook
			kernel := &fakeKernel{}
			w := oomWatch{log: log.logger(), kernel: kernel}
			var got []string
			for i, tick := range c.ticks {
				kernel.waiting = append(kernel.waiting, tick.log...)
				w.check(&instruments.Paging{OOMCounted: true, OOMKills: tick.counter}, at("12:00:00").Add(time.Duration(i)*time.Second), func(e records.Event) {
					equal(t, "kind", e.Kind, records.OOMKill)
					got = append(got, strconv.Itoa(i)+" "+e.Cause+" "+e.Subject)
				})
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("events %q, want %q", got, c.want)
			}
		})
	}
}

// TestOOMEventHasTheLargest: the five largest processes are those of the reading
// before the kill, with the victim among them.
func TestOOMEventHasTheLargest(t *testing.T) {
	table := func(sizes ...uint64) *instruments.ProcessTable {
		r := &instruments.ProcessTable{}
		for i, size := range sizes {
			if size > 0 {
				r.All = append(r.All, instruments.Process{PID: i + 1, Name: "p" + strconv.Itoa(i+1), MemoryRSS: size})
			}
		}
		return r
	}
	var log logbook
	kernel := &fakeKernel{}
	w := oomWatch{log: log.logger(), kernel: kernel}
	var events []records.Event
	look := func(counter uint64) {
		w.check(&instruments.Paging{OOMCounted: true, OOMKills: counter}, at("12:00:00"), func(e records.Event) { events = append(events, e) })
	}
	look(0)
	w.table(table(10, 70, 30, 40, 900, 60, 20, 5))
	w.table(table(10, 80, 30, 40, 0, 60, 20, 5)) // Number 5 was killed while this was read.
	kernel.waiting = []instruments.OOMVictim{{PID: 5, Name: "p5", Resident: 1000, ResidentKnown: true}}
	look(1)
	w.table(table(1))
	kernel.waiting = []instruments.OOMVictim{{PID: 2, Name: "p2"}}
	look(2)
	if len(events) != 2 {
		t.Fatalf("events %+v", events)
	}
	d := events[0].Detail
	equal(t, "pid", d["pid"], "5")
	equal(t, "rss", d["rss_bytes"], "1000")
	for i, want := range []struct{ name, pid, rss string }{{"p5", "5", "900"}, {"p2", "2", "70"}, {"p6", "6", "60"}, {"p4", "4", "40"}, {"p3", "3", "30"}} {
		prefix := "largest_" + strconv.Itoa(i+1)
		equal(t, prefix, d[prefix+"_name"], want.name)
		equal(t, prefix+" pid", d[prefix+"_pid"], want.pid)
		equal(t, prefix+" rss", d[prefix+"_rss_bytes"], want.rss)
	}
	if len(d) != 2+15 {
		t.Errorf("details %v", d)
	}
	equal(t, "the second one's largest", events[1].Detail["largest_1_rss_bytes"], "80")
}

// TestOOMWithoutTheLog: a kill is recorded at once, without a name; a log that
// breaks is reported once.
func TestOOMWithoutTheLog(t *testing.T) {
	var log logbook
	kernel := &fakeKernel{err: errors.New("broken")}
	for _, w := range []*oomWatch{{log: log.logger()}, {log: log.logger(), kernel: kernel}} {
		n := 0
		for i := range 4 {
			w.check(&instruments.Paging{OOMCounted: true, OOMKills: uint64(i)}, at("12:00:00"), func(e records.Event) {
				n++
				equal(t, "cause", e.Cause, "unknown")
				equal(t, "subject", e.Subject, "")
			})
			equal(t, "events", n, i)
		}
	}
	equal(t, "closed", kernel.closed, true)
	equal(t, "reads", kernel.reads, 1)
	log.want(t, 1, "broken")
}

// TestOOMCounterMissing: a kernel that does not count gives no events.
func TestOOMCounterMissing(t *testing.T) {
	kernel := &fakeKernel{waiting: []instruments.OOMVictim{{PID: 1}}}
	w := oomWatch{kernel: kernel}
	for range 3 {
		w.check(&instruments.Paging{}, at("12:00:00"), func(e records.Event) { t.Errorf("event %+v", e) })
	}
	equal(t, "reads", kernel.reads, 0)
}

// TestOOMStorm: a thousand kills in one tick are a bounded number of events.
func TestOOMStorm(t *testing.T) {
	var log logbook
	w := oomWatch{log: log.logger()}
	n := 0
	for _, counter := range []uint64{0, 1000, 1000} {
		w.check(&instruments.Paging{OOMCounted: true, OOMKills: counter}, at("12:00:00"), func(records.Event) { n++ })
	}
	equal(t, "events", n, maxOOMKills)
	log.want(t, 1, "killed=1000")
}
