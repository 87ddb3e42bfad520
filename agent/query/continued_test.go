package query

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// TestContinued moves over series of which one part follows the other, and one more that
// one, with and without each part, and with samples of a part before its time.
func TestContinued(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	list := func(from, to int64) (all rateList) {
		for at := from; at < to; at += 1 + r.Int64N(20) {
			all = append(all, rateSample{at, float64(r.IntN(100))})
		}
		return all
	}
	setOf := func(series map[string]rateList) storage.SeriesSet {
		var all []storage.Series
		for _, name := range slices.Sorted(maps.Keys(series)) {
			all = append(all, &storage.SeriesEntry{
				Lset:             labels.FromStrings("i", name),
				SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return storage.NewListSeriesIterator(series[name]) },
			})
		}
		return &foundSet{guard: &guard{}, series: all}
	}
	for range 200 {
		parts, want := [3]map[string]rateList{{}, {}, {}}, map[string]rateList{}
		for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			for i := range parts {
				if r.IntN(4) == 0 {
					continue
				}
				from := int64(1000 * i)
				parts[i][name] = list(max(0, from-20)+r.Int64N(40), from+1+r.Int64N(999))
				begun := false
				if i > 0 {
					_, begun = parts[i-1][name] // Then what was before is not for this part to tell.
				}
				want[name] = append(want[name], slices.DeleteFunc(slices.Clone(parts[i][name]), func(s rateSample) bool { return s.t < from && begun })...)
			}
		}
		set, seed := continued(setOf(parts[0]), continued(setOf(parts[1]), setOf(parts[2]), 2000), 1000), r.Uint64()
		var it chunkenc.Iterator
		found := 0
		for set.Next() {
			series := set.At()
			name := series.Labels().Get("i")
			it = series.Iterator(it)
			got, expected := moves(it, rand.New(rand.NewPCG(seed, 1))), moves(storage.NewListSeriesIterator(want[name]), rand.New(rand.NewPCG(seed, 1)))
			if !slices.Equal(got, expected) {
				t.Fatalf("series %s: %v\nwant %v", name, got, expected)
			}
			found++
		}
		if err := set.Err(); err != nil || found != len(want) {
			t.Fatalf("%d series, %v; want %d", found, err, len(want))
		}
	}
}

// moves are the samples at which an iterator stands after random moves.
func moves(it chunkenc.Iterator, r *rand.Rand) (all []rateSample) {
	at := int64(0)
	for {
		next := chunkenc.ValNone
		if r.IntN(2) == 0 {
			at += r.Int64N(100)
			next = it.Seek(at)
		} else {
			next = it.Next()
		}
		if next == chunkenc.ValNone {
			return all
		}
		t, v := it.At()
		at = max(at, t)
		all = append(all, rateSample{t, v})
	}
}
