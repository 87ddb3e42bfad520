package export

import (
	"context"
	"testing"

	"sysotel/instruments"
)

// TestOverflowIsCountedOnce, however many readers see the same reading.
func TestOverflowIsCountedOnce(t *testing.T) {
	p, err := newAgent(testOptions(t, Defaults(), &logbook{}), &logbook{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Shutdown(context.WithoutCancel(t.Context())) })
	crowd := &instruments.CPU{Cores: make([]instruments.Core, 2000)}
	for i := range crowd.Cores {
		crowd.Cores[i].ID = "cpu" + string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
	}
	p.machine.set("cpu", crowd, at("12:00:00"))
	body := scrape(t, p.Exporter).Body.Bytes()
	left := p.Overflow("cpu")
	if left == 0 || len(body) == 0 {
		t.Fatalf("%d points were left out of a crowd of 2,000 processors", left)
	}
	scrape(t, p.Exporter)
	equal(t, "left out after a second scrape", p.Overflow("cpu"), left)
}
