package clock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"sysotel/agent/atomicfile"
)

// maxKept bounds each list in the file: a clock that is set all the time must not
// make it grow.
const maxKept = 64

// state is what the file keeps.
type state struct {
	// Boot identifies the boot that Segments, Former, Floored, Begun and Before are of.
	Boot     string          `json:"boot_id"`
	Segments []segment       `json:"segments"`
	Former   []time.Duration `json:"former,omitempty"`
	Floored  bool            `json:"floored,omitempty"`
	// Begun is the first time of this boot, Before the last of those before it.
	Begun  time.Time `json:"begun"`
	Before time.Time `json:"before,omitzero"`
	// Alive is when the agent last ran.
	Alive time.Time `json:"alive,omitzero"`
	// Leaps are the jumps ahead that the trusted time is behind by, oldest first.
	Leaps []leap `json:"leaps,omitempty"`
	// Number is the number of the newest step.
	Number uint64 `json:"number"`
	Steps  []Step `json:"steps,omitempty"`
}

// segment is a part of this boot in which the two clocks had one difference.
type segment struct {
	// From is its first time.
	From time.Time `json:"from"`
	// Offset is the wall clock minus the boot clock.
	Offset time.Duration `json:"offset"`
}

// saveEvery is how often the file is written while nothing happens: the time of the
// last run is known to a minute.
const saveEvery = time.Minute

// Run saves the state every minute and at the end.
func (j *Judge) Run(ctx context.Context) error {
	every := time.NewTicker(saveEvery)
	defer every.Stop()
	for {
		j.mu.Lock()
		j.save()
		j.mu.Unlock()
		select {
		case <-ctx.Done():
			return j.Close()
		case <-every.C:
		}
	}
}

// Close saves the state.
func (j *Judge) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.save()
	return nil // Health has reported it, and the next start does without.
}

// load reads the file. A file that cannot be read is as good as none: the judge then
// learns the end of the previous run from the store.
func (j *Judge) load() {
	if j.options.File == "" {
		return
	}
	text, err := os.ReadFile(j.options.File)
	if err == nil {
		err = json.Unmarshal(text, &j.state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.state = state{}
		j.log.Warn("cannot read the state of the clock, starting a new one", "path", j.options.File, "err", err)
	}
}

// save writes the file. It is called with j.mu held.
func (j *Judge) save() {
	if j.options.File == "" {
		return
	}
	j.state.Floored = j.floored
	_ = j.trusted(j.options.Boot())
	text, err := json.MarshalIndent(&j.state, "", "\t")
	if err == nil {
		err = atomicfile.Write(j.options.File, text, 0o600)
	}
	if err != nil {
		err = fmt.Errorf("write %s: %w", j.options.File, err)
		if j.saveErr == nil {
			j.log.Warn("cannot save the state of the clock", "err", err)
		}
	}
	j.saveErr = err
}
