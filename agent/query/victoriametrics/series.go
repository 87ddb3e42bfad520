package victoriametrics

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// series has the samples of one series, compressed, because a query may need many
// more than it holds at one time.
type series struct {
	labels   labels.Labels
	chunks   []*chunkenc.XORChunk
	appender chunkenc.Appender
	newest   int64
	counted  int // bytes
}

var _ storage.Series = (*series)(nil)

// chunkSamples is the number of samples per chunk; its limit is 65,535.
const chunkSamples = 4096

// append adds a sample and reports whether it came in order. Duplicates are
// ignored: a node without deduplication has samples twice that were sent twice.
func (s *series) append(t int64, v float64) bool {
	if len(s.chunks) > 0 && t <= s.newest {
		return t == s.newest
	}
	if len(s.chunks) == 0 || s.chunks[len(s.chunks)-1].NumSamples() >= chunkSamples {
		chunk := chunkenc.NewXORChunk()
		appender, err := chunk.Appender()
		if err != nil { // A new chunk is valid.
			return false
		}
		s.chunks, s.appender = append(s.chunks, chunk), appender
	}
	s.appender.Append(0, t, v)
	s.newest = t
	return true
}

// seriesBytes is the approximate size of a series without labels and samples.
const seriesBytes = 256

// grown returns by about how much the memory of the series has grown since the last
// call.
func (s *series) grown() int {
	total := seriesBytes + int(s.labels.ByteSize())
	for _, c := range s.chunks {
		total += len(c.Bytes())
	}
	grown := total - s.counted
	s.counted = total
	return grown
}

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series.
func (s *series) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	switch len(s.chunks) {
	case 0:
		return chunkenc.NewNopIterator()
	case 1:
		return s.chunks[0].Iterator(it)
	}
	all := make([]chunkenc.Iterator, len(s.chunks))
	for i, c := range s.chunks {
		all[i] = c.Iterator(nil)
	}
	return storage.ChainSampleIteratorFromIterators(it, all)
}

// set implements storage.SeriesSet.
type set struct {
	all []*series
	at  int
}

var _ storage.SeriesSet = (*set)(nil)

// newSet sorts series by their labels.
func newSet(all []*series) *set {
	slices.SortFunc(all, func(a, b *series) int { return labels.Compare(a.labels, b.labels) })
	return &set{all: all, at: -1}
}

// Next implements storage.SeriesSet.
func (s *set) Next() bool {
	s.at++
	return s.at < len(s.all)
}

// At implements storage.SeriesSet.
func (s *set) At() storage.Series { return s.all[s.at] }

// Err implements storage.SeriesSet.
func (*set) Err() error { return nil }

// Warnings implements storage.SeriesSet.
func (*set) Warnings() annotations.Annotations { return nil }

// unknownTime is before every sample.
const unknownTime = math.MinInt64
