package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/health"
	"sysotel/agent/query"
	"sysotel/agent/query/victoriametrics"
	"sysotel/api"
	"sysotel/instruments"
)

// hosts lists the machines that push to the nodes of VictoriaMetrics.
type hosts struct {
	// nodes are the tiers, finest first.
	nodes   []*victoriametrics.Node
	answers *query.Querier
	// intervals are those of the machines, for the answers.
	intervals *atomic.Pointer[query.Intervals]
	// now is the time of the newest readings.
	now func() time.Time
	// meters are the selectors of what is shown of each machine.
	meters [3]string
	log    *slog.Logger

	mu sync.Mutex
	// doubles are the names that several agents share; protected by mu.
	doubles map[string]double
	// before is when each agent was last seen at the last comparison; protected by mu.
	before map[agentKey]time.Time
}

// double is what is wrong with a name; "" for what is not.
type double struct {
	ids    string // the ids of several machines with the name
	starts string // the start times of several agents with one machine id, and that id
}

// agentKey identifies an agent.
type agentKey struct{ name, id, started string }

var _ api.Hosts = (*hosts)(nil)

// infoName is the metric that identifies each agent.
const infoName = "sysotel_agent_info"

// recently is the range of the finest tier that is searched for active machines.
const recently = 10 * time.Minute

// Seen implements api.Hosts. The finest tier has the active machines, the next one,
// which is cheaper to search, those of longer ago.
func (h *hosts) Seen(ctx context.Context) ([]api.Seen, error) {
	seen, err := h.seenBy(ctx, h.nodes[0], recently)
	if err != nil || len(h.nodes) == 1 {
		return seen, err
	}
	before, err := h.seenBy(ctx, h.nodes[1], h.nodes[1].Retention())
	return append(seen, before...), err
}

func (h *hosts) seenBy(ctx context.Context, node *victoriametrics.Node, within time.Duration) ([]api.Seen, error) {
	found, err := node.LastSeen(ctx, infoName, within)
	if err != nil {
		return nil, err
	}
	seen := make([]api.Seen, 0, len(found))
	for _, one := range found {
		seen = append(seen, api.Seen{
			HostName: one.Labels["host_name"], HostID: one.Labels["host_id"], Version: one.Labels["version"], Started: one.Labels["started"],
			Interval: interval(one.Labels["interval"]), LastSeen: one.At,
		})
	}
	return seen, nil
}

// maxInterval is the longest interval of a machine that is believed.
const maxInterval = 10 * time.Minute

// interval is what an agent says of its own, 0 if it says nothing that can be.
func interval(seconds string) time.Duration {
	s, err := strconv.ParseFloat(seconds, 64)
	if err != nil || !(s > 0 && s <= maxInterval.Seconds()) {
		return 0
	}
	return time.Duration(s * float64(time.Second))
}

// intervalsOf are the intervals of the machines; of a name that several have, the longest.
func intervalsOf(seen []api.Seen) *query.Intervals {
	all := &query.Intervals{Of: map[string]time.Duration{}}
	for _, one := range seen {
		if one.Interval > 0 {
			all.Of[one.HostName] = max(all.Of[one.HostName], one.Interval)
			all.Longest = max(all.Longest, one.Interval)
		}
	}
	return all
}

// Meters implements api.Hosts.
func (h *hosts) Meters(ctx context.Context) (map[string]api.Meters, error) {
	all := map[string]api.Meters{}
	for i, selector := range h.meters {
		answer, err := h.answers.Instant(ctx, selector, h.now())
		if err != nil {
			return nil, err
		}
		values, _ := answer.Value.(promql.Vector)
		for _, one := range values {
			name := one.Metric.Get("host_name")
			m, ok := all[name]
			if !ok {
				m = api.Meters{CPU: math.NaN(), Memory: math.NaN(), Disk: math.NaN()}
			}
			*[]*float64{&m.CPU, &m.Memory, &m.Disk}[i] = one.F
			all[name] = m
		}
		answer.Close()
	}
	return all, nil
}

// compareEvery is how often machines are compared for duplicate names.
const compareEvery = 30 * time.Second

// run looks for machines with the same name, and how often each is read.
func (h *hosts) run(ctx context.Context) error {
	every := time.NewTicker(compareEvery)
	defer every.Stop()
	for {
		// nodesHealth reports a node that does not respond.
		if seen, err := h.seenBy(ctx, h.nodes[0], 2*api.SameTime); err == nil {
			h.compare(seen)
			h.intervals.Store(intervalsOf(seen))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// compare updates doubles and logs what has changed.
func (h *hosts) compare(seen []api.Seen) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := findDoubles(seen, h.before)
	h.before = map[agentKey]time.Time{}
	for _, one := range seen {
		h.before[agentKey{one.HostName, one.HostID, one.Started}] = one.LastSeen
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		was, is := h.doubles[name], now[name]
		if is.ids != "" && is.ids != was.ids {
			h.log.Warn("several machines push under one name; set another host.name on one of them", "host", name, "host_ids", is.ids)
		}
		if is.starts != "" && is.starts != was.starts {
			h.log.Warn("several agents push under one name and machine id; "+oneIdentity, "host", name, "started", is.starts)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.doubles)) {
		if now[name] == (double{}) {
			h.log.Info("the name belongs to one machine again", "host", name)
		}
	}
	h.doubles = now
}

// oneIdentity is the remedy for agents that cannot be distinguished.
const oneIdentity = "run only one agent per machine, and give cloned machines their own host.name and machine-id"

// findDoubles finds the names that several agents share now. With one machine id they
// are several if more than one was seen again since before: a restarted agent starts
// after the old one has ended.
func findDoubles(seen []api.Seen, before map[agentKey]time.Time) map[string]double {
	newest := map[string]time.Time{}
	for _, one := range seen {
		if one.LastSeen.After(newest[one.HostName]) {
			newest[one.HostName] = one.LastSeen
		}
	}
	type machine struct{ name, id string }
	ids, starts := map[string][]string{}, map[machine][]string{}
	for _, one := range seen {
		if newest[one.HostName].Sub(one.LastSeen) < api.SameTime && !slices.Contains(ids[one.HostName], one.HostID) {
			ids[one.HostName] = append(ids[one.HostName], one.HostID)
		}
		if last, known := before[agentKey{one.HostName, one.HostID, one.Started}]; known && one.LastSeen.After(last) {
			m := machine{one.HostName, one.HostID}
			starts[m] = append(starts[m], one.Started)
		}
	}
	found := map[string]double{}
	for name, several := range ids {
		if len(several) > 1 {
			slices.Sort(several)
			found[name] = double{ids: strings.Join(several, " and ")}
		}
	}
	for m, several := range starts {
		if len(several) > 1 {
			slices.Sort(several)
			d := found[m.name]
			d.starts = fmt.Sprintf("%s of %s", strings.Join(several, " and "), m.id)
			found[m.name] = d
		}
	}
	return found
}

// health is degraded while several agents share a name.
func (h *hosts) health() health.Component {
	h.mu.Lock()
	defer h.mu.Unlock()
	part := health.Component{Name: "hosts", Status: health.OK}
	var reasons []string
	for _, name := range slices.Sorted(maps.Keys(h.doubles)) {
		d := h.doubles[name]
		if d.ids != "" {
			reasons = append(reasons, fmt.Sprintf("several machines push under the name %s, with the ids %s; set another host.name on one of them", strconv.Quote(name), d.ids))
		}
		if d.starts != "" {
			reasons = append(reasons, fmt.Sprintf("several agents push under the name %s and one machine id, started at %s; %s", strconv.Quote(name), d.starts, oneIdentity))
		}
	}
	if len(reasons) > 0 {
		part.Status, part.Reason = health.Degraded, strings.Join(reasons, "; ")
	}
	return part
}

// meterSelectors returns the selectors of the meters, with the metric names of this
// agent's conventions.
func meterSelectors(names map[*instruments.Metric]string, conventions instruments.Conventions) (selectors [3]string) {
	for i, wanted := range []string{"cpu_usage_total", "memory_percent", "disk_percent"} {
		for _, q := range instruments.Quantities() {
			if q.Name != wanted {
				continue
			}
			chosen, _ := q.Metric.Select(conventions, q.Values)
			matchers := []string{"__name__=" + strconv.Quote(names[q.Metric])}
			for j, key := range chosen.Keys {
				matchers = append(matchers, strings.ReplaceAll(key, ".", "_")+"="+strconv.Quote(chosen.Values[j]))
			}
			selectors[i] = "{" + strings.Join(matchers, ",") + "}"
		}
	}
	return selectors
}
