package query

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// TestBuckets: samples become the minimum or maximum of their bucket, at its end; staleness
// markers none.
func TestBuckets(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	const bucket = 100
	for round := range 200 {
		maximum := round%2 == 0
		var samples, want rateList
		for at := r.Int64N(500); at < 2000; at += 1 + r.Int64N(70) {
			v := float64(r.IntN(100))
			if r.IntN(6) == 0 {
				samples = append(samples, rateSample{at, math.Float64frombits(value.StaleNaN)})
				continue
			}
			samples = append(samples, rateSample{at, v})
			end := (at + bucket - 1) / bucket * bucket
			switch last := len(want) - 1; {
			case last < 0 || want[last].t != end:
				want = append(want, rateSample{end, v})
			case maximum:
				want[last].v = max(want[last].v, v)
			default:
				want[last].v = min(want[last].v, v)
			}
		}
		set := &bucketSet{&foundSet{guard: &guard{}, series: []storage.Series{&storage.SeriesEntry{
			Lset:             labels.FromStrings("i", "a"),
			SampleIteratorFn: func(chunkenc.Iterator) chunkenc.Iterator { return storage.NewListSeriesIterator(samples) },
		}}}, bucket, maximum}
		if !set.Next() {
			t.Fatal("there is no series")
		}
		seed := r.Uint64()
		got, expected := moves(set.At().Iterator(nil), rand.New(rand.NewPCG(seed, 1))), moves(storage.NewListSeriesIterator(want), rand.New(rand.NewPCG(seed, 1)))
		if !slices.Equal(got, expected) {
			t.Fatalf("maximum %v: of %v\ngot  %v\nwant %v", maximum, samples, got, expected)
		}
	}
}
