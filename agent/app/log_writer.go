package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sysotel/agent/health"
)

// logWait is how long a line may take to be written.
const logWait = time.Second

// errLogStuck is why lines are lost while nobody reads what was written before.
var errLogStuck = errors.New("the reader of the log does not read")

// logWriter passes lines on to where the log goes. Whatever becomes of that, the agent
// goes on: lines are lost and counted while its reader is gone, its disk is full, or
// nobody reads.
type logWriter struct {
	to    io.Writer
	where string // For health: standard error, or the file.
	wait  time.Duration
	// tell logs how many lines were lost, once lines can be written again.
	tell func(lost uint64)

	mu sync.Mutex
	// pending is the write that takes longer than wait, nil for none.
	pending chan error
	// lost are the lines since the last one that was written, err and since why and since
	// when they are lost.
	lost  uint64
	err   error
	since time.Time
}

// newLogWriter passes lines on to an output.
func newLogWriter(to io.Writer, where string) *logWriter {
	return &logWriter{to: to, where: where, wait: logWait, tell: func(uint64) {}}
}

// Write implements io.Writer. The only error is that the line is lost.
func (w *logWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.settle(); w.pending != nil {
		return 0, w.lose(errLogStuck)
	}
	written := make(chan error, 1)
	line = slices.Clone(line) // The caller reuses it, perhaps before it is written.
	go func() {
		_, err := w.to.Write(line)
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			return 0, w.lose(err)
		}
	case <-time.After(w.wait):
		w.pending = written // Not lost yet; those that follow are.
		return len(line), nil
	}
	w.wrote()
	return len(line), nil
}

// settle looks whether the write that took long has ended.
func (w *logWriter) settle() {
	select {
	case err := <-w.pending: // Never, if there is none.
		if w.pending = nil; err == nil {
			w.wrote()
		}
	default:
	}
}

// wrote notes that lines can be written.
func (w *logWriter) wrote() {
	if w.lost > 0 {
		go w.tell(w.lost) // The caller of Write holds the lock of the logger.
	}
	w.lost, w.err = 0, nil
}

// lose counts a lost line.
func (w *logWriter) lose(err error) error {
	if w.lost == 0 {
		w.since = time.Now()
	}
	w.lost, w.err = w.lost+1, err
	return err
}

// health is degraded while lines are lost.
func (w *logWriter) health() health.Component {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.settle(); w.lost == 0 {
		return health.Component{Name: "log", Status: health.OK}
	}
	return health.Component{
		Name: "log", Status: health.Degraded, Since: w.since,
		Reason: fmt.Sprintf("%d lines could not be written to %s: %v", w.lost, w.where, w.err),
	}
}

// tellLost logs through a logger how many lines were lost.
func tellLost(log *slog.Logger) func(uint64) {
	return func(lost uint64) { log.Warn("lines of this log were lost before this one", "lines", lost) }
}
