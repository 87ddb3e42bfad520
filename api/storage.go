package api

import (
	"context"
	"net/http"
	"time"
)

// Storage is the response of /storage.
type Storage struct {
	Backend  string        `json:"backend" enum:"embedded,victoriametrics" doc:"Where queries find the history, store.backend: on this machine's disk, or on VictoriaMetrics, while this machine's disk has a copy of its own readings."`
	Bytes    int64         `json:"bytes" doc:"Size of tiers and records on this machine's disk."`
	MaxBytes int64         `json:"max_bytes" doc:"What they may have together, store.max_bytes: the oldest data of the finest tier is deleted first."`
	Tiers    []StoredTier  `json:"tiers" nullable:"false" doc:"Tiers of the series, finest first."`
	Records  StoredRecords `json:"records" doc:"Process tables and events."`
	Folded   []FoldedNames `json:"folded" nullable:"false" doc:"What has no series of its own at present, because there is too much of it, and is added up as others; one entry for each collector that can do so."`
}

// StoredTier is one tier of the series.
type StoredTier struct {
	Tier      string    `json:"tier" doc:"Name of the tier: its resolution." example:"1m"`
	Step      float64   `json:"step_seconds" doc:"Time between two points."`
	Retention float64   `json:"retention_seconds" doc:"How long points are kept, unless max_bytes is exceeded."`
	Oldest    time.Time `json:"oldest,omitzero" doc:"Time of the oldest point within the retention; absent if there is none, or if the tier is not open yet."`
	Newest    time.Time `json:"newest,omitzero" doc:"Time of the newest point; absent if there is none."`
	Bytes     int64     `json:"bytes" doc:"Size on disk."`
}

// StoredRecords are the process tables and events.
type StoredRecords struct {
	Bytes int64        `json:"bytes" doc:"Size on disk."`
	Tiers []RecordTier `json:"tiers" nullable:"false" doc:"Tiers of the process tables, finest first. Events are kept as long as the last."`
}

// RecordTier is one tier of the process tables.
type RecordTier struct {
	Step      float64 `json:"step_seconds" doc:"Time that one table covers."`
	Retention float64 `json:"retention_seconds" doc:"How long a table is kept."`
}

// FoldedNames is what one collector adds up.
type FoldedNames struct {
	Collector string `json:"collector" doc:"The collector: process for programs, disk for block devices, filesystem, network for interfaces." example:"process"`
	Names     int64  `json:"names" doc:"How many have no name of their own at present."`
}

type storageOutput struct{ Body Storage }

// Storage registers the operations of this file.
func (operations) Storage(s *Server) {
	const day = 24 * 3600
	register(s, Operation{
		ID: "get-storage", Method: http.MethodGet, Path: "/api/v1/storage", Table: "tiers",
		Summary:     "Get what is kept",
		Description: "The tiers of the history with their retention, their oldest point and their size, and what is added up for want of room.",
		Access:      Access{Role: Viewer, Cost: Query},
		Example: Storage{
			Backend: "embedded", Bytes: 214 << 20, MaxBytes: 1 << 30,
			Tiers: []StoredTier{
				{Tier: "1s", Step: 1, Retention: day, Oldest: exampleTime.Add(-day * time.Second), Newest: exampleTime, Bytes: 90 << 20},
				{Tier: "1m", Step: 60, Retention: 7 * day, Oldest: exampleTime.Add(-7 * day * time.Second), Newest: exampleTime, Bytes: 40 << 20},
			},
			Records: StoredRecords{Bytes: 84 << 20, Tiers: []RecordTier{{Step: 5, Retention: day}, {Step: 60, Retention: 7 * day}}},
			Folded:  []FoldedNames{{Collector: "process", Names: 12}},
		},
		Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*storageOutput, error) {
		if s.options.Storage == nil {
			return nil, notKept("readings", "keeps no history")
		}
		return &storageOutput{s.options.Storage()}, nil
	})
}
