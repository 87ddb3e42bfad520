package export

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sysotel/instruments"
	"sysotel/otel-collector/programs"
)

// scrape asks for the page with headers in turns.
func scrape(t testing.TB, p *Exporter, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	p.Page.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	return answer
}

// wantLines fails the test unless the page has each of the lines.
func wantLines(t *testing.T, page string, lines ...string) {
	t.Helper()
	have := strings.Split(page, "\n")
	for _, line := range lines {
		if !slices.Contains(have, line) {
			t.Errorf("the page has no line %s", line)
		}
	}
}

func TestGoldenPage(t *testing.T) {
	var log logbook
	page := scrape(t, shown(t, &log, instruments.Hostmetrics, typedReadings(t), true)).Body.String()
	page = strings.ReplaceAll(page, `os_type="`+runtime.GOOS+`"`, `os_type="linux"`)
	log.want(t, 0, "")
	golden(t, filepath.Join("testdata", "metrics.txt"), []byte(page))

	// The texts of the original page.
	wantLines(t, page,
		"# HELP node_cpu_usage_percent CPU usage percentage", "# TYPE node_cpu_usage_percent gauge",
		"# HELP node_memory_usage_percent Memory usage percentage", "# TYPE node_memory_usage_percent gauge",
		`node_cpu_usage_percent{host_name="host-1"} 23.400000000000002`, `node_memory_usage_percent{host_name="host-1"} 25`,
		"# TYPE node_disk_io_read_bytes_total counter", `node_disk_io_read_bytes_total{device="sda",host_name="host-1"} 1.073741824e+09`,
		"# TYPE node_network_receive_bytes_total counter", `node_network_receive_bytes_total{device="eth0",host_name="host-1"} 1.23456789e+08`,
		`node_network_transmit_bytes_total{device="lo",host_name="host-1"} 42`,
		`node_disk_usage_percent{device="/dev/sda1",fstype="ext4",host_name="host-1",mountpoint="/"} 47.368421052631575`,
		`node_swap_usage_bytes{host_name="host-1"} 2.68435456e+08`,
		`sysotel_agent_info{host_id="0123456789abcdef0123456789abcdef",host_name="host-1",version="1.2.3"} 1`,
		// Custom metrics as they were written.
		`backups_total{host_name="host-1",kind="full"} 3`, "# TYPE backup_seconds histogram",
		`backup_seconds_bucket{host_name="host-1",le="60"} 4`, `backup_seconds_bucket{host_name="host-1",le="+Inf"} 5`,
		"# TYPE query_seconds summary", `query_seconds{host_name="host-1",quantile="0.99"} 2`, `query_seconds_count{host_name="host-1"} 100`,
		// Hostile names.
		`node_disk_io_read_bytes_total{device="evil\"} 1\n# \\ `+"\uFFFD"+`",host_name="host-1"} 4096`,
		`system_disk_io_bytes_total{device="evil\"} 1\n# \\ `+"\uFFFD"+`",direction="read",host_name="host-1"} 4096`,
	)
	if !strings.Contains(page, `target_info{host_id="0123456789abcdef0123456789abcdef",host_name="host-1",os_description="Debian GNU/Linux 12 (bookworm)"`) {
		t.Error("target_info does not describe the machine")
	}
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, `host_name="host-1"`) {
			t.Errorf("no host_name on %s", line)
		}
		// What is not known is not there, above all not as 0.
		for _, absent := range []string{"NaN", `node_cpu_core_usage_percent{cpu="cpu1"`, `system_cpu_frequency_hertz{cpu="cpu1"`, `sysotel_cpu_core_usage_ratio{cpu="cpu1"`, `mountpoint="/mnt/nas \"\n",state=`, `node_disk_usage_percent{device="nas`, `sysotel_family_success{family="pressure"`} {
			if strings.Contains(line, absent) {
				t.Errorf("%s is on the page: %s", absent, line)
			}
		}
	}
}

func TestPageInOtherConventions(t *testing.T) {
	for _, c := range []struct {
		conventions instruments.Conventions
		has, lacks  []string
	}{
		{instruments.Hostmetrics, []string{`system_cpu_time_seconds_total{cpu="cpu0",host_name="host-1",state="user"} 100.25`, `state="wait"`, "system_cpu_load_average_1m"}, []string{"cpu_mode", "cpu_logical_number"}},
		{instruments.Semconv, []string{`system_cpu_time_seconds_total{cpu_logical_number="0",cpu_mode="user",host_name="host-1"} 100.25`, `cpu_mode="iowait"`, `system_memory_state="buffers"`}, []string{`state="user"`, `{cpu="cpu0",host_name="host-1",state`, `"wait"`}},
		{instruments.Both, []string{`system_cpu_time_seconds_total{cpu="cpu0",cpu_logical_number="0",cpu_mode="user",host_name="host-1",state="user"} 100.25`}, []string{`{cpu="cpu0",host_name="host-1",state="user"} 100.25`}},
	} {
		t.Run(string(c.conventions), func(t *testing.T) {
			var log logbook
			page := scrape(t, shown(t, &log, c.conventions, typedReadings(t), true)).Body.String()
			log.want(t, 0, "")
			for _, has := range c.has {
				if !strings.Contains(page, has) {
					t.Errorf("the page lacks %s", has)
				}
			}
			for _, lacks := range c.lacks {
				if strings.Contains(page, lacks) {
					t.Errorf("the page has %s", lacks)
				}
			}
			wantLines(t, page, `node_memory_usage_percent{host_name="host-1"} 25`, `backups_total{host_name="host-1",kind="full"} 3`)
			if _, err := parse(page); err != nil {
				t.Error(err)
			}
		})
	}
}

// parse reads a page as a Prometheus of today does.
func parse(page string) (names []string, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	return slices.Sorted(maps.Keys(families)), err
}

func TestPageNegotiation(t *testing.T) {
	p := shown(t, &logbook{}, instruments.Hostmetrics, typedReadings(t), true)
	plain := scrape(t, p)
	if kind := plain.Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("content type %s", kind)
	}
	want := plain.Body.String()

	open := scrape(t, p, "Accept", "application/openmetrics-text; version=1.0.0")
	if kind := open.Header().Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("content type %s", kind)
	}
	page := open.Body.String()
	if !strings.HasSuffix(page, "# EOF\n") {
		t.Error("the page does not end as OpenMetrics do")
	}
	wantLines(t, page, "# TYPE node_disk_io_read_bytes counter", `node_disk_io_read_bytes_total{device="sda",host_name="host-1"} 1.073741824e+09`)

	zipped := scrape(t, p, "Accept-Encoding", "gzip")
	if encoding := zipped.Header().Get("Content-Encoding"); encoding != "gzip" {
		t.Fatalf("content encoding %q", encoding)
	}
	reader, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(reader)
	if err != nil || string(got) != want {
		t.Errorf("unzipped, the page is another one (%v)", err)
	}
}

// TestPageWithoutReadings: before the first tick there is no number, not a 0.
func TestPageWithoutReadings(t *testing.T) {
	page := scrape(t, shown(t, &logbook{}, instruments.Hostmetrics, nil, false)).Body.String()
	names, err := parse(page)
	if err != nil || !slices.Equal(names, []string{"target_info"}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestPageWithoutLegacyNames(t *testing.T) {
	c := Defaults()
	c.Prometheus.NodeExporter = NoNodeNames
	a, err := newAgent(testOptions(t, c, &logbook{}), &logbook{})
	if err != nil {
		t.Fatal(err)
	}
	a.machine.set("load", &instruments.Load{One: 1}, at("12:00:00"))
	page := scrape(t, a.Exporter).Body.String()
	if strings.Contains(page, "node_") || !strings.Contains(page, "system_cpu_load_average_1m") {
		t.Errorf("the page is\n%s", page)
	}
}

// TestPageWithoutCountsThatWereNotRead: 2^64-1 stands for a count that could not be read,
// and is on the page under no name.
func TestPageWithoutCountsThatWereNotRead(t *testing.T) {
	const unread = 1<<64 - 1
	page := scrape(t, shown(t, &logbook{}, instruments.Hostmetrics, map[string]instruments.Reading{
		"disk":    &instruments.Disk{Devices: []instruments.DiskDevice{{Name: "sda", ReadBytes: unread, WriteBytes: 5, Pending: unread}}},
		"network": &instruments.Network{Interfaces: []instruments.Interface{{Name: "eth0", BytesReceived: 7, BytesSent: unread}}},
	}, false)).Body.String()
	for name, want := range map[string]bool{
		"node_disk_io_read_bytes_total{": false, "node_disk_io_write_bytes_total{": true,
		"node_network_receive_bytes_total{": true, "node_network_transmit_bytes_total{": false,
	} {
		equal(t, name, strings.Contains(page, "\n"+name), want)
	}
	if strings.Contains(page, "e+18") || strings.Contains(page, "e+19") || strings.Contains(page, "184467") {
		t.Errorf("a count that was not read is on the page:\n%s", page)
	}
}

// TestManySeries: the SDK drops what exceeds 2,000 series a metric, silently,
// unless it is configured not to.
func TestManySeries(t *testing.T) {
	var cores []instruments.Core
	for i := range 512 {
		cores = append(cores, core("cpu"+strings.Repeat("9", i%3)+string(rune('a'+i%26))+string(rune('a'+i/26)), 1))
	}
	p := shown(t, &logbook{}, instruments.Hostmetrics, map[string]instruments.Reading{"cpu": &instruments.CPU{Cores: cores}}, false)
	page := scrape(t, p).Body.String()
	equal(t, "series", strings.Count(page, "\nsystem_cpu_time_seconds_total{"), 512*8)
	equal(t, "overflow of the SDK", strings.Contains(page, "otel_metric_overflow"), false)
}

// TestPromtool: the page breaks no rule of Prometheus but those that are listed,
// each with a reason.
func TestPromtool(t *testing.T) {
	promtool := programs.Path(t, "promtool")
	allowed := map[string]string{} // The complaint and its reason.
	list, err := os.ReadFile(filepath.Join("testdata", "promtool.allowed"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		complaint, reason, ok := strings.Cut(line, " -- ")
		if !ok || reason == "" {
			t.Errorf("testdata/promtool.allowed: %q has no reason", line)
		}
		allowed[complaint] = reason
	}
	used := map[string]bool{}
	check := func(page string) {
		command := exec.CommandContext(t.Context(), promtool, "check", "metrics")
		command.Stdin = strings.NewReader(page)
		var output bytes.Buffer
		command.Stdout, command.Stderr = &output, &output
		err := command.Run()
		// 3 says that there are complaints; anything else is promtool's own failure.
		if code := command.ProcessState.ExitCode(); err != nil && code != 3 {
			t.Fatalf("promtool: %v\n%s", err, output.Bytes())
		}
		for line := range strings.Lines(output.String()) {
			line = strings.TrimSpace(line)
			if _, known := allowed[line]; !known {
				t.Errorf("promtool says: %s", line)
			}
			used[line] = true
		}
	}
	page, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	check(string(page))
	// Every metric that there is, on one page.
	check(scrape(t, shown(t, &logbook{}, instruments.Hostmetrics, nil, true)).Body.String())
	for line := range allowed {
		if !used[line] {
			t.Errorf("testdata/promtool.allowed lists what promtool does not say: %s", line)
		}
	}
}
