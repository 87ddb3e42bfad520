package api

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// currentCache caches the /current document of the newest tick. It is encoded at
// most once per tick, on the first request.
type currentCache struct {
	machine Machine
	encode  func(seq uint64, at time.Time) ([]byte, error)

	mu     sync.Mutex // Held while a document is encoded.
	cached atomic.Pointer[encoded]
}

// encoded is a document ready to send. It is immutable.
type encoded struct {
	seq uint64
	// body is the JSON with a newline, length its Content-Length.
	body   []byte
	length []string
	// event is the same JSON as a server-sent event.
	event []byte
}

// errNoReading is returned before the first complete tick.
var errNoReading = errors.New("no reading is complete yet")

// get returns the document of the newest complete tick.
func (c *currentCache) get() (*encoded, error) {
	seq, _, _ := c.machine.Tick()
	if seq == 0 {
		return nil, errNoReading
	}
	if e := c.cached.Load(); e != nil && e.seq == seq {
		return e, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	seq, at, _ := c.machine.Tick() // It may have changed while waiting.
	if e := c.cached.Load(); e != nil && e.seq == seq {
		return e, nil
	}
	body, err := c.encode(seq, at)
	if err != nil {
		return nil, err
	}
	e := &encoded{seq: seq}
	e.event = append(e.event, "id: "...)
	e.event = strconv.AppendUint(e.event, seq, 10)
	e.event = append(e.event, "\nevent: reading\ndata: "...)
	e.event = append(e.event, body...)
	e.event = append(e.event, "\n\n"...)
	e.body = append(body, '\n')
	e.length = []string{strconv.Itoa(len(e.body))}
	c.cached.Store(e)
	return e, nil
}
