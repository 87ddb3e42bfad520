package app

import (
	"math"

	"sysotel/api"
)

// addStorage adds what is kept to the API's options.
func (a *App) addStorage(o *api.Options) {
	if a.history.store == nil {
		return
	}
	c := a.config.Store
	o.Storage = func() api.Storage {
		s := api.Storage{Backend: c.Backend, MaxBytes: int64(c.MaxBytes), Tiers: []api.StoredTier{}, Folded: []api.FoldedNames{}}
		for _, t := range a.history.store.Tiers() {
			s.Tiers = append(s.Tiers, api.StoredTier{
				Tier: t.Name(), Step: t.Resolution().Seconds(), Retention: t.Retention().Seconds(),
				Oldest: t.Oldest().UTC(), Newest: t.Newest().UTC(), Bytes: t.Size(),
			})
		}
		s.Records = api.StoredRecords{Bytes: a.history.records.Bytes(), Tiers: []api.RecordTier{}}
		for _, t := range a.history.records.Tiers() {
			s.Records.Tiers = append(s.Records.Tiers, api.RecordTier{Step: t.Resolution.Seconds(), Retention: t.Retention.Seconds()})
		}
		s.Bytes = a.history.store.Size() + s.Records.Bytes
		for _, collector := range a.readings.sampler.Stats().Collectors {
			if !math.IsNaN(collector.Folded) {
				s.Folded = append(s.Folded, api.FoldedNames{Collector: collector.Name, Names: int64(collector.Folded)})
			}
		}
		return s
	}
}
