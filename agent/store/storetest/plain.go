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

// finest is the resolution of a tier that holds every reading.
const finest = time.Second

// plain is a tier in the storage that Prometheus tests itself with.
type plain struct {
	tier      store.TierConfig
	oldest    time.Time
	queryable storage.Queryable
}

var _ query.Source = (*plain)(nil)

// Name implements store.Source.
func (p *plain) Name() string { return model.Duration(p.tier.Resolution).String() }

// Resolution implements store.Source.
func (p *plain) Resolution() time.Duration { return p.tier.Resolution }

// Oldest implements store.Source.
func (p *plain) Oldest() time.Time { return p.oldest }

// Queryable implements store.Source.
func (p *plain) Queryable() storage.Queryable { return p.queryable }

func newPlain(tb testing.TB, tier store.TierConfig, series []Series) *plain {
	tb.Helper()
	kept := teststorage.New(tb)
	p := &plain{tier: tier, queryable: kept}
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
