package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// copyBatch rows are copied in one transaction, unless all must be.
const copyBatch = 500

// maxTries bounds the searches for rows behind damage, for each table.
const maxTries = 200

// copier copies rows, of what can be read, from one database to another.
type copier struct {
	from *sql.DB
	tx   *sql.Tx
	// next commits and begins the next transaction; nil: all rows are in one.
	next func(*sql.Tx) (*sql.Tx, error)
	// verb begins the statement for a row that may be there already.
	verb string
	// most bounds the bytes of a table, newest first; 0: all.
	most int64
	// times are as in Options.
	times map[string]string

	saved   int
	pending int
	lost    []Span
	tries   int
	// wrong is the first error of reading.
	wrong error
}

// table is one table of a schema.
type table struct {
	name    string
	columns []string
	// key orders the rows: rowid, or the primary key of a table without.
	key   []string
	rowid bool
}

// tables returns the tables of a database.
func tables(ctx context.Context, db *sql.DB) (all []table, err error) {
	names, err := strings2(ctx, db, "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		t := table{name: n[0], rowid: n[1] == "0", key: []string{"rowid"}}
		columns, err := strings2(ctx, db, "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", t.name)
		if err != nil {
			return nil, err
		}
		if !t.rowid {
			t.key = nil
		}
		for _, c := range columns {
			t.columns = append(t.columns, c[0])
			if !t.rowid && c[1] != "0" {
				t.key = append(t.key, c[0])
			}
		}
		all = append(all, t)
	}
	return all, nil
}

// strings2 returns the rows of a query for two texts.
func strings2(ctx context.Context, db *sql.DB, query string, arguments ...any) (all [][2]string, err error) {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err reports it.
	for rows.Next() {
		var r [2]string
		if err := rows.Scan(&r[0], &r[1]); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// table copies one table and reports whether every row was read. Only an error of the
// target ends it.
func (c *copier) table(ctx context.Context, t table) (whole bool, err error) {
	c.tries = 0
	if c.most > 0 || !t.rowid {
		return c.ordered(ctx, t)
	}
	return c.span(ctx, t, math.MinInt64, math.MaxInt64, 0, 0)
}

// ordered copies the newest rows, or those of a table that cannot be searched by
// number: backwards, and forwards where that fails.
func (c *copier) ordered(ctx context.Context, t table) (whole bool, err error) {
	down := " ORDER BY " + strings.Join(t.key, " DESC, ") + " DESC"
	r, err := c.read(ctx, t, down)
	if err != nil || r.wrong == nil {
		return err == nil && !r.more, err
	}
	up, err := c.read(ctx, t, " ORDER BY "+strings.Join(t.key, ", "))
	if err != nil || up.wrong == nil {
		return err == nil && !up.more, err
	}
	c.lose(up.time, r.time)
	return false, nil
}

// span copies the rows between two numbers. Where the way up ends at damage, it goes on
// from above, and then from the middle of what lies between: pages are damaged one by
// one. Since and until are the times of the rows around.
func (c *copier) span(ctx context.Context, t table, low, high int64, since, until int64) (whole bool, err error) {
	const between = " WHERE rowid > ? AND rowid < ? ORDER BY rowid"
	up, err := c.read(ctx, t, between, low, high)
	if err != nil || up.wrong == nil {
		return err == nil, err
	}
	if up.rows > 0 {
		low, since = up.last, up.time
	}
	down, err := c.read(ctx, t, between+" DESC", low, high)
	if err != nil {
		return false, err
	}
	if down.rows > 0 {
		high, until = down.last, down.time
	}
	if down.wrong == nil {
		return false, nil
	}
	middle := low/2 + high/2
	if c.tries++; c.tries > maxTries || middle <= low || middle >= high {
		c.lose(since, until)
		return false, nil
	}
	if up.rows == 0 && down.rows == 0 && high-low < 64 {
		c.lose(since, until) // The rows of one page.
		return false, nil
	}
	if _, err := c.span(ctx, t, low, middle+1, since, 0); err != nil {
		return false, err
	}
	_, err = c.span(ctx, t, middle, high, 0, until)
	return false, err
}

// lose notes a span of lost rows, in Unix milliseconds; 0: unknown.
func (c *copier) lose(since, until int64) {
	s := Span{}
	if since != 0 {
		s.From = time.UnixMilli(since).UTC()
	}
	if until != 0 {
		s.To = time.UnixMilli(until).UTC()
	}
	if n := len(c.lost); n > 0 && (c.lost[n-1].To.IsZero() || s.From.IsZero() || !s.From.After(c.lost[n-1].To)) {
		c.lost[n-1].To = s.To // Pages next to each other.
		return
	}
	if len(c.lost) < maxSpans {
		c.lost = append(c.lost, s)
	}
}

// maxSpans bounds the spans that are told.
const maxSpans = 20

// readResult is what one query gave: the number of rows, the rowid and time of the
// last, whether more were left out, and why reading ended early.
type readResult struct {
	rows       int
	last, time int64
	more       bool
	wrong      error
}

// read copies the rows of a query over the table until one cannot be read. Its error is
// one of writing.
func (c *copier) read(ctx context.Context, t table, rest string, arguments ...any) (r readResult, err error) {
	number, at := "0", "0"
	if t.rowid {
		number = "rowid"
	}
	if expression := c.times[t.name]; expression != "" {
		at = expression
	}
	columns := strings.Join(t.columns, ", ")
	rows, err := c.from.QueryContext(ctx, fmt.Sprintf("SELECT %s, coalesce(%s, 0), %s FROM %s", number, at, columns, t.name)+rest, arguments...)
	if err != nil {
		c.wrong = firstOf(c.wrong, err)
		return readResult{wrong: err}, ctx.Err()
	}
	defer rows.Close() //nolint:errcheck // rows.Err reports it.
	insert := fmt.Sprintf("%s INTO %s (%s) VALUES (?%s)", c.verb, t.name, columns, strings.Repeat(", ?", len(t.columns)-1))
	values, targets := make([]any, len(t.columns)+2), make([]any, len(t.columns)+2)
	for i := range values {
		targets[i] = &values[i]
	}
	bytes := int64(0)
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			break // rows.Err has the reason; one row cannot fail otherwise.
		}
		for _, v := range values[2:] {
			bytes += sizeOf(v)
		}
		if c.most > 0 && bytes > c.most {
			r.more = true
			break
		}
		if _, err := c.tx.ExecContext(ctx, insert, values[2:]...); err != nil {
			if !constraint(err) {
				return r, err
			}
			continue // A damaged row that does not fit the schema.
		}
		r.rows++
		r.last, _ = values[0].(int64)
		r.time, _ = values[1].(int64)
		c.saved++
		if c.pending++; c.next != nil && c.pending >= copyBatch {
			if c.tx, err = c.next(c.tx); err != nil {
				return r, err
			}
			c.pending = 0
		}
	}
	if r.wrong = rows.Err(); r.wrong != nil {
		c.wrong = firstOf(c.wrong, r.wrong)
	}
	return r, ctx.Err()
}

// sizeOf is the size of a value in bytes, about.
func sizeOf(v any) int64 {
	switch v := v.(type) {
	case string:
		return int64(len(v)) + 8
	case []byte:
		return int64(len(v)) + 8
	}
	return 8
}

func firstOf(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

// sequences makes the numbers of rows in to go on where those of from ended.
func sequences(ctx context.Context, from *sql.DB, to *sql.Tx) error {
	all, err := strings2(ctx, from, "SELECT name, seq FROM sqlite_sequence")
	if err != nil {
		return nil // No table has numbers, or they are damaged.
	}
	for _, s := range all {
		if _, err := to.ExecContext(ctx, "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", s[1], s[0]); err != nil {
			return err
		}
		if _, err := to.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)", s[0], s[1], s[0]); err != nil {
			return err
		}
	}
	return nil
}
