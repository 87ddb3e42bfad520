package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"
)

// TestWhole reads random times of a database with blocks and a head, as a query moves on,
// and finds what the database itself has.
func TestWhole(t *testing.T) {
	t.Parallel()
	const count = 3000
	db := teststorage.New(t, func(o *tsdb.Options) {
		o.MinBlockDuration, o.MaxBlockDuration = (10 * time.Minute).Milliseconds(), (30 * time.Minute).Milliseconds()
		o.SamplesPerChunk = 100
	})
	r := rand.New(rand.NewPCG(1, 2))
	app := db.Appender(t.Context())
	for i := range int64(count) {
		for name, missing := range map[string]bool{"all": false, "gaps": i%700 > 300, "late": i < 2000, "ended": i > 1500} {
			if missing {
				continue
			}
			if _, err := app.Append(0, labels.FromStrings(model.MetricNameLabel, "x", "of", name), 1000*i, r.Float64()); err != nil {
				t.Fatal(err)
			}
		}
		if i%500 == 0 {
			if err := app.Commit(); err != nil {
				t.Fatal(err)
			}
			app = db.Appender(t.Context())
		}
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(db.Blocks()); n == 0 || db.Head().NumSeries() == 0 {
		t.Fatalf("%d blocks and %d series in the head, want both", n, db.Head().NumSeries())
	}
	named := labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "x")
	for range 200 {
		from := r.Int64N(1000*count) - 10_000
		to := from + r.Int64N(1000*count)
		var found [2]string
		seed := r.Uint64()
		for i, of := range []storage.Queryable{db, Whole(db, time.Second)} {
			q, err := of.Querier(from, to)
			if err != nil {
				t.Fatal(err)
			}
			found[i] = walk(t, q.Select(t.Context(), true, &storage.SelectHints{Start: from, End: to}, named), from, rand.New(rand.NewPCG(seed, 1)))
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		}
		if found[0] != found[1] {
			t.Fatalf("from %d to %d: the database has\n%s\nand whole chunks\n%s", from, to, found[0], found[1])
		}
	}
}

// walk moves over the series of a set, one sample or some time at once.
func walk(t *testing.T, set storage.SeriesSet, from int64, r *rand.Rand) (found string) {
	t.Helper()
	var it chunkenc.Iterator
	for set.Next() {
		series := set.At()
		found += series.Labels().String()
		it = series.Iterator(it)
		stride := r.Int64N(300_000) + 1
		for at := from; ; {
			next := chunkenc.ValNone
			if r.IntN(3) == 0 {
				at += r.Int64N(stride)
				next = it.Seek(at)
			} else {
				next = it.Next()
			}
			if next == chunkenc.ValNone {
				break
			}
			time, v := it.At()
			at = max(at, time)
			found += fmt.Sprintf(" %d=%g", time, v)
		}
		if err := it.Err(); err != nil {
			t.Fatal(err)
		}
		found += "\n"
	}
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
