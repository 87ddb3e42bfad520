package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"sysotel/agent/sqlite"
)

// format is the schema of the file; a partition is the column lane. AUTOINCREMENT never
// reuses a number, even after the newest request was removed. A queue that shrinks
// gives the disk space back.
var format = sqlite.Format{CacheKiB: 256, Steps: []string{
	`CREATE TABLE request (
		number INTEGER PRIMARY KEY AUTOINCREMENT,
		time INTEGER NOT NULL, -- Unix milliseconds
		body BLOB NOT NULL -- compressed with S2
	) STRICT;`,
	`ALTER TABLE request ADD COLUMN lane TEXT NOT NULL DEFAULT '';
	CREATE INDEX request_lane ON request (lane, number);
	CREATE TABLE mark (
		lane TEXT PRIMARY KEY,
		time INTEGER NOT NULL -- Unix milliseconds; up to here everything was pushed
	) STRICT, WITHOUT ROWID;`,
	`CREATE TABLE followed (
		id INTEGER PRIMARY KEY CHECK (id = 0),
		step INTEGER NOT NULL -- the newest step of the clock for which times were moved
	) STRICT;`,
}}

// file is the open file. One connection is enough: callers hold the queue's lock.
type file struct{ *sqlite.File }

// total is the size of a partition.
type total struct{ requests, bytes int64 }

// totals returns the size of each partition, without some requests, and the highest
// number used so far.
func totals(ctx context.Context, db *sql.DB, without []int64) (partitions map[string]total, last int64, err error) {
	err = db.QueryRowContext(ctx, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'request'), 0)").Scan(&last)
	if err != nil {
		return nil, 0, err
	}
	partitions = map[string]total{}
	err = each(ctx, db, func(rows *sql.Rows) error {
		var name string
		var t total
		err := rows.Scan(&name, &t.requests, &t.bytes)
		partitions[name] = t
		return err
	}, "SELECT lane, count(*), sum(length(body)) FROM request WHERE number NOT IN ("+list(without)+") GROUP BY lane")
	return partitions, last, err
}

// has returns which requests from a number on are in the file.
func has(ctx context.Context, db *sql.DB, from int64) (map[int64]bool, error) {
	numbers := map[int64]bool{}
	err := each(ctx, db, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		numbers[n] = true
		return err
	}, "SELECT number FROM request WHERE number >= ?", from)
	return numbers, err
}

// marks returns the marks of the partitions.
func marks(ctx context.Context, db *sql.DB) (map[string]time.Time, error) {
	marks := map[string]time.Time{}
	err := each(ctx, db, func(rows *sql.Rows) error {
		var name string
		var at int64
		err := rows.Scan(&name, &at)
		marks[name] = time.UnixMilli(at)
		return err
	}, "SELECT lane, time FROM mark")
	return marks, err
}

// errEnough makes each stop without an error.
var errEnough = errors.New("enough")

// each calls do with each row of a result until do returns an error.
func (f *file) each(ctx context.Context, do func(*sql.Rows) error, query string, arguments ...any) error {
	return f.Read(ctx, func(db *sql.DB) error { return each(ctx, db, do, query, arguments...) })
}

func each(ctx context.Context, db *sql.DB, do func(*sql.Rows) error, query string, arguments ...any) error {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return err
	}
	for err == nil && rows.Next() {
		err = do(rows)
	}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// keepPartitions removes the requests of all other partitions and returns their number.
func (f *file) keepPartitions(ctx context.Context, names []string) (int64, error) {
	marks := strings.TrimSuffix(strings.Repeat("?,", len(names)), ",")
	arguments := make([]any, len(names))
	for i, name := range names {
		arguments[i] = name
	}
	return f.exec(ctx, "DELETE FROM request WHERE lane NOT IN ("+marks+")", arguments...)
}

// exec runs a statement and returns the number of rows that it changed.
func (f *file) exec(ctx context.Context, statement string, arguments ...any) (n int64, err error) {
	err = f.Write(ctx, func(db *sql.DB) error {
		result, err := db.ExecContext(ctx, statement, arguments...)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// insert writes requests together with the marks of their partitions.
func (f *file) insert(ctx context.Context, requests []waiting, marked []*Partition) error {
	if len(requests) == 0 && len(marked) == 0 {
		return nil
	}
	return f.Change(ctx, func(tx *sql.Tx) error {
		for _, r := range requests {
			if _, err := tx.ExecContext(ctx, "INSERT INTO request (number, time, body, lane) VALUES (?, ?, ?, ?)",
				r.Number, r.Time.UnixMilli(), r.packed, r.partition.name); err != nil {
				return err
			}
		}
		for _, partition := range marked {
			if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO mark (lane, time) VALUES (?, ?)", partition.name, partition.mark.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// remove removes requests and returns how many existed.
func (f *file) remove(ctx context.Context, numbers ...int64) (int64, error) {
	return f.exec(ctx, "DELETE FROM request WHERE number IN ("+list(numbers)+")")
}

// list formats numbers for a statement.
func list(numbers []int64) string {
	var b strings.Builder
	for i, n := range numbers {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", n)
	}
	return b.String()
}

// oldest calls take with the requests of a partition below a number, without the others,
// oldest first, until take returns false.
func (f *file) oldest(ctx context.Context, partition string, below int64, others []int64, take func(Request, []byte) bool) error {
	return f.each(ctx, func(rows *sql.Rows) error {
		var r Request
		var at int64
		var packed []byte
		if err := rows.Scan(&r.Number, &at, &packed); err != nil {
			return err
		}
		r.Time = time.UnixMilli(at)
		if !take(r, packed) {
			return errEnough
		}
		return nil
	}, "SELECT number, time, body FROM request WHERE lane = ? AND number < ? AND number NOT IN ("+list(others)+") ORDER BY number", partition, below)
}

// trim removes requests from before a time, and the oldest until over bytes are removed,
// all below a number. It returns the removed sizes by partition and the highest removed
// number.
func (f *file) trim(ctx context.Context, before time.Time, over, below int64) (dropped map[string]total, last int64, err error) {
	dropped = map[string]total{}
	err = f.each(ctx, func(rows *sql.Rows) error {
		var number, at, size int64
		var partition string
		if err := rows.Scan(&number, &at, &size, &partition); err != nil {
			return err
		}
		if at >= before.UnixMilli() && over <= 0 {
			return errEnough
		}
		d := dropped[partition]
		dropped[partition] = total{d.requests + 1, d.bytes + size}
		last, over = number, over-size
		return nil
	}, "SELECT number, time, length(body), lane FROM request WHERE number < ? ORDER BY number", below)
	if err == nil && last > 0 {
		_, err = f.exec(ctx, "DELETE FROM request WHERE number <= ?", last)
	}
	if err != nil {
		return nil, 0, err
	}
	return dropped, last, nil
}
