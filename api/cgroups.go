package api

import (
	"cmp"
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/instruments"
)

// Cgroups is the response of /cgroups: the control groups of the machine.
type Cgroups struct {
	Timestamp time.Time   `json:"timestamp" doc:"Time of the reading, in UTC."`
	Hostname  string      `json:"hostname" doc:"Host name."`
	Total     int         `json:"total" doc:"Number of control groups."`
	Matched   int         `json:"matched" doc:"Number of control groups that match q and kind."`
	Groups    []CgroupRow `json:"groups" nullable:"false" doc:"The first control groups in the order of sort. The numbers of a group include those below it."`
}

// CgroupRow is one control group.
type CgroupRow struct {
	Path              string `json:"path" doc:"Path below the root of all control groups."`
	Name              string `json:"name" doc:"Name for people: of the unit without its escapes, of the machine or the container, else the last part of the path."`
	Kind              string `json:"kind" doc:"What it is: service, scope, slice, unit (mount, socket, swap area), container, pod, vm, session, user, or group where the path does not say it."`
	Unit              string `json:"unit" doc:"The systemd unit it is or is in; empty where there is none."`
	ContainerID       string `json:"container_id" doc:"Identifier of the container, or its name where it has none; empty on other groups."`
	ContainerRuntime  string `json:"container_runtime" doc:"docker, podman, containerd, cri-o, lxc or systemd-nspawn; empty where the path does not say it."`
	PodUID            string `json:"pod_uid" doc:"UID of the Kubernetes pod it is in; empty on other groups."`
	Inner             bool   `json:"inner" doc:"Whether groups below it are in the table too: its numbers are then their sum."`
	CPUCores          number `json:"cpu_cores" doc:"Number of processors used in the last tick."`
	CPULimitCores     number `json:"cpu_limit_cores" doc:"Number of processors its own limit allows; null without one."`
	CPUSeconds        number `json:"cpu_seconds" doc:"CPU seconds since it was made."`
	ThrottledPercent  number `json:"throttled_percent" doc:"Share of the last tick's periods in which it, or a group above it, was held back by a CPU limit; null where no limit is in force."`
	ThrottledBy       string `json:"throttled_by" doc:"Path of the group whose limit that is; empty where nothing was held back."`
	ThrottledSeconds  number `json:"throttled_seconds" doc:"Time for which its own CPU limit held it back, summed over processors."`
	MemoryUsage       count  `json:"memory_usage" doc:"Memory that is charged to it, in bytes."`
	MemoryWorkingSet  count  `json:"memory_working_set" doc:"The same without the file cache that was not used recently."`
	MemoryAnon        count  `json:"memory_anon" doc:"Memory of its programs."`
	MemoryFile        count  `json:"memory_file" doc:"File cache, with shared memory."`
	MemorySwap        count  `json:"memory_swap" doc:"What was moved out to swap."`
	MemoryLimit       count  `json:"memory_limit" doc:"Its own limit; null without one."`
	MemoryPercent     number `json:"memory_percent" doc:"memory_working_set as a share of memory_limit."`
	MemoryLimitEvents count  `json:"memory_limit_events" doc:"How often it was at its limit."`
	OOMKills          count  `json:"oom_kills" doc:"Processes killed for lack of memory."`
	ReadBytesPerSec   number `json:"read_bytes_per_sec" doc:"Bytes read per second from devices that stand on no other."`
	WriteBytesPerSec  number `json:"write_bytes_per_sec" doc:"Bytes written per second to devices that stand on no other."`
	Processes         count  `json:"processes" doc:"Number of processes without zombies, counted every 10 s."`
}

// CgroupsQuery is the query of /cgroups.
type CgroupsQuery struct {
	Top  int    `query:"top" minimum:"1" maximum:"1000" default:"100" example:"2" doc:"Number of rows."`
	Sort string `query:"sort" enum:"cpu,memory,io,throttled,name,path" default:"cpu" example:"cpu" doc:"Sort order: numbers descending, names and paths ascending."`
	Kind string `query:"kind" enum:"service,scope,slice,unit,container,pod,vm,session,user,group" doc:"Only groups of this kind. Default: all."`
	Q    string `query:"q" maxLength:"100" doc:"Part of a path, name, unit, container or pod, case-insensitive; empty matches everything."`
}

type cgroupsOutput struct{ Body *Cgroups }

// Cgroups registers the operations of this file.
func (operations) Cgroups(s *Server) {
	register(s, Operation{
		ID: "get-cgroups", Method: http.MethodGet, Path: "/api/v1/metrics/cgroups", Table: "groups",
		Summary: "Get the control groups: services, containers, pods, machines, sessions",
		Description: "Returns the control groups of the machine at the newest tick, versions 1 and 2, with what each is by its path: a unit of systemd, a container, a Kubernetes pod, a virtual machine, a session. " +
			"A group includes those below it, so rows do not add up where `inner` is set. Groups below a container or a service that are no units themselves are part of it.",
		Access:  Access{Role: Viewer, Cost: Query},
		Example: exampleCgroups(),
		Errors:  []int{http.StatusServiceUnavailable},
	}, func(_ context.Context, q *CgroupsQuery) (*cgroupsOutput, error) {
		reading, at := s.options.Machine.Newest("cgroup")
		groups, _ := reading.(*instruments.Cgroup)
		if groups == nil {
			if seq, _, _ := s.options.Machine.Tick(); seq == 0 {
				return nil, notYet(errNoReading)
			}
			return nil, huma.ErrorWithHeaders(
				problem(http.StatusServiceUnavailable, "There are no control groups: this machine has none, the collector cgroup is disabled, or its newest reading failed; see /api/v1/health."),
				http.Header{"Retry-After": {"5"}})
		}
		response := readCgroups(groups, *q)
		response.Timestamp, response.Hostname = at.UTC(), s.options.Hostname
		return &cgroupsOutput{response}, nil
	})
}

// readCgroups selects and sorts the rows.
func readCgroups(r *instruments.Cgroup, q CgroupsQuery) *Cgroups {
	response := &Cgroups{Groups: []CgroupRow{}}
	part := strings.ToLower(q.Q)
	var found []*instruments.ControlGroup
	for _, list := range [][]instruments.ControlGroup{r.Groups, r.Unnamed} {
		for i := range list {
			g := &list[i]
			if g.Sum {
				continue // Those that it is the sum of are here themselves.
			}
			response.Total++
			text := strings.ToLower(strings.Join([]string{g.Path, g.Name, g.Unit, g.Container, g.Pod}, "\n"))
			if (q.Kind == "" || q.Kind == g.Kind) && strings.Contains(text, part) {
				found = append(found, g)
			}
		}
	}
	response.Matched = len(found)
	descending := func(of func(*instruments.ControlGroup) float64) func(a, b *instruments.ControlGroup) int {
		known := func(v float64) float64 {
			if math.IsNaN(v) || v >= 1<<63 {
				return -1 // Unknown numbers are last.
			}
			return v
		}
		return func(a, b *instruments.ControlGroup) int { return cmp.Compare(known(of(b)), known(of(a))) }
	}
	order := map[string]func(a, b *instruments.ControlGroup) int{
		"cpu":       descending(func(g *instruments.ControlGroup) float64 { return g.CPUUsage }),
		"memory":    descending(func(g *instruments.ControlGroup) float64 { return float64(g.WorkingSet) }),
		"io":        descending(func(g *instruments.ControlGroup) float64 { return g.ReadPerSecond + g.WrittenPerSecond }),
		"throttled": descending(func(g *instruments.ControlGroup) float64 { return g.ThrottledRatio }),
		"name":      func(a, b *instruments.ControlGroup) int { return cmp.Compare(a.Name, b.Name) },
		"path":      func(*instruments.ControlGroup, *instruments.ControlGroup) int { return 0 },
	}[cmp.Or(q.Sort, "cpu")]
	slices.SortFunc(found, func(a, b *instruments.ControlGroup) int {
		return cmp.Or(order(a, b), cmp.Compare(a.Path, b.Path))
	})
	for _, g := range found[:min(len(found), cmp.Or(q.Top, 100))] {
		response.Groups = append(response.Groups, cgroupRow(g))
	}
	return response
}

func cgroupRow(g *instruments.ControlGroup) CgroupRow {
	user, system, throttled := g.Seconds()
	_, limit, _, killed := g.MemoryEvents()
	row := CgroupRow{
		Path: g.Path, Name: g.Name, Kind: g.Kind, Unit: g.Unit, ContainerID: g.Container, ContainerRuntime: g.Runtime, PodUID: g.Pod, Inner: g.Inner,
		CPUCores: number(g.CPUUsage), CPULimitCores: number(g.CPULimit), CPUSeconds: number(user + system),
		ThrottledPercent: percentOf(g.ThrottledRatio), ThrottledBy: g.ThrottledBy, ThrottledSeconds: number(throttled),
		MemoryUsage: countOf(g.Memory), MemoryWorkingSet: countOf(g.WorkingSet), MemoryAnon: countOf(g.Anon), MemoryFile: countOf(g.File), MemorySwap: countOf(g.Swap),
		MemoryLimit: count(unknown), MemoryPercent: number(unknown), MemoryLimitEvents: countOf(limit), OOMKills: countOf(killed),
		ReadBytesPerSec: number(g.ReadPerSecond), WriteBytesPerSec: number(g.WrittenPerSecond), Processes: countOf(g.Processes),
	}
	if g.MemoryLimit > 0 {
		row.MemoryLimit, row.MemoryPercent = count(g.MemoryLimit), percentOf(g.MemoryUtilization)
	}
	return row
}
