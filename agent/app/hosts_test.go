package app

import (
	"maps"
	"testing"
	"time"

	"sysotel/api"
)

// TestDoubles distinguishes two agents from one that was restarted.
func TestDoubles(t *testing.T) {
	zero := time.Date(2026, 2, 2, 10, 30, 0, 0, time.UTC)
	seen := func(id, started string, after time.Duration) api.Seen {
		return api.Seen{HostName: "h", HostID: id, Started: started, LastSeen: zero.Add(after)}
	}
	for name, c := range map[string]struct {
		before, now []api.Seen
		want        map[string]double
	}{
		"one":       {[]api.Seen{seen("a", "1", 0)}, []api.Seen{seen("a", "1", 30*time.Second)}, map[string]double{}},
		"restarted": {[]api.Seen{seen("a", "1", 0)}, []api.Seen{seen("a", "1", 20*time.Second), seen("a", "2", 30*time.Second)}, map[string]double{}},
		"restarted before the last comparison": {
			[]api.Seen{seen("a", "1", 20*time.Second), seen("a", "2", 30*time.Second)},
			[]api.Seen{seen("a", "1", 20*time.Second), seen("a", "2", time.Minute)},
			map[string]double{},
		},
		"cloned": {
			[]api.Seen{seen("a", "1", 0), seen("a", "2", 0)},
			[]api.Seen{seen("a", "1", 30*time.Second), seen("a", "2", 29*time.Second)},
			map[string]double{"h": {starts: "1 and 2 of a"}},
		},
		"two machines": {nil, []api.Seen{seen("b", "1", 0), seen("a", "2", 10*time.Second)}, map[string]double{"h": {ids: "a and b"}}},
		"replaced": {
			[]api.Seen{seen("a", "1", 0)}, []api.Seen{seen("a", "1", 0), seen("b", "2", 2*time.Minute)}, map[string]double{},
		},
		"machines and clones": {
			[]api.Seen{seen("a", "1", 0), seen("a", "2", 0), seen("b", "3", 0)},
			[]api.Seen{seen("a", "1", 1e9), seen("a", "2", 1e9), seen("b", "3", 1e9)},
			map[string]double{"h": {ids: "a and b", starts: "1 and 2 of a"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := map[agentKey]time.Time{}
			for _, one := range c.before {
				before[agentKey{one.HostName, one.HostID, one.Started}] = one.LastSeen
			}
			if got := findDoubles(c.now, before); !maps.Equal(got, c.want) {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}
