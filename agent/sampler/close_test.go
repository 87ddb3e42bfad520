package sampler

import "testing"

// grasping is a collector that holds on to something.
type grasping struct {
	fake
	closed int
}

// Close implements io.Closer.
func (h *grasping) Close() error { h.closed++; return nil }

// TestCloseClosesCollectors: a command that runs must not outlive the agent.
func TestCloseClosesCollectors(t *testing.T) {
	s, h := testSampler(t, 1, &logbook{}, nil), &grasping{fake: fake{name: "held"}}
	s.collectors = append(s.collectors, &collector{Collector: h})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	equal(t, "closed", h.closed, 1)
}
