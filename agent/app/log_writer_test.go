package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sysotel/agent/health"
)

// tap is an output that fails or is stuck as the test says.
type tap struct {
	mu    sync.Mutex
	text  bytes.Buffer
	err   error
	stuck chan struct{} // Writes wait until it is closed, if it is set.
}

func (o *tap) Write(p []byte) (int, error) {
	o.mu.Lock()
	err, stuck := o.err, o.stuck
	o.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	if err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *tap) set(err error, stuck chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err, o.stuck = err, stuck
}

func (o *tap) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// TestLostLines: lines that cannot be written, or that nobody reads, cost no more than a
// moment once, are counted in health, and told when there is somebody again.
func TestLostLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &tap{}
		w := newLogWriter(out, "standard error")
		log := slog.New(slog.NewTextHandler(w, nil))
		w.tell = tellLost(log)
		degraded := func(words ...string) {
			t.Helper()
			c := w.health()
			for _, word := range words {
				if c.Status != health.Degraded || c.Since.IsZero() || !strings.Contains(c.Reason, word) {
					t.Errorf("health is %+v, want degraded and %q", c, word)
				}
			}
		}
		log.Info("one")
		if c := w.health(); c.Status != health.OK {
			t.Errorf("health is %+v", c)
		}

		out.set(errors.New("broken pipe"), nil)
		log.Info("two")
		log.Info("three")
		degraded("2 lines could not be written to standard error", "broken pipe")
		out.set(nil, nil)
		log.Info("four")
		synctest.Wait()
		if c := w.health(); c.Status != health.OK {
			t.Errorf("health is %+v after a line was written", c)
		}

		// Only the first line waits; the time is the bubble's.
		reads := make(chan struct{})
		out.set(nil, reads)
		for n := range 100 {
			log.Info(fmt.Sprint("stuck ", n))
		}
		degraded("99 lines", "does not read")
		close(reads)
		synctest.Wait()
		if c := w.health(); c.Status != health.OK {
			t.Errorf("health is %+v after the reader reads again", c)
		}
		log.Info("five")
		synctest.Wait()
		for word, want := range map[string]int{"msg=one": 1, "msg=two": 0, "msg=three": 0, "msg=four": 1, "lines=2": 1, `"stuck 0"`: 1, `"stuck 1"`: 0, "lines=99": 1, "msg=five": 1} {
			if got := strings.Count(out.String(), word); got != want {
				t.Errorf("%s was written %d times, want %d:\n%s", word, got, want, out)
			}
		}
	})
}
