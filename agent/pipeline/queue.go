package pipeline

import (
	"sync"

	"github.com/klauspost/compress/s2"
)

// Queue keeps requests between stamping and sending. Here it is a ring in
// memory; a queue on disk takes its place behind the same interface.
type Queue interface {
	// Push appends a request and drops the oldest one where there is no room.
	// The bytes stay the caller's.
	Push(request []byte)
	// Oldest returns the request that has waited longest and its number; ok is
	// false where none waits. It stays in the queue until Done is called with
	// its number.
	Oldest() (request []byte, number uint64, ok bool)
	// Done removes the request of that number, if it has not been dropped since.
	Done(number uint64)
	// Pushed is signalled after a Push.
	Pushed() <-chan struct{}
	// Stats returns how many requests wait and how many were dropped.
	Stats() (waiting, dropped uint64)
}

// ringSize is how many requests the ring keeps: ten minutes at one a second.
const ringSize = 600

// ring is a Queue in memory. Requests are kept compressed, about a sixth of
// their size, because an outage must not double the agent's memory.
type ring struct {
	mu      sync.Mutex
	entries [][]byte
	first   uint64 // The number of entries[0].
	dropped uint64
	pushed  chan struct{}
}

var _ Queue = (*ring)(nil)

func newRing() *ring { return &ring{pushed: make(chan struct{}, 1)} }

func (r *ring) Push(request []byte) {
	packed := s2.Encode(nil, request)
	r.mu.Lock()
	if len(r.entries) == ringSize {
		r.entries[0] = nil
		r.entries = r.entries[1:]
		r.first++
		r.dropped++
	}
	r.entries = append(r.entries, packed)
	r.mu.Unlock()
	select {
	case r.pushed <- struct{}{}:
	default:
	}
}

func (r *ring) Oldest() ([]byte, uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) == 0 {
		return nil, 0, false
	}
	request, err := s2.Decode(nil, r.entries[0])
	if err != nil {
		// What this process packed itself it can unpack.
		panic("pipeline: a request in memory is damaged: " + err.Error())
	}
	return request, r.first, true
}

func (r *ring) Done(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.entries) > 0 && r.first == number {
		r.entries[0] = nil
		r.entries = r.entries[1:]
		r.first++
	}
}

func (r *ring) Pushed() <-chan struct{} { return r.pushed }

func (r *ring) Stats() (waiting, dropped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint64(len(r.entries)), r.dropped
}
