package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// writer is one commit into one tier.
type writer struct {
	tier *Tier
	app  storage.Appender
	// refused is the number of samples that the database rejected because of their
	// time.
	refused uint64
	newest  int64
	oldest  int64
	err     error
}

// writer begins a commit.
func (t *Tier) writer() (*writer, error) {
	db, err := t.acquire()
	if err != nil {
		return nil, err
	}
	return &writer{tier: t, app: db.Appender(context.Background()), newest: unknown, oldest: 1<<63 - 1}, nil
}

// append adds a sample and returns the reference that speeds up the next append.
func (w *writer) append(ref storage.SeriesRef, l labels.Labels, t int64, v float64) storage.SeriesRef {
	if w.err != nil {
		return ref
	}
	got, err := w.app.Append(ref, l, t, v)
	switch {
	case err == nil:
		w.newest, w.oldest = max(w.newest, t), min(w.oldest, t)
		return got
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds),
		errors.Is(err, storage.ErrDuplicateSampleForTimestamp), errors.Is(err, storage.ErrTooOldSample):
		w.refused++
	default:
		w.err = err
	}
	return ref
}

// commit writes what was appended. After an error the database has none of it, but
// its file may have a part: the store must be reopened.
func (w *writer) commit() error {
	defer w.tier.release()
	if w.err != nil {
		_ = w.app.Rollback() // The first error is the cause.
		return fmt.Errorf("append to tier %s: %w", w.tier.name, w.err)
	}
	if err := w.app.Commit(); err != nil {
		return fmt.Errorf("append to tier %s: %w", w.tier.name, err)
	}
	if w.newest > w.tier.newest.Load() {
		w.tier.newest.Store(w.newest)
	}
	if w.oldest < w.tier.first.Load() {
		w.tier.first.Store(w.oldest)
	}
	return nil
}
