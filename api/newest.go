package api

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// newest keeps the /current document of the newest tick. It is encoded once a
// tick, and only when somebody asks, however many ask.
type newest struct {
	machine Machine
	encode  func(seq uint64, at time.Time) ([]byte, error)

	mu     sync.Mutex // Held while a document is encoded.
	cached atomic.Pointer[encoded]
}

// encoded is a document in the forms in which it is sent. Nobody changes it.
type encoded struct {
	seq uint64
	// body is the JSON with a line break, length its Content-Length.
	body   []byte
	length []string
	// event is the same JSON as an event of the stream.
	event []byte
}

// errNoReading says that no tick is complete yet.
var errNoReading = errors.New("no reading is complete yet")

// get returns the document of the newest complete tick.
func (n *newest) get() (*encoded, error) {
	seq, _, _ := n.machine.Tick()
	if seq == 0 {
		return nil, errNoReading
	}
	if e := n.cached.Load(); e != nil && e.seq == seq {
		return e, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	seq, at, _ := n.machine.Tick() // A tick may have passed while waiting.
	if e := n.cached.Load(); e != nil && e.seq == seq {
		return e, nil
	}
	body, err := n.encode(seq, at)
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
	n.cached.Store(e)
	return e, nil
}
