package api

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"sysotel/instruments"
)

// TestCgroups: order, choice and unknown numbers of the table of control groups.
func TestCgroups(t *testing.T) {
	group := func(path, kind string, cpu float64, set uint64) instruments.ControlGroup {
		g := instruments.ControlGroup{GroupName: instruments.GroupName{Path: path, Name: path[1:], Kind: kind}, CPUUsage: cpu, WorkingSet: set}
		g.CPULimit, g.ThrottledRatio, g.MemoryUtilization = math.NaN(), math.NaN(), math.NaN()
		return g
	}
	sum := group("/others", "group", 9, 9)
	sum.Sum = true
	r := &instruments.Cgroup{
		Groups:  []instruments.ControlGroup{group("/a.service", "service", 0.5, 10), group("/b", "container", math.NaN(), math.MaxUint64), sum},
		Unnamed: []instruments.ControlGroup{group("/c.service", "service", 2, 5)},
	}
	for _, c := range []struct {
		q    CgroupsQuery
		want string
	}{
		{CgroupsQuery{}, "/c.service /a.service /b"},
		{CgroupsQuery{Sort: "memory"}, "/a.service /c.service /b"},
		{CgroupsQuery{Sort: "name", Top: 2}, "/a.service /b"},
		{CgroupsQuery{Sort: "path", Kind: "service"}, "/a.service /c.service"},
		{CgroupsQuery{Q: "C.SER"}, "/c.service"},
		{CgroupsQuery{Q: "none"}, ""},
	} {
		got := readCgroups(r, c.q)
		var paths []string
		for _, row := range got.Groups {
			paths = append(paths, row.Path)
		}
		if strings.Join(paths, " ") != c.want || got.Total != 3 {
			t.Errorf("%+v: %v of %d, want %s", c.q, paths, got.Total, c.want)
		}
	}
	text, err := json.Marshal(readCgroups(r, CgroupsQuery{Q: "/b"}).Groups[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"cpu_cores":null`, `"memory_working_set":null`, `"memory_limit":null`, `"throttled_percent":null`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
}
