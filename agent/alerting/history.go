package alerting

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"sysotel/agent/jsonfile"
)

const (
	// historyFor and historyMax bound the age and the number of episodes.
	historyFor = 366 * 24 * time.Hour
	historyMax = 100_000
	// purgeEvery is the number of evaluations between purges: an hour at the default
	// interval.
	purgeEvery = 240
)

// History returns episodes, newest first.
func (a *Alerting) History(ctx context.Context, q HistoryQuery) (all []Episode, err error) {
	query := "SELECT body FROM episode WHERE fired < ? AND (ended IS NULL OR ended >= ?)"
	arguments := []any{q.End.UnixMilli(), q.Start.UnixMilli()}
	if q.Rule != "" {
		query += " AND rule IN (?, ?)"
		arguments = append(arguments, q.Rule, formerNames[q.Rule])
	}
	if q.Before > 0 {
		query += " AND id < ?"
		arguments = append(arguments, q.Before)
	}
	query += " ORDER BY id DESC LIMIT ?"
	arguments = append(arguments, q.Limit)
	err = a.file.each(ctx, func() { all = nil }, func(body []byte) error {
		var e Episode
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		all = append(all, e)
		return nil
	}, query, arguments...)
	return all, err
}

// addEpisode adds a row to the history.
func addEpisode(ctx context.Context, tx *sql.Tx, e Episode) (id int64, err error) {
	result, err := tx.ExecContext(ctx, "INSERT INTO episode (rule, fired, body) VALUES (?, ?, '{}')", e.Rule, e.FiredAt.UnixMilli())
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

func writeEpisode(ctx context.Context, tx *sql.Tx, e Episode) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	ended := sql.NullInt64{Int64: e.EndedAt.UnixMilli(), Valid: !e.EndedAt.IsZero()}
	_, err = tx.ExecContext(ctx, "UPDATE episode SET ended = ?, body = ? WHERE id = ?", ended, string(body), e.ID)
	return err
}

// purge deletes old episodes and silences.
func (a *Alerting) purge(ctx context.Context, at time.Time) {
	err := a.file.Change(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM episode WHERE ended IS NOT NULL AND (ended < ? OR id <= (SELECT max(id) FROM episode) - ?)", at.Add(-historyFor).UnixMilli(), historyMax)
		return err
	})
	if err == nil {
		err = a.purgeSilences(ctx, at)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		a.noteSaved(err)
	}
}

// Backup writes a copy of the state and of the rules from the API into an existing,
// empty directory.
func (a *Alerting) Backup(ctx context.Context, dir string) error {
	if err := a.file.Copy(ctx, filepath.Join(dir, stateFile)); err != nil {
		return fmt.Errorf("copy the alert state: %w", err)
	}
	a.mu.RLock()
	made := a.fromAPI
	a.mu.RUnlock()
	return jsonfile.Write(filepath.Join(dir, apiRulesFile), made)
}
