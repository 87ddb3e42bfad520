package query

import (
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// continued has the series of two sorted sets. The samples of the first are from before a
// time in milliseconds, of the second those from then on count: to join them by time as the
// library does would take a look at both for each step.
func continued(earlier, later storage.SeriesSet, from int64) storage.SeriesSet {
	first := &earlierSet{earlier}
	join := func(parts ...storage.Series) storage.Series { return first.join(from, parts) }
	return storage.NewMergeSeriesSet([]storage.SeriesSet{first, later}, 0, join)
}

// earlierSet marks the series of a set as its own. The later set may be continued itself,
// and have marked series too.
type earlierSet struct{ storage.SeriesSet }

// At implements storage.SeriesSet.
func (s *earlierSet) At() storage.Series { return earlierSeries{s.SeriesSet.At(), s} }

// earlierSeries has the earlier samples of a series.
type earlierSeries struct {
	storage.Series
	of *earlierSet
}

// join joins the parts of a series: one, or two in any order.
func (s *earlierSet) join(from int64, parts []storage.Series) storage.Series {
	if len(parts) == 1 {
		return parts[0]
	}
	earlier, later := parts[0], parts[1]
	if marked, ok := later.(earlierSeries); ok && marked.of == s {
		earlier, later = later, earlier
	}
	return &storage.SeriesEntry{
		Lset: earlier.Labels(),
		SampleIteratorFn: func(reuse chunkenc.Iterator) chunkenc.Iterator {
			c, ok := reuse.(*continuedIterator)
			if !ok {
				c = &continuedIterator{}
			}
			*c = continuedIterator{first: earlier.Iterator(c.first), second: c.second, later: later, from: from}
			c.Iterator = c.first
			return c
		},
	}
}

// continuedIterator has the samples of one part of a series and then those of another.
type continuedIterator struct {
	chunkenc.Iterator // of the present part
	first, second     chunkenc.Iterator
	// later is the second part from a time on, nil when it has begun.
	later storage.Series
	from  int64
}

// Next implements chunkenc.Iterator.
func (c *continuedIterator) Next() chunkenc.ValueType {
	if next := c.Iterator.Next(); next != chunkenc.ValNone || !c.proceed() {
		return next
	}
	return c.Iterator.Seek(c.from)
}

// Seek implements chunkenc.Iterator.
func (c *continuedIterator) Seek(t milliseconds) chunkenc.ValueType {
	if next := c.Iterator.Seek(t); next != chunkenc.ValNone || !c.proceed() {
		return next
	}
	return c.Iterator.Seek(max(t, c.from))
}

// proceed goes on to the second part; false after an error or if it has begun.
func (c *continuedIterator) proceed() bool {
	if c.later == nil || c.Iterator.Err() != nil {
		return false
	}
	c.second = c.later.Iterator(c.second)
	c.Iterator, c.later = c.second, nil
	return true
}
