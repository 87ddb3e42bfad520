package sampler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"sysotel/instruments"
)

// lacking is a reading that lacks something.
type lacking struct{ missing []instruments.Missing }

func (lacking) Report(*instruments.Observer) {}

// Missing implements instruments.Partial.
func (l lacking) Missing() []instruments.Missing { return l.missing }

// TestPartialReading: a mount that does not answer costs one log line when it
// goes and one when it comes back, degrades /health, and keeps the rest.
func TestPartialReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		mounts := &fake{name: "filesystem"}
		mounts.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			if tick.Seq >= 3 && tick.Seq <= 5 {
				return lacking{[]instruments.Missing{{Subject: "/mnt/nas", Reason: "does not answer"}}}, nil
			}
			return lacking{}, nil
		}
		s := testSampler(t, time.Second, &log, nil, mounts)
		start(t, s)
		pass(2500 * time.Millisecond)
		if r, _ := s.Newest("filesystem"); r == nil {
			t.Error("what it has is not there")
		}
		log.want(t, 1, "part of a reading is missing", "collector=filesystem", "subject=/mnt/nas", "does not answer")
		if part := s.Health()[1]; part.Status != "degraded" || part.Reason != "/mnt/nas: does not answer" {
			t.Errorf("health: %+v", part)
		}
		pass(4 * time.Second)
		log.want(t, 1, "part of a reading is back", "subject=/mnt/nas")
		log.want(t, 2, "")
		if part := s.Health()[1]; part.Status != "ok" || part.Reason != "" {
			t.Errorf("health: %+v", part)
		}
	})
}
