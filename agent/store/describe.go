package store

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
)

// HeadStats describes the samples of the tier that are in no block yet, with the limit
// longest entries of each list. Before the tier is open the error is ErrOpening.
func (t *Tier) HeadStats(limit int) (*tsdb.Stats, error) {
	db, err := t.acquire()
	if err != nil {
		return nil, err
	}
	defer t.release()
	return db.Head().Stats(labels.MetricName, limit), nil
}

// Blocks lists the blocks of the tier, oldest first. Before the tier is open the error is
// ErrOpening.
func (t *Tier) Blocks() ([]tsdb.BlockMeta, error) {
	db, err := t.acquire()
	if err != nil {
		return nil, err
	}
	defer t.release()
	return db.BlockMetas(), nil
}
