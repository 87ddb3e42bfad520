package api

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sysotel/agent/records"
)

// minute is the time of the first recorded tick.
var minute = exampleTime.Add(-time.Hour)

// recorded has 60 seconds of three processes on four processors: the first is idle,
// the second busy and the third writes. Half a CPU second per tick is unattributed.
func recorded(t *testing.T) *records.Records {
	t.Helper()
	r := openRecords(t)
	for i := 1; i <= 60; i++ {
		r.AddProcesses(records.ProcessReading{
			Time: minute.Add(time.Duration(i) * time.Second), Interval: time.Second, BootID: "boot", CPUs: 4, MemoryTotal: 1 << 30,
			HostCPUSeconds: 3.5, Unattributed: 0.5,
			Rows: []records.ProcessRow{
				{PID: 1, Start: 1, Name: "init", Program: "init", User: "root", Status: "sleeping", Threads: 1, RSS: 64 << 20, CPUSeconds: 0, Started: minute},
				{PID: 7, Start: 9, Name: "burn\xff<b>", Program: "burn", User: "www", Status: "running", Threads: 3, RSS: uint64(i) << 20, CPUSeconds: 2, CommandLine: "burn --token=hunter2"},
				{PID: 8, Start: 9, Name: "copy", Program: "copy", User: "www", Status: "running", Threads: 1, RSS: 4 << 20, CPUSeconds: 1, IOKnown: true, ReadBytes: 1000, WriteBytes: uint64(i) << 20},
			},
		})
	}
	return r
}

func TestProcessesOfAPastTimeAddUp(t *testing.T) {
	s := withRecords(t, recorded(t))
	between := fmt.Sprintf("start=%d&end=%d", minute.Unix(), minute.Unix()+60)
	for _, query := range []string{"", "&top=1", "&q=copy", "&q=nobody", "&top=1&q=www&sort=io"} {
		p, _ := askProcesses(t, s, Viewer, between+query)
		sum, share, memory := float64(p.Unattributed.CPUSeconds), float64(p.Unattributed.CPUPercent), float64(p.Others.MemoryRSS)
		if p.Others.CPUSeconds != nil { // Absent if there are no others.
			sum, share = sum+float64(*p.Others.CPUSeconds), share+float64(p.Others.CPUPercent)
		}
		for _, row := range p.Processes {
			sum, share, memory = sum+float64(row.CPUSeconds), share+float64(row.CPUPercent), memory+float64(row.MemoryRSS)
		}
		if math.Abs(sum-210) > 1e-6 || float64(p.Period.HostCPUSeconds) != 210 || math.Abs(share-87.5) > 1e-6 {
			t.Errorf("%q: rows, others and unattributed used %v s and %v %%, the host 210 s", query, sum, share)
		}
		if want := (64 + 30.5 + 4) * (1 << 20); math.Abs(memory-want) > 2 {
			t.Errorf("%q: rows and others hold %v bytes, want %v", query, memory, want)
		}
		if len(p.Processes)+p.Others.Processes != 3 || p.Total != 3 {
			t.Errorf("%q: %d rows and %d others of %d", query, len(p.Processes), p.Others.Processes, p.Total)
		}
	}
}

func TestProcessesOfAPastTimeAreRanked(t *testing.T) {
	s := withRecords(t, recorded(t))
	between := fmt.Sprintf("start=%d&end=%d&", minute.Unix(), minute.Unix()+60)
	for query, names := range map[string]string{
		"": "burn copy init", "sort=cpu": "burn copy init", "sort=memory": "init burn copy", "sort=memory_peak": "init burn copy", "sort=io": "copy init burn",
		"sort=name": "burn copy init", "sort=pid": "init burn copy", "sort=threads&top=1": "burn", "sort=started&top=1": "init", "q=WWW": "burn copy", "q=8": "copy",
	} {
		p, _ := askProcesses(t, s, Viewer, between+query)
		var got []string
		for _, row := range p.Processes {
			got = append(got, row.Program)
		}
		if strings.Join(got, " ") != names {
			t.Errorf("%s: %v, want %s", query, got, names)
		}
	}
	p, _ := askProcesses(t, s, Viewer, between+"top=2")
	burn, copied := p.Processes[0], p.Processes[1]
	if burn.CPUSeconds != 120 || burn.CPUPercent != 50 || burn.CPUPercentCore != 200 || burn.MemoryRSS != 30.5*(1<<20) || *burn.MemoryPeak != 60<<20 || *burn.SeenSeconds != 60 || burn.ReadBytes != nil || !isUnknown(burn.ReadBytesPerSec) {
		t.Errorf("%+v", burn)
	}
	if *copied.WriteBytes != 59<<20 || *copied.ReadBytes != 0 || copied.Name != "copy" || burn.Name != "burn\uFFFD<b>" {
		t.Errorf("%+v", copied)
	}
	if p.Hostname != "server-01" || !p.Period.Start.Equal(minute) || !p.Period.End.Equal(minute.Add(time.Minute)) || p.Period.CoveredSeconds != 60 || len(p.Period.Tiers) == 0 || p.CPUCount != 4 || p.MemoryTotal != 1<<30 {
		t.Errorf("%+v", p.Period)
	}
}

func TestProcessesAtAPastMoment(t *testing.T) {
	s := withRecords(t, recorded(t))
	p, body := askProcesses(t, s, Viewer, fmt.Sprintf("at=%d", minute.Unix()+12))
	if n := strings.Count(string(body), `"parent_pid":null`); n != len(p.Processes) {
		t.Errorf("of %d past rows %d say that the parent is not known", len(p.Processes), n)
	}
	if p.Period == nil || p.Period.CoveredSeconds != 5 || p.Period.Tiers[0].Tier != "5s" || !p.Timestamp.Equal(minute.Add(15*time.Second)) {
		t.Fatalf("%+v", p.Period)
	}
	if row := p.Processes[0]; row.CPUPercentCore != 200 || row.CPUSeconds != 10 || row.MemoryRSS != 13<<20 {
		t.Errorf("%+v", row)
	}
	detail, _ := problemOf(t, ask(s, http.MethodGet, "/api/v1/metrics/processes?at=2020-01-01T00:00:00Z", nil), http.StatusNotFound)
	if !strings.Contains(detail, "expired") {
		t.Errorf("%q does not say why", detail)
	}
	// The newest tick is not in the past.
	if p, _ := askProcesses(t, s, Viewer, "at=now"); p.Period != nil || p.Processes[0].Name != "postgres" || p.Processes[0].ParentPID == nil || *p.Processes[0].ParentPID != 1 {
		t.Errorf("now is %+v", p)
	}
}

// Only administrators see past command lines or can search them.
func TestPastCommandLinesAreForAdministrators(t *testing.T) {
	s := withRecords(t, recorded(t))
	for _, when := range []string{fmt.Sprintf("at=%d", minute.Unix()+12), fmt.Sprintf("start=%d&end=%d", minute.Unix(), minute.Unix()+60)} {
		if _, body := askProcesses(t, s, Viewer, when); strings.Contains(string(body), "hunter2") || strings.Contains(string(body), "command_line") {
			t.Errorf("a viewer sees %s", body)
		}
		if p, _ := askProcesses(t, s, Viewer, when+"&q=hunter"); p.Matched != 0 {
			t.Error("a viewer can search in command lines")
		}
		if p, _ := askProcesses(t, s, Admin, when+"&q=hunter2"); p.Matched != 1 || p.Processes[0].CommandLine != "burn --token=hunter2" {
			t.Errorf("an administrator gets %+v", p.Processes)
		}
	}
}

func TestBadPastQueries(t *testing.T) {
	s := withRecords(t, recorded(t))
	for _, c := range []struct{ query, location, says string }{
		{"at=-1h&start=-2h", "query.at", "combined"},
		{"at=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)), "query.at", "future"},
		{"at=then", "query.at", "RFC 3339"},
		{"at=%ff", "query.at", "RFC 3339"},
		{"start=-1h&end=-2h", "query.start", "before the end"},
		{"start=-10y", "query.start", "1830 days"},
		{"end=-1h", "query.end", "requires start"},
		{"sort=memory_peak", "query.sort", "past"},
		{"start=-1h&sort=beauty", "query.sort", "memory_peak"},
		{"start=-1h&top=1000000", "query.top", "from 1 to 1000"},
	} {
		_, invalid := problemOf(t, ask(s, http.MethodGet, "/api/v1/metrics/processes?"+c.query, nil), http.StatusUnprocessableEntity)
		if !strings.Contains(invalid[c.location], c.says) {
			t.Errorf("%s: %v, want %s: …%s…", c.query, invalid, c.location, c.says)
		}
	}
	detail, _ := problemOf(t, ask(newTestServer(t, ticked(), nil), http.MethodGet, "/api/v1/metrics/processes?start=-1h", nil), http.StatusServiceUnavailable)
	if !strings.Contains(detail, "store.backend") {
		t.Errorf("%q does not say why", detail)
	}
}

func TestShortProcessesOfThePast(t *testing.T) {
	r := openRecords(t)
	r.AddProcesses(records.ProcessReading{
		Time: minute.Add(time.Second), Interval: time.Second, BootID: "boot", CPUs: 4, HostCPUSeconds: 1,
		Short: []records.ShortProcesses{{Name: "cc1", Program: "cc1", Parent: "make", Count: 12, CPUSeconds: 1, MemoryPeak: 1 << 20}},
	})
	p, _ := askProcesses(t, withRecords(t, r), Viewer, fmt.Sprintf("at=%d", minute.Unix()+1))
	if len(p.Processes) != 1 || p.Processes[0].Count != 12 || p.Processes[0].Parent != "make" || p.Processes[0].CPUSeconds != 1 {
		t.Errorf("rows %+v", p.Processes)
	}
}
