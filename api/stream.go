package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

const (
	// maxStreams is how many live streams are served at once.
	maxStreams = 256
	// writeTime is how long one write to a stream may take before the client is
	// considered gone.
	writeTime = 10 * time.Second
	// heartbeat is the longest silence on a stream; proxies close silent connections.
	heartbeat = 15 * time.Second
)

// streamPath is where the live stream is.
const streamPath = "/api/v1/metrics/stream"

// streamOutput writes the response itself.
type streamOutput struct{ Body func(huma.Context) }

// Stream registers the operations of this file.
func (operations) Stream(s *Server) {
	register(s, Operation{
		ID: "stream-current", Method: http.MethodGet, Path: streamPath,
		Summary: "Stream readings as they are taken",
		Description: "Server-sent events named `reading`: the newest reading immediately, then each new one at its tick. " +
			"The data is the document of `/api/v1/metrics/current`; the id is the tick number. " +
			"A client that reads too slowly misses readings; it does not delay them. " +
			"If there is no reading for 15 seconds, a comment keeps the connection open.",
		Access:  Access{Role: Viewer, Cost: Stream, Concurrent: maxStreams},
		Media:   "text/event-stream",
		Example: exampleEvent,
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*streamOutput, error) {
		return &streamOutput{func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			h := w.Header()
			h.Set("Content-Type", "text/event-stream")
			h.Set("X-Accel-Buffering", "no") // nginx would buffer events.
			w.WriteHeader(http.StatusOK)
			if r.Method != http.MethodHead {
				s.stream(r.Context(), w)
			}
		}}, nil
	})
}

// exampleEvent is the example in the OpenAPI document.
const exampleEvent = "id: 1\nevent: reading\ndata: {\"timestamp\":\"2026-02-02T10:30:00Z\",\"hostname\":\"server-01\", …}\n\n"

// stream writes every reading until the client disconnects or the server stops.
// The bytes are shared by all clients.
func (s *Server) stream(ctx context.Context, w http.ResponseWriter) {
	control := http.NewResponseController(w)
	write := func(b []byte) bool {
		if control.SetWriteDeadline(time.Now().Add(writeTime)) != nil {
			return false
		}
		if _, err := w.Write(b); err != nil {
			return false
		}
		return control.Flush() == nil
	}
	silence := time.NewTimer(heartbeat)
	defer silence.Stop()
	if !write([]byte("retry: 2000\n\n")) {
		return
	}
	sent := uint64(0)
	for {
		_, _, next := s.options.Machine.Tick()
		reading, err := s.current.get()
		switch {
		case errors.Is(err, errNoReading):
		case err != nil:
			s.log.Error("cannot encode the newest reading", "err", err)
		case reading.seq != sent:
			if !write(reading.event) {
				return
			}
			sent = reading.seq
			silence.Reset(heartbeat)
		}
		if !s.await(ctx, next, silence, write) || !s.isStill(callerOf(ctx)) {
			return
		}
	}
}

// await waits for the next tick; it returns false at the end of the stream.
func (s *Server) await(ctx context.Context, next <-chan struct{}, silence *time.Timer, write func([]byte) bool) bool {
	for {
		select {
		case <-next:
			return true
		case <-silence.C:
			if !write([]byte(": still here\n\n")) {
				return false
			}
			silence.Reset(heartbeat)
		case <-ctx.Done():
			return false
		case <-s.closing:
			return false
		}
	}
}
