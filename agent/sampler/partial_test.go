package sampler

import (
	"context"
	"fmt"
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

// TestPartThatComesAndGoes: a part that is missing every other second for hours is
// named once an hour, and the log ends with what is so; a thousand parts are bounded.
func TestPartThatComesAndGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		stat := &fake{name: "cpu"}
		stat.read = func(_ context.Context, tick instruments.Tick) (instruments.Reading, error) {
			switch {
			case tick.Seq < 3*3600 && tick.Seq%2 == 0, tick.Seq > 4*3600 && tick.Seq < 6*3600:
				return lacking{[]instruments.Missing{{Subject: "/proc/stat: cpu3", Reason: "there is no number"}}}, nil
			case tick.Seq > 8*3600:
				return lacking{[]instruments.Missing{{Subject: fmt.Sprint("part ", tick.Seq), Reason: "there is no number"}}}, nil
			}
			return lacking{}, nil
		}
		s := testSampler(t, time.Second, &log, nil, stat)
		start(t, s)
		pass(3*time.Hour + time.Minute)
		log.want(t, 3, "part of a reading is missing", `subject="/proc/stat: cpu3"`)
		log.want(t, 3, "part of a reading is back", `subject="/proc/stat: cpu3"`)
		pass(2 * time.Hour)
		log.want(t, 4, "part of a reading is missing", `subject="/proc/stat: cpu3"`)
		log.want(t, 3, "part of a reading is back", `subject="/proc/stat: cpu3"`)
		pass(5 * time.Hour)
		if n := len(s.byName["cpu"].named); n > maxNamed {
			t.Errorf("%d parts are kept", n)
		}
	})
}
