package query_test

import (
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"sysotel/agent/query"
	"sysotel/agent/store"
	"sysotel/agent/store/storetest"
)

// TestTiersConform runs the conformance suite on the embedded tiers: with all
// samples in the head, with older ones in blocks, and after a restart.
func TestTiersConform(t *testing.T) {
	for name, then := range map[string]func(*testing.T, *store.Store, store.Options) *store.Store{
		"head": func(_ *testing.T, s *store.Store, _ store.Options) *store.Store { return s },
		"blocks": func(t *testing.T, s *store.Store, _ store.Options) *store.Store {
			s.Maintain(t.Context())
			return s
		},
		"restarted": func(t *testing.T, s *store.Store, o store.Options) *store.Store {
			s.Maintain(t.Context())
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return storetest.OpenStore(t, o)
		},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(tb testing.TB, tier store.TierConfig, series []storetest.Series) (query.Source, func()) {
				o := store.Options{Dir: tb.TempDir(), Tiers: []store.TierConfig{tier}, Labels: labels.FromStrings("host_name", "h")}
				s := storetest.OpenStore(tb, o)
				fill(tb, s, series)
				s = then(t, s, o)
				return s.Tiers()[0], func() {
					if err := s.Close(); err != nil {
						tb.Error(err)
					}
				}
			})
		})
	}
}

// fill appends all samples in order of time, as readings of one collector.
func fill(tb testing.TB, s *store.Store, all []storetest.Series) {
	tb.Helper()
	readings := map[int64]*store.CollectorReading{}
	for _, one := range all {
		series := &store.Series{Labels: one.Labels}
		for _, sample := range one.Samples {
			r := readings[sample.T]
			if r == nil {
				r = &store.CollectorReading{Collector: "storetest"}
				readings[sample.T] = r
			}
			if value.IsStaleNaN(sample.V) {
				r.Ended = append(r.Ended, series)
			} else {
				r.Samples = append(r.Samples, store.Sample{Series: series, Value: sample.V})
			}
		}
	}
	times := make([]int64, 0, len(readings))
	for at := range readings {
		times = append(times, at)
	}
	slices.Sort(times)
	for _, at := range times {
		r := store.Reading{Time: time.UnixMilli(at), Collectors: []store.CollectorReading{*readings[at]}}
		if err := s.Append(r); err != nil {
			tb.Fatal(err)
		}
	}
	storetest.Complete(tb, s)
}
