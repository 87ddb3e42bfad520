package storetest

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/teststorage"

	"sysotel/agent/query"
	"sysotel/agent/store"
)

// finest is the resolution of the finest tier.
const finest = time.Second

// reference is a tier in the storage that Prometheus uses in its own tests.
type reference struct {
	tier      store.TierConfig
	oldest    time.Time
	queryable storage.Queryable
}

var _ query.Source = (*reference)(nil)

// Name implements query.Source.
func (p *reference) Name() string { return model.Duration(p.tier.Resolution).String() }

// Resolution implements query.Source.
func (p *reference) Resolution() time.Duration { return p.tier.Resolution }

// Oldest implements query.Source.
func (p *reference) Oldest() time.Time { return p.oldest }

// Queryable implements query.Source.
func (p *reference) Queryable() storage.Queryable { return p.queryable }

func newReference(tb testing.TB, tier store.TierConfig, series []Series) *reference {
	tb.Helper()
	kept := teststorage.New(tb)
	p := &reference{tier: tier, queryable: kept}
	appender := kept.Appender(tb.Context())
	for _, one := range series {
		var ref storage.SeriesRef
		for _, sample := range one.Samples {
			var err error
			if ref, err = appender.Append(ref, one.Labels, sample.T, sample.V); err != nil {
				tb.Fatalf("append %s at %d: %v", one.Labels, sample.T, err)
			}
			if at := time.UnixMilli(sample.T); p.oldest.IsZero() || at.Before(p.oldest) {
				p.oldest = at
			}
		}
	}
	if err := appender.Commit(); err != nil {
		tb.Fatal(err)
	}
	return p
}
