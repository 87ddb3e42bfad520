package instruments

import (
	"testing"
	"time"
)

func TestOutage(t *testing.T) {
	var o outage
	begin := time.Unix(1_700_000_000, 0)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	for _, c := range []struct {
		second      int
		fails, gone bool
	}{
		{0, true, false}, {1, true, false}, {59, true, false}, {60, true, true}, {61, true, true},
		{62, false, false},
		// What came back is waited for anew.
		{63, true, false}, {122, true, false}, {123, true, true},
	} {
		if !c.fails {
			o.ends()
			continue
		}
		if gone := o.fails(at(c.second)); gone != c.gone {
			t.Errorf("second %d: the sum goes on without it: %v, want %v", c.second, gone, c.gone)
		}
	}
}
