package store

import (
	"context"
	"log/slog"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// compactor is the library's compactor with true times of blocks of ended series, and
// with one more plan: deletion. The library calls BlocksToDelete only after writing a block, which in the coarse tiers is
// every few weeks; a plan that merges nothing triggers it now.
type compactor struct {
	tsdb.Compactor
	tier *Tier
	// asked is set if a deletion was planned and the library has not asked again;
	// without it a block that cannot be deleted would be planned forever.
	asked bool
}

// deletion is the plan that merges nothing.
const deletion = "deletion"

// newCompactor makes the compactor of a tier. The type parameter R is inferred from
// the library's function type, because its package cannot be imported; no metrics
// are registered.
func newCompactor[R any](t *Tier, _ func(context.Context, R, *slog.Logger, []int64, chunkenc.Pool, *tsdb.Options) (tsdb.Compactor, error)) func(context.Context, R, *slog.Logger, []int64, chunkenc.Pool, *tsdb.Options) (tsdb.Compactor, error) {
	return func(ctx context.Context, _ R, log *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options) (tsdb.Compactor, error) {
		leveled, err := tsdb.NewLeveledCompactorWithOptions(ctx, nil, log, ranges, pool, tsdb.LeveledCompactorOptions{
			MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
			EnableOverlappingCompaction: o.EnableOverlappingCompaction,
			PD:                          o.PostingsDecoderFactory,
		})
		if err != nil {
			return nil, err
		}
		return &compactor{Compactor: leveled, tier: t}, nil
	}
}

// Plan returns the library's plan, or a deletion if it has none.
func (c *compactor) Plan(dir string) ([]string, error) {
	plan, err := c.Compactor.Plan(dir)
	if err != nil || len(plan) > 0 {
		return plan, err
	}
	c.tier.mu.Lock()
	db := c.tier.db
	c.tier.mu.Unlock()
	if db == nil || c.asked || !c.tier.hasDeletableBlocks(db) {
		c.asked = false
		return nil, nil
	}
	c.asked = true
	return []string{deletion}, nil
}

// Compact merges blocks; for a deletion it does nothing, and the library calls
// BlocksToDelete.
func (c *compactor) Compact(dest string, dirs []string, open []*tsdb.Block) ([]ulid.ULID, error) {
	if len(dirs) == 1 && dirs[0] == deletion {
		return nil, nil
	}
	return c.Compactor.Compact(dest, dirs, open)
}

// Write writes a block. Blocks of ended series would claim to cover their whole range,
// which in the coarsest tier ends weeks ahead.
func (c *compactor) Write(dest string, b tsdb.BlockReader, mint, maxt int64, base *tsdb.BlockMeta) ([]ulid.ULID, error) {
	c.tier.mu.Lock()
	db := c.tier.db
	c.tier.mu.Unlock()
	if db != nil && base != nil && base.Compaction.FromStaleSeries() {
		mint, maxt = max(mint, db.Head().MinTime()), min(maxt, db.Head().MaxTime()+1)
	}
	return c.Compactor.Write(dest, b, mint, maxt, base)
}
