package records

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// restore restores the open bucket of each coarser tier, and those that closed
// while the agent was down, from the records of the finer tier. The caller holds
// mu.
//
// A restored record differs from an original in one way: processes without a row in
// the finer records are part of its others.
func (r *Records) restore(tick int64, boot string) {
	ctx := context.Background()
	known := map[identity]*process{}
	err := r.read(ctx, func(d *database) error {
		var last int64
		for i, tier := range r.tiers {
			open := tier.bucketEnd(tick)
			if i == 0 {
				// Close writes the open record; it continues after a quick restart.
				if err := r.restoreFrom(ctx, d, tier.key(open), tier.key(open)+1, func(rec *record) {
					r.aggregator.restore(0, rec, known)
				}); err != nil {
					return err
				}
				continue
			}
			finer := r.tiers[i-1]
			err := d.reader.QueryRowContext(ctx, "SELECT id FROM process_record WHERE id >= ? AND id < ? ORDER BY id DESC LIMIT 1",
				tier.key(0), tier.key(open)+1).Scan(&last)
			if errors.Is(err, sql.ErrNoRows) {
				last, err = tier.key(0), nil
			}
			if err != nil {
				return err
			}
			b := &r.aggregator.buckets[i]
			if err := r.restoreFrom(ctx, d, finer.key(keyUntil(last))+1, finer.key(finer.bucketEnd(tick)), func(rec *record) {
				if b.open && b.until != tier.bucketEnd(rec.until) {
					r.enqueue(r.aggregator.record(i))
					r.aggregator.clear(i)
				}
				r.aggregator.restore(i, rec, known)
			}); err != nil {
				return err
			}
			if b.open && b.until != open {
				r.enqueue(r.aggregator.record(i))
				r.aggregator.clear(i)
			}
		}
		return nil
	})
	if err != nil {
		r.log.Warn("cannot resume open process records", "err", err)
	}
	r.aggregator.adopt(boot, known)
}

// restoreFrom calls take with the records in a range of keys, including queued
// ones, in the order of keys.
func (r *Records) restoreFrom(ctx context.Context, d *database, from, to int64, take func(*record)) error {
	seen := int64(-1)
	read := func(s *stored) {
		rec := record{resolution: keyResolution(s.key), until: keyUntil(s.key), since: s.since, last: s.last}
		if err := r.codec.decode(s.body, &rec); err != nil {
			r.unreadable++
			return
		}
		take(&rec)
		seen = s.key
	}
	if err := d.each(ctx, from, to, func(s *stored) error { read(s); return nil }); err != nil {
		return err
	}
	waiting := slices.Clone(r.queue.records)
	for i := range waiting {
		if s := &waiting[i]; s.key >= from && s.key < to && s.key > seen {
			read(s)
		}
	}
	return nil
}

// each calls f with the records with keys in [from, to). The record is valid until
// f returns.
func (d *database) each(ctx context.Context, from, to int64, f func(*stored) error) error {
	rows, err := d.reader.QueryContext(ctx, "SELECT id, since, last, body FROM process_record WHERE id >= ? AND id < ? ORDER BY id", from, to)
	if err != nil {
		return fmt.Errorf("read process records: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Its error is that of Err, which is looked at.
	for rows.Next() {
		var s stored
		var body sql.RawBytes
		if err := rows.Scan(&s.key, &s.since, &s.last, &body); err != nil {
			return fmt.Errorf("read process records: %w", err)
		}
		s.body = body
		if err := f(&s); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read process records: %w", err)
	}
	return nil
}
