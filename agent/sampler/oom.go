package sampler

import (
	"log/slog"
	"strconv"
	"time"

	"sysotel/agent/records"
	"sysotel/instruments"
)

// kernelLog returns OOM kills; it is *instruments.KernelLog except in tests.
type kernelLog interface {
	OOMVictims() ([]instruments.OOMVictim, error)
	Close() error
}

// oomWatch finds processes that the OOM killer killed. The kernel's counter says that
// it happened; the kernel log, if the agent may read it, says to which process.
type oomWatch struct {
	log    *slog.Logger
	kernel kernelLog // nil if it cannot be read

	// counted is the kernel's counter at the newest reading, if known is true.
	counted uint64
	known   bool
	// kills were counted and have no victim yet; victims are in the log and were not
	// counted yet: the two are not read at the same moment.
	kills   []oomKill
	victims []oomVictim
	// largest has the largest processes of the last two tables, the newest first.
	largest [2]largest
}

// oomKill is a kill that the kernel counted.
type oomKill struct {
	at      time.Time
	largest [2]largest
	waited  int
}

type oomVictim struct {
	instruments.OOMVictim
	waited int
}

// oomPatience is the number of readings for which a kill waits for its log line, and
// a log line for its kill.
const oomPatience = 2

// maxOOMKills bounds the events of one reading.
const maxOOMKills = 100

// largest are the five largest processes of a reading, the largest first.
type largest [5]struct {
	pid  int
	name string
	rss  uint64
}

// find finds the largest processes of a table.
func (l *largest) find(t *instruments.ProcessTable) {
	*l = largest{}
	for i := range t.All {
		p := &t.All[i]
		at := len(l)
		for at > 0 && p.MemoryRSS > l[at-1].rss {
			at--
		}
		if at == len(l) {
			continue
		}
		copy(l[at+1:], l[at:])
		l[at].pid, l[at].name, l[at].rss = p.PID, p.Name, p.MemoryRSS
	}
}

func (l *largest) has(pid int) bool {
	for i := range l {
		if l[i].pid == pid {
			return true
		}
	}
	return false
}

// table takes the process table of a tick; it is called after check.
func (w *oomWatch) table(t *instruments.ProcessTable) {
	w.largest[1] = w.largest[0]
	w.largest[0].find(t)
}

// check takes the kernel's counter at a tick and emits an event for each kill.
func (w *oomWatch) check(r *instruments.Paging, at time.Time, emit func(records.Event)) {
	if !r.OOMCounted {
		return
	}
	before, known := w.counted, w.known
	w.counted, w.known = r.OOMKills, true
	if !known || r.OOMKills < before {
		// What is in the log by now was counted before.
		w.read()
		w.victims, w.kills = nil, nil
		return
	}
	if r.OOMKills == before && len(w.kills) == 0 {
		w.age() // Without reading the log.
		return
	}
	killed := r.OOMKills - before
	for range min(killed, maxOOMKills) {
		w.kills = append(w.kills, oomKill{at: at, largest: w.largest})
	}
	if killed > maxOOMKills {
		w.log.Warn("more OOM kills in one tick than are recorded as events", "killed", killed, "events", maxOOMKills)
	}
	w.read()
	n := min(len(w.kills), len(w.victims))
	for i := range n {
		emit(w.kills[i].event(&w.victims[i].OOMVictim))
	}
	w.kills, w.victims = w.kills[n:], w.victims[n:]
	for len(w.kills) > 0 && (w.kernel == nil || w.kills[0].waited >= oomPatience) {
		emit(w.kills[0].event(nil))
		w.kills = w.kills[1:]
	}
	for i := range w.kills {
		w.kills[i].waited++
	}
	w.age()
}

// age drops victims that the kernel did not count in time.
func (w *oomWatch) age() {
	for i := range w.victims {
		w.victims[i].waited++
	}
	for len(w.victims) > 0 && w.victims[0].waited > oomPatience {
		w.victims = w.victims[1:]
	}
}

// read reads what is new in the kernel log.
func (w *oomWatch) read() {
	if w.kernel == nil {
		return
	}
	victims, err := w.kernel.OOMVictims()
	for _, v := range victims {
		w.victims = append(w.victims, oomVictim{OOMVictim: v})
	}
	if err != nil {
		w.log.Warn("cannot read the kernel log any more; OOM kill events will not name the process", "err", err)
		w.close()
	}
}

func (w *oomWatch) close() {
	if w.kernel != nil {
		_ = w.kernel.Close() // It was only read.
		w.kernel = nil
	}
}

// event returns the event of a kill; the victim is nil if unknown.
func (k *oomKill) event(v *instruments.OOMVictim) records.Event {
	e := records.Event{Time: k.at, Kind: records.OOMKill, Cause: "unknown", Detail: map[string]string{}}
	before := &k.largest[0]
	if v != nil {
		if v.Cause != "" {
			e.Cause = v.Cause
		}
		e.Subject = v.Name
		e.Detail["pid"] = strconv.Itoa(v.PID)
		if v.ResidentKnown {
			e.Detail["rss_bytes"] = strconv.FormatUint(v.Resident, 10)
		}
		if !before.has(v.PID) && k.largest[1].has(v.PID) {
			before = &k.largest[1] // It was killed while the newest table was read.
		}
	}
	for i, p := range before {
		if p.rss == 0 {
			break
		}
		prefix := "largest_" + strconv.Itoa(i+1)
		e.Detail[prefix+"_name"], e.Detail[prefix+"_pid"] = p.name, strconv.Itoa(p.pid)
		e.Detail[prefix+"_rss_bytes"] = strconv.FormatUint(p.rss, 10)
	}
	return e
}
