package pipeline

import (
	"context"
	"testing"

	"sysotel/instruments"
)

// grasping is a family that holds on to something.
type grasping struct {
	fake
	closed int
}

// Close implements io.Closer.
func (h *grasping) Close() error { h.closed++; return nil }

// TestShutdownClosesFamilies: a command that runs must not outlive the agent.
func TestShutdownClosesFamilies(t *testing.T) {
	p, err := New(testOptions(t, Defaults(), &logbook{}))
	if err != nil {
		t.Fatal(err)
	}
	h := &grasping{fake: fake{name: "held"}}
	p.families = append(p.families, &family{Collector: h})
	if err := p.Shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	equal(t, "closed", h.closed, 1)
}

// TestOverflowIsCountedOnce, however many readers see the same reading.
func TestOverflowIsCountedOnce(t *testing.T) {
	p, err := New(testOptions(t, Defaults(), &logbook{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.provider.Shutdown(context.WithoutCancel(t.Context())) })
	crowd := &instruments.CPU{Cores: make([]instruments.Core, 2000)}
	for i := range crowd.Cores {
		crowd.Cores[i].ID = "cpu" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
	}
	p.byName["cpu"].newest.Store(&snapshot{reading: crowd, at: at("12:00:00")})
	body := scrape(t, p).Body.Bytes()
	left := p.instruments["cpu"].Overflow()
	if left == 0 || len(body) == 0 {
		t.Fatalf("%d points were left out of a crowd of 2,000 processors", left)
	}
	scrape(t, p)
	equal(t, "left out after a second scrape", p.instruments["cpu"].Overflow(), left)
}
