package records

import (
	"context"
	"database/sql"
	"errors"

	"sysotel/agent/sqlite"
)

// File names.
const (
	fileName     = "records.db"
	walSuffix    = "-wal"
	indexSuffix  = "-shm"
	brokenSuffix = sqlite.BrokenSuffix
)

// format is the format of the file. Retain and Shrink return free pages to the file
// system.
var format = sqlite.Format{CacheKiB: 512, ByHand: true, Steps: []string{
	`CREATE TABLE process_record (
		id INTEGER PRIMARY KEY, -- resolution in seconds << 40 | end of the bucket in Unix seconds
		since INTEGER NOT NULL, -- first and last moment that is in it, Unix milliseconds
		last INTEGER NOT NULL,
		body BLOB NOT NULL
	) STRICT;
	CREATE TABLE event (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		time INTEGER NOT NULL, -- Unix milliseconds, as are since and until
		kind TEXT NOT NULL,
		cause TEXT NOT NULL,
		subject TEXT NOT NULL,
		since INTEGER,
		until INTEGER,
		detail TEXT NOT NULL -- a JSON object of strings
	) STRICT;
	CREATE INDEX event_time ON event (time, id);`,
}}

// database is the open file: one connection that writes and a few that read.
type database struct {
	writer, reader *sql.DB
}

// openDatabase opens or creates the file and migrates its schema.
func openDatabase(ctx context.Context, path string) (*database, error) {
	writer, err := format.Connect(path)
	if err != nil {
		return nil, err
	}
	d := &database{writer: writer}
	if err := format.Migrate(ctx, writer); err != nil {
		return nil, errors.Join(err, d.close())
	}
	if d.reader, err = format.Readers(path, 3); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.reader.SetMaxIdleConns(1)
	if err := d.probe(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// probe reads one row of each table, to detect severe damage at once.
func (d *database) probe(ctx context.Context) error {
	var id, since, last int64
	var body []byte
	err := d.reader.QueryRowContext(ctx, "SELECT id, since, last, body FROM process_record ORDER BY id DESC LIMIT 1").Scan(&id, &since, &last, &body)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	err = d.reader.QueryRowContext(ctx, "SELECT id, time FROM event ORDER BY time DESC, id DESC LIMIT 1").Scan(&id, &since)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return nil
}

func (d *database) close() error {
	var err error
	if d.reader != nil {
		err = d.reader.Close()
	}
	return errors.Join(err, d.writer.Close())
}
