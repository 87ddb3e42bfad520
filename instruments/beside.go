package instruments

import (
	"sync"
	"time"
)

// beside reads decoration (the speed of a link, the frequency of a core) beside the
// tick: such files can take 20 ms each, or wait for a lock that somebody else holds
// for seconds, and no essential number may wait for them. The tick asks for a value
// by name with get and has at once what was read last.
//
// One goroutine at a time reads what is due, for at most besideBudget after each
// tick, so that thousands of names are spread over the ticks. A read that never
// returns costs that goroutine and the values, which become unknown when they are
// old, and nothing else.
type beside[V any] struct {
	// read reads the value of a name and is the only thing called in the goroutine.
	// before is the value of the previous read, the zero value at the first.
	read func(h *Host, name string, before V) V
	// every is the age at which a value is read again.
	every time.Duration

	// mu is not held while something is read.
	mu     sync.Mutex
	values map[string]*besideValue[V]
	// due are the names to be read, oldest question first.
	due []*besideValue[V]
	// idle is closed when the goroutine ends, nil before the first.
	idle    chan struct{}
	running bool
}

// besideValue is what is known of one name. It is in the map of values or forgotten.
type besideValue[V any] struct {
	name  string
	value V
	// known is false before the first answer; at is when it came, by the clock of the
	// tick that asked, and asked is that tick.
	known     bool
	at, asked time.Time
	due       bool
}

const (
	// besideBudget is for how long values are read after a tick; the last read may
	// take longer.
	besideBudget = 50 * time.Millisecond
	// besideLasts is after how many times its age for reading again a value that could
	// not be read is no longer believed.
	besideLasts = 10
)

// get returns the newest value of a name, false where none was read yet or the newest
// is too old, and has it read again beside the tick when its time has come.
func (b *beside[V]) get(h *Host, name string, now time.Time) (V, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.values[name]
	if v == nil {
		if b.values == nil {
			b.values = map[string]*besideValue[V]{}
		}
		v = &besideValue[V]{name: name}
		b.values[name] = v
	}
	age := now.Sub(v.at)
	// A clock that was set back says nothing of the age.
	if !v.known || age >= b.every || age < 0 {
		b.ask(v, now)
	}
	b.start(h)
	if !v.known || age >= besideLasts*b.every {
		var none V
		return none, false
	}
	return v.value, true
}

// again has a value read anew whatever its age: something says that it has changed.
// The one that is known stays until then.
func (b *beside[V]) again(h *Host, name string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.values[name]; v != nil {
		b.ask(v, now)
		b.start(h)
	}
}

// forget drops a name; an answer that is still to come is for nobody. It must be
// called for every name that is not asked for any more.
func (b *beside[V]) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.values, name)
}

// ask puts a value in the queue. It is called with mu held.
func (b *beside[V]) ask(v *besideValue[V], now time.Time) {
	v.asked = now
	if !v.due {
		v.due = true
		b.due = append(b.due, v)
	}
}

// start starts the goroutine if there is something to read. It is called with mu held.
func (b *beside[V]) start(h *Host) {
	if b.running || len(b.due) == 0 {
		return
	}
	b.running, b.idle = true, make(chan struct{})
	go b.work(h, time.NewTimer(besideBudget))
}

// work reads what is due until the budget is spent.
func (b *beside[V]) work(h *Host, budget *time.Timer) {
	defer budget.Stop()
	for {
		b.mu.Lock()
		var v *besideValue[V]
		for v == nil && len(b.due) > 0 {
			v = b.due[0]
			b.due = b.due[1:]
			if b.values[v.name] != v {
				v = nil // Forgotten.
			}
		}
		if v == nil {
			break
		}
		before, asked := v.value, v.asked
		b.mu.Unlock()
		value := b.read(h, v.name, before)
		b.mu.Lock()
		v.value, v.known, v.at, v.due = value, true, asked, false
		spent := false
		select {
		case <-budget.C:
			spent = true
		default:
		}
		if spent {
			break
		}
		b.mu.Unlock()
	}
	b.running = false
	close(b.idle)
	b.mu.Unlock()
}
