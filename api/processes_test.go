package api

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"sysotel/instruments"
)

func askProcesses(t *testing.T, s *Server, caller Role, query string) (Processes, []byte) {
	t.Helper()
	w := askAs(s, caller, http.MethodGet, "/api/v1/metrics/processes?"+query, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	validated(t, s, "/api/v1/metrics/processes", w.Body.Bytes())
	var p Processes
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	return p, w.Body.Bytes()
}

func TestProcesses(t *testing.T) {
	s := newTestServer(t, ticked(), nil)
	p, _ := askProcesses(t, s, Viewer, "top=2")
	if p.Total != 3 || p.Matched != 3 || p.Sort != "cpu" || p.CPUCount != 4 || p.Hostname != "server-01" || !p.Timestamp.Equal(exampleTime.Add(1e9)) {
		t.Errorf("%+v", p)
	}
	if len(p.Processes) != 2 || p.Processes[0].Name != "postgres" || p.Processes[1].PID != 2114 || p.Others.Processes != 1 {
		t.Fatalf("rows %+v, others %+v", p.Processes, p.Others)
	}
	row := p.Processes[0]
	if row.CPUPercent != 21 || row.CPUPercentCore != 84 || row.MemoryPercent != 12.5 || row.MemoryRSS != 2<<30 || row.NumThreads != 1 || row.Started == nil {
		t.Errorf("row %+v", row)
	}
	if p.Unattributed.CPUPercent != 0.4 || p.Unattributed.CPUPercentCore != 1.6 {
		t.Errorf("unattributed %+v", p.Unattributed)
	}
	for query, names := range map[string]string{
		"sort=memory&top=1": "postgres", "sort=pid&top=1": "systemd", "q=MANAGE": "python3", "q=www-data": "python3", "q=811": "postgres",
		"sort=name": "postgres python3 systemd", "q=nobody": "", "top=1000&sort=started": "python3 postgres systemd", "q=": "postgres python3 systemd",
	} {
		p, _ := askProcesses(t, s, Viewer, query)
		var got []string
		for _, row := range p.Processes {
			got = append(got, row.Name)
		}
		if strings.Join(got, " ") != names {
			t.Errorf("%s: %v, want %s", query, got, names)
		}
		if p.Total != 3 || len(p.Processes)+p.Others.Processes != 3 {
			t.Errorf("%s: rows and others are not the whole table: %+v", query, p)
		}
	}
}

func TestUnknownNumbersOfProcessesAreNull(t *testing.T) {
	none := math.NaN()
	s := newTestServer(t, tickedWith("process", &instruments.ProcessTable{
		Logical: 2, Unattributed: none,
		All: []instruments.Process{{PID: 7, Name: "new", CPU: none, Memory: none, ReadBytesPerSecond: 5, WriteBytesPerSecond: 5}},
	}), nil)
	p, _ := askProcesses(t, s, Viewer, "")
	row := p.Processes[0]
	for what, n := range map[string]number{
		"cpu_percent": row.CPUPercent, "cpu_percent_core": row.CPUPercentCore, "memory_percent": row.MemoryPercent,
		"read_bytes_per_sec": row.ReadBytesPerSec, "write_bytes_per_sec": row.WriteBytesPerSec,
		"unattributed": p.Unattributed.CPUPercent, "others": p.Others.CPUPercent, "memory_total": number(p.MemoryTotal),
	} {
		if !isUnknown(n) {
			t.Errorf("%s is %v, want null", what, n)
		}
	}
	if row.Started != nil {
		t.Errorf("started %v", row.Started)
	}
}

func tickedWith(family string, r instruments.Reading) *fakeMachine {
	m := newFakeMachine(map[string]instruments.Reading{family: r})
	m.tick()
	return m
}

// Process names are untrusted.
func TestHostileNames(t *testing.T) {
	names := []string{
		`<img src=x onerror=alert(1)>`, "line\nbreak\r\nSet-Cookie: a=b", "\x1b[2J\x1b]0;title\x07", "invalid \xff\xfe\xc0 utf-8", "nul\x00",
		`"},"admin":true,{"`, "\u202egnp.exe", "\u2028\u2029", "data: {}\n\nevent: reading", strings.Repeat("x", 5000), "",
	}
	table := &instruments.ProcessTable{Logical: 1}
	disk := &instruments.Disk{}
	for i, name := range names {
		table.All = append(table.All, instruments.Process{PID: i + 1, Name: name, Program: name, User: name})
		disk.Devices = append(disk.Devices, instruments.DiskDevice{Name: name})
	}
	m := newFakeMachine(map[string]instruments.Reading{"process": table, "disk": disk})
	m.tick()
	s := newTestServer(t, m, nil)
	p, body := askProcesses(t, s, Viewer, "sort=pid")
	current := ask(s, http.MethodGet, "/api/v1/metrics/current", nil).Body.Bytes()
	for i, name := range names {
		if want := strings.ToValidUTF8(name, ""); p.Processes[i].Name != want && !strings.Contains(p.Processes[i].Name, "\uFFFD") {
			t.Errorf("%q came out as %q", name, p.Processes[i].Name)
		}
	}
	for what, b := range map[string][]byte{"processes": body, "current": current} {
		b = b[:len(b)-1] // The final newline is ours.
		if !utf8.Valid(b) {
			t.Errorf("%s: not UTF-8", what)
		}
		if i := strings.IndexFunc(string(b), func(r rune) bool { return r < ' ' || r == 0x7f || r == '\u2028' }); i >= 0 {
			t.Errorf("%s: a control character came through at %d: %q", what, i, b[max(0, i-20):i+1])
		}
	}
	if strings.Contains(string(current)+string(body), "<img") {
		t.Error("a tag came through unescaped")
	}
	e, err := s.current.get()
	if err != nil || strings.Count(string(e.event), "\n") != 4 || strings.Count(string(e.event), "\n\n") != 1 {
		t.Errorf("a name broke the event: %v %q", err, e.event)
	}
}

// Command lines contain secrets. Only administrators see them or can search them.
func TestCommandLinesAreForAdministrators(t *testing.T) {
	s := newTestServer(t, tickedWith("process", &instruments.ProcessTable{Logical: 1, All: []instruments.Process{
		{PID: 1, Name: "backup", CommandLine: "backup --password=hunter2"}, {PID: 2, Name: "quiet"},
	}}), nil)
	if p, body := askProcesses(t, s, Viewer, ""); strings.Contains(string(body), "command_line") || p.Total != 2 {
		t.Errorf("a viewer sees %s", body)
	}
	if p, _ := askProcesses(t, s, Viewer, "q="+url.QueryEscape("hunter")); p.Matched != 0 {
		t.Error("a viewer can search in command lines")
	}
	p, _ := askProcesses(t, s, Admin, "q=hunter2")
	if p.Matched != 1 || p.Processes[0].CommandLine != "backup --password=hunter2" {
		t.Errorf("an administrator gets %+v", p)
	}
}

func TestNoProcessTable(t *testing.T) {
	w := ask(newTestServer(t, tickedWith("cpu", &instruments.CPU{}), nil), http.MethodGet, "/api/v1/metrics/processes", nil)
	if detail, _ := problemOf(t, w, http.StatusServiceUnavailable); !strings.Contains(detail, "disabled") {
		t.Errorf("%q does not say why", detail)
	}
}
