package store

import (
	"context"
	"log/slog"
	"math"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// shifted is a block whose samples are by milliseconds later.
type shifted struct {
	tsdb.BlockReader
	by int64
}

// Meta implements tsdb.BlockReader.
func (b shifted) Meta() tsdb.BlockMeta {
	m := b.BlockReader.Meta()
	m.MinTime, m.MaxTime = m.MinTime+b.by, m.MaxTime+b.by
	return m
}

// Index implements tsdb.BlockReader.
func (b shifted) Index() (tsdb.IndexReader, error) {
	r, err := b.BlockReader.Index()
	return shiftedIndex{r, b.by}, err
}

// Chunks implements tsdb.BlockReader.
func (b shifted) Chunks() (tsdb.ChunkReader, error) {
	r, err := b.BlockReader.Chunks()
	return shiftedChunks{r, b.by}, err
}

type shiftedIndex struct {
	tsdb.IndexReader
	by int64
}

// Series implements tsdb.IndexReader.
func (r shiftedIndex) Series(ref storage.SeriesRef, builder *labels.ScratchBuilder, found *[]chunks.Meta) error {
	err := r.IndexReader.Series(ref, builder, found)
	if found != nil {
		for i := range *found {
			(*found)[i].MinTime += r.by
			(*found)[i].MaxTime += r.by
		}
	}
	return err
}

type shiftedChunks struct {
	tsdb.ChunkReader
	by int64
}

// ChunkOrIterable implements tsdb.ChunkReader.
func (r shiftedChunks) ChunkOrIterable(meta chunks.Meta) (chunkenc.Chunk, chunkenc.Iterable, error) {
	c, several, err := r.ChunkReader.ChunkOrIterable(meta)
	if err != nil || c == nil {
		return c, several, err
	}
	moved := chunkenc.NewXORChunk()
	to, err := moved.Appender()
	if err != nil {
		return nil, nil, err
	}
	it := c.Iterator(nil)
	for it.Next() == chunkenc.ValFloat {
		t, v := it.At()
		to.Append(0, t+r.by, v)
	}
	return moved, nil, it.Err()
}

// newBlockWriter returns what writes blocks outside of an open database.
func newBlockWriter(ctx context.Context, log *slog.Logger) (*tsdb.LeveledCompactor, error) {
	return tsdb.NewLeveledCompactorWithOptions(ctx, nil, log, []int64{math.MaxInt64}, nil, tsdb.LeveledCompactorOptions{MaxBlockChunkSegmentSize: chunkSegment})
}

// writePart writes the samples of a block from from to before to, by later, as a block
// into a folder. It writes none if there are no samples.
func writePart(w *tsdb.LeveledCompactor, dir string, b tsdb.BlockReader, from, to, by int64) ([]ulid.ULID, error) {
	return w.Write(dir, shifted{b, by}, from+by, to+by, nil)
}
