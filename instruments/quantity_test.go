package instruments

import (
	"fmt"
	"testing"
)

// Every quantity selects points of its metric: as many values as there are keys,
// under every name that the metric can go by.
func TestQuantitiesSelectPoints(t *testing.T) {
	for _, q := range Quantities() {
		for _, part := range []struct {
			metric *Metric
			values []string
		}{{q.Metric, q.Values}, {q.Each, q.EachValues}} {
			if part.metric == nil {
				continue
			}
			if len(part.values) != len(part.metric.Keys) {
				t.Errorf("%s has %d values for the %d keys of %s", q.Name, len(part.values), len(part.metric.Keys), part.metric.Name)
				continue
			}
			for _, c := range []Conventions{Hostmetrics, Semconv, Both} {
				s, ok := part.metric.Select(c, part.values)
				if names := part.metric.Names(c); ok != (len(names) > 0) || ok && s.Name != names[0] {
					t.Errorf("%s under %s selects %+v of %v", q.Name, c, s, names)
				}
			}
		}
	}
}

func TestSelectTranslates(t *testing.T) {
	for _, c := range []struct {
		metric      *Metric
		conventions Conventions
		values      []string
		want        string
	}{
		{cpuTime, Hostmetrics, []string{"cpu0", "wait"}, "{system.cpu.time [cpu state] [cpu0 wait]} true"},
		{cpuTime, Both, []string{"cpu0", "wait"}, "{system.cpu.time [cpu state] [cpu0 wait]} true"},
		{cpuTime, Semconv, []string{"cpu0", "wait"}, "{system.cpu.time [cpu.logical_number cpu.mode] [0 iowait]} true"},
		{cpuTime, Semconv, []string{"*", ""}, "{system.cpu.time [cpu.logical_number cpu.mode] [* ]} true"},
		{networkPackets, Semconv, []string{"eth0", "receive"}, "{system.network.packet.count [system.device network.io.direction] [eth0 receive]} true"},
		{diskPending, Semconv, []string{"sda"}, "{ [] []} false"},
		{filesystemLimit, Hostmetrics, []string{"*", "*", "*", "*"}, "{ [] []} false"},
	} {
		s, ok := c.metric.Select(c.conventions, c.values)
		if got := fmt.Sprint(s, " ", ok); got != c.want {
			t.Errorf("%s under %s: %s, want %s", c.metric.Name, c.conventions, got, c.want)
		}
	}
}
