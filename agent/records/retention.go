package records

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sysotel/agent/sqlite"
)

// maxEvents is the maximum number of events; the oldest are deleted first.
const maxEvents = 200_000

// deleteBatch is the number of rows deleted per transaction, so that writers get
// their turn.
const deleteBatch = 2000

// Retain deletes what is older than its retention, counted from a time that the
// caller trusts, as the wall clock may be wrong.
func (r *Records) Retain(ctx context.Context, believed time.Time) error {
	if err := r.retain(ctx, believed); err != nil && !errors.Is(err, sqlite.ErrUnavailable) { // Health has that.
		return fmt.Errorf("delete old records: %w", err)
	}
	return nil
}

func (r *Records) retain(ctx context.Context, believed time.Time) error {
	return r.write(ctx, func(d *database) error {
		longest := r.tiers[len(r.tiers)-1].Retention
		held, err := d.resolutions(ctx)
		if err != nil {
			return err
		}
		for _, resolution := range held {
			// A tier that is no longer configured is kept as long as the longest.
			tier := Tier{Resolution: time.Duration(resolution) * time.Second, Retention: longest}
			for _, t := range r.tiers {
				if t.Resolution == tier.Resolution {
					tier = t
				}
			}
			oldest := tier.key(believed.Add(-tier.Retention).UnixMilli())
			for deleted := int64(deleteBatch); deleted == deleteBatch; {
				if deleted, err = d.delete(ctx, "DELETE FROM process_record WHERE id IN (SELECT id FROM process_record WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?)",
					tier.key(0), oldest, deleteBatch); err != nil {
					return err
				}
			}
		}
		if _, err := d.delete(ctx, "DELETE FROM event WHERE time < ?", believed.Add(-r.eventRetention).UnixMilli()); err != nil {
			return err
		}
		if _, err := d.delete(ctx, "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY time DESC, id DESC LIMIT -1 OFFSET ?)", maxEvents); err != nil {
			return err
		}
		return d.vacuum(ctx)
	})
}

// resolutions returns the resolutions of the tiers in the file, in seconds,
// ascending.
func (d *database) resolutions(ctx context.Context) ([]int64, error) {
	var all []int64
	rows, err := d.reader.QueryContext(ctx, `WITH RECURSIVE held (id) AS (
		SELECT min(id) FROM process_record
		UNION ALL
		SELECT (SELECT min(id) FROM process_record WHERE id >= ((held.id >> 40) + 1) << 40) FROM held WHERE held.id IS NOT NULL
	) SELECT id >> 40 FROM held WHERE id IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Its error is that of Err, which is looked at.
	for rows.Next() {
		var s int64
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func (d *database) delete(ctx context.Context, statement string, arguments ...any) (int64, error) {
	result, err := d.writer.ExecContext(ctx, statement, arguments...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// vacuum returns free pages to the file system, and truncates the WAL.
func (d *database) vacuum(ctx context.Context) error {
	var free int64
	if err := d.writer.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&free); err != nil {
		return err
	}
	// Some free pages stay for the next records.
	if free > 256 {
		rows, err := d.writer.QueryContext(ctx, "PRAGMA incremental_vacuum")
		if err != nil {
			return err
		}
		for rows.Next() {
		}
		if err := rows.Err(); err != nil {
			return err
		}
		if err := rows.Close(); err != nil {
			return err
		}
	}
	var busy, log, done int64
	return d.writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &done)
}

// Shrink reduces the size on disk by about bytes, and returns by how much. Damaged
// files that were set aside are deleted first, then the oldest records of the
// finest tier, then of the next; events stay.
func (r *Records) Shrink(ctx context.Context, bytes int64) (int64, error) {
	before := r.Bytes()
	goal := before - bytes
	if err := r.shrink(ctx, goal); err != nil && !errors.Is(err, sqlite.ErrUnavailable) {
		return before - r.Bytes(), fmt.Errorf("shrink the records: %w", err)
	}
	return before - r.Bytes(), nil
}

func (r *Records) shrink(ctx context.Context, goal int64) error {
	aside, err := r.asideFiles()
	if err != nil {
		return err
	}
	for _, f := range aside {
		if r.Bytes() <= goal {
			return nil
		}
		if err := os.Remove(f); err != nil {
			return err
		}
		r.log.Warn("deleted a damaged records file to free space", "file", f)
	}
	return r.write(ctx, func(d *database) error {
		for {
			if err := d.vacuum(ctx); err != nil {
				return err
			}
			missing := r.Bytes() - goal
			if missing <= 0 {
				return nil
			}
			var finest, last, length int64
			// The oldest records of the finest tier, up to what is missing.
			err := d.reader.QueryRowContext(ctx, `WITH oldest (id, bytes) AS (
				SELECT id, length(body) + 30 FROM process_record ORDER BY id LIMIT ?
			), added (id, total, bytes) AS (
				SELECT id, sum(bytes) OVER (ORDER BY id), bytes FROM oldest WHERE id >> 40 = (SELECT min(id) >> 40 FROM oldest)
			) SELECT coalesce(min(id), 0), coalesce(max(id), 0), count(*) FROM added WHERE total - bytes <= ?`, deleteBatch, missing).Scan(&finest, &last, &length)
			if err != nil {
				return err
			}
			if length == 0 {
				return nil // Nothing is left to delete.
			}
			if _, err := d.delete(ctx, "DELETE FROM process_record WHERE id >= ? AND id <= ?", finest, last); err != nil {
				return err
			}
		}
	})
}

// asideFiles returns the damaged files that were set aside, oldest first.
func (r *Records) asideFiles() ([]string, error) {
	return matching(r.path + brokenSuffix)
}

// matching returns the files whose path has a prefix, by name.
func matching(prefix string) ([]string, error) {
	dir, begin := filepath.Dir(prefix), filepath.Base(prefix)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), begin) && !e.IsDir() {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}
