package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"sysotel/agent/query"
	"sysotel/instruments"
	"sysotel/instruments/sanitize"
)

// HostList is the response of /hosts.
type HostList struct {
	Hosts    []Host   `json:"hosts" nullable:"false" doc:"Machines, sorted by name."`
	Warnings []string `json:"warnings,omitempty" nullable:"false" doc:"Why machines may be missing; absent if none are."`
}

// Host is one machine.
type Host struct {
	HostName string     `json:"host_name" doc:"Host name, the same as the attribute host.name. Other operations take it as the parameter host."`
	HostID   string     `json:"host_id" doc:"Machine ID, or one of the agent's own, kept in its data directory, where the system has none."`
	Version  string     `json:"version" doc:"Version of its agent."`
	LastSeen time.Time  `json:"last_seen" doc:"Time of its newest known reading."`
	Status   hostStatus `json:"status" enum:"up,late" doc:"late if there was no reading for 30 seconds, or for three of the machine's ticks if that is longer."`

	interval time.Duration

	CPUPercent    number `json:"cpu_percent" doc:"Current CPU usage; null if unknown."`
	MemoryPercent number `json:"memory_percent" doc:"Current memory usage; null if unknown."`
	DiskPercent   number `json:"disk_percent" doc:"Current file system usage; null if unknown."`

	OtherIDs []string `json:"other_host_ids,omitempty" nullable:"false" doc:"Machine IDs of other hosts that push under the same name: their readings are mixed up until each has its own host.name. Absent if there are none."`
}

// hostStatus is whether a machine's readings arrive.
type hostStatus string

const (
	hostUp   hostStatus = "up"
	hostLate hostStatus = "late"
)

// Seen is an agent that pushed readings, identified by its start. Two machines with
// one name are two agents, and so is a restarted agent.
type Seen struct {
	HostName, HostID, Version, Started string
	// Interval is the longest time between two of its readings, 0 if unknown.
	Interval time.Duration
	LastSeen time.Time
}

// Meters are the newest values of a machine, as ratios from 0 to 1; NaN if unknown.
type Meters struct{ CPU, Memory, Disk float64 }

// Hosts knows the machines that push to the history.
type Hosts interface {
	// Seen lists the agents. Its errors are of type *query.Error.
	Seen(ctx context.Context) ([]Seen, error)
	// Meters returns the newest values by host name.
	Meters(ctx context.Context) (map[string]Meters, error)
}

// SameTime is how close the newest readings of two machines with one name must be
// for both to be running: a replaced machine keeps its name.
const SameTime = time.Minute

type hostsOutput struct{ Body *HostList }

// Hosts registers the operations of this file.
func (operations) Hosts(s *Server) {
	register(s, Operation{
		ID: "get-hosts", Method: http.MethodGet, Path: "/api/v1/hosts", Table: "hosts",
		Summary: "List the machines with history",
		Description: "Every machine this agent has history for: all that push to the same VictoriaMetrics, or only this one, depending on `store.backend`. " +
			"If VictoriaMetrics does not respond, only this machine is listed and `warnings` give the reason.",
		Access: Access{Role: Viewer, Cost: Query},
		Example: &HostList{Hosts: []Host{
			{
				HostName: "server-01", HostID: "0123456789abcdef0123456789abcdef", Version: "0.1.0", LastSeen: exampleTime, Status: hostUp,
				CPUPercent: 45.2, MemoryPercent: 50, DiskPercent: 60,
			},
			{
				HostName: "server-02", HostID: "fedcba9876543210fedcba9876543210", Version: "0.1.0", LastSeen: exampleTime.Add(-time.Hour), Status: hostLate,
				CPUPercent: number(unknown), MemoryPercent: number(unknown), DiskPercent: number(unknown),
			},
		}},
	}, func(ctx context.Context, _ *struct{}) (*hostsOutput, error) {
		list, err := s.hosts(ctx, s.now())
		if err != nil {
			return nil, err
		}
		return &hostsOutput{list}, nil
	})
}

// hosts lists the machines at a time.
func (s *Server) hosts(ctx context.Context, now time.Time) (*HostList, error) {
	list := &HostList{Hosts: []Host{}}
	var seen []Seen
	var meters map[string]Meters
	if s.options.Hosts != nil {
		var err error
		if seen, err = s.options.Hosts.Seen(ctx); err == nil {
			meters, err = s.options.Hosts.Meters(ctx)
		}
		if err != nil {
			var failed *query.Error
			if !errors.As(err, &failed) || failed.Type == query.Internal {
				return nil, err
			}
			list.Warnings = []string{sanitize.ValidUTF8(err.Error())}
		}
	}
	list.Hosts = group(seen, meters)
	s.addThisHost(list)
	for i := range list.Hosts {
		h := &list.Hosts[i]
		late := max(lateAfter, 3*cmp.Or(h.interval, s.options.Interval))
		h.Status = hostUp
		if now.Sub(h.LastSeen) > late {
			h.Status = hostLate
			h.CPUPercent, h.MemoryPercent, h.DiskPercent = number(unknown), number(unknown), number(unknown)
		}
	}
	return list, nil
}

// lateAfter is how long a machine may be silent: readings of others take a few
// seconds to arrive, and longer while a component on the way restarts.
const lateAfter = 30 * time.Second

// group combines the agents of one name into a machine with the data of the one
// seen last.
func group(seen []Seen, meters map[string]Meters) []Host {
	slices.SortFunc(seen, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(a.HostName, b.HostName), b.LastSeen.Compare(a.LastSeen), cmp.Compare(a.HostID, b.HostID))
	})
	hosts := []Host{}
	for _, one := range seen {
		n := len(hosts)
		if n > 0 && hosts[n-1].HostName == sanitize.ValidUTF8(one.HostName) {
			h, id := &hosts[n-1], sanitize.ValidUTF8(one.HostID)
			if id != h.HostID && h.LastSeen.Sub(one.LastSeen) < SameTime && !slices.Contains(h.OtherIDs, id) {
				h.OtherIDs = append(h.OtherIDs, id)
			}
			continue
		}
		m, ok := meters[one.HostName]
		if !ok {
			m = Meters{unknown, unknown, unknown}
		}
		hosts = append(hosts, Host{
			HostName: sanitize.ValidUTF8(one.HostName), HostID: sanitize.ValidUTF8(one.HostID), Version: sanitize.ValidUTF8(one.Version), LastSeen: one.LastSeen.UTC(), interval: one.Interval,
			CPUPercent: number(m.CPU * 100), MemoryPercent: number(m.Memory * 100), DiskPercent: number(m.Disk * 100),
		})
	}
	return hosts
}

// addThisHost replaces the data of this machine by its own readings, which are
// newer than those that were pushed.
func (s *Server) addThisHost(list *HostList) {
	seq, at, _ := s.options.Machine.Tick()
	if seq == 0 {
		return
	}
	c := readCurrent(s.options.Machine, seq, at)
	host := Host{
		HostName: sanitize.ValidUTF8(s.options.Hostname), Version: s.options.Version, LastSeen: at.UTC(),
		CPUPercent: c.CPU.UsagePercent, MemoryPercent: c.Memory.Percent, DiskPercent: c.Disk.Percent,
	}
	if reading, _ := s.options.Machine.Newest("agent"); reading != nil {
		if agent, ok := reading.(*instruments.Agent); ok {
			host.HostID = agent.HostID
		}
	}
	i, found := slices.BinarySearchFunc(list.Hosts, host.HostName, func(h Host, name string) int { return cmp.Compare(h.HostName, name) })
	if !found {
		list.Hosts = slices.Insert(list.Hosts, i, host)
		return
	}
	known := &list.Hosts[i]
	for _, id := range append(known.OtherIDs, known.HostID) {
		if id != host.HostID && at.Sub(known.LastSeen) < SameTime {
			host.OtherIDs = append(host.OtherIDs, id)
		}
	}
	*known = host
}

// unknownHost returns a problem if there is no machine of that name.
func (s *Server) unknownHost(ctx context.Context, name string) error {
	list, err := s.hosts(ctx, s.now())
	if err != nil {
		return err
	}
	known := make([]string, 0, len(list.Hosts))
	for _, h := range list.Hosts {
		if h.HostName == sanitize.ValidUTF8(name) {
			return nil
		}
		known = append(known, h.HostName)
	}
	return problem(http.StatusUnprocessableEntity, invalidQuery,
		invalidValue("query.host", sanitize.ValidUTF8(name), "must be one of the machines listed by /api/v1/hosts, such as "+echo(strings.Join(known, ", "))))
}
