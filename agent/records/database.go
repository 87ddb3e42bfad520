package records

import (
	"database/sql"

	"sysotel/agent/sqlite"
)

// File names.
const (
	fileName     = "records.db"
	walSuffix    = "-wal"
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

// database is the open file: a connection that writes, nil for one who reads.
type database struct {
	writer, reader *sql.DB
}
