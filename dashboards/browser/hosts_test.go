package browser

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"sysotel/otel-collector/programs"
)

// TestAnotherHost opens a machine that pushes to the agent's VictoriaMetrics: it is in the
// table, has its own page, and links to its own agent for the rest. Its names are hostile.
func TestAnotherHost(t *testing.T) {
	const there = `there"} or <i>`
	_, node := programs.StartVictoriaMetrics(t, "-retentionPeriod=1d", "-search.latencyOffset=0s")
	history(t, node, there)
	browser := startBrowser(t)
	a := startAgent(t, "--host.name=here", "--store.backend=victoriametrics", "--store.victoriametrics=1s="+node+",1m="+node+",5m="+node+",1h="+node)
	a.ticks(3)

	b := open(browser, t, a.url, desktop())
	b.visit("/hosts")
	b.waitFor(`[...document.querySelectorAll('tbody tr')].map((r) => r.querySelector('th').innerText).sort().join() === 'here,there"} or <i>'`)
	b.accessible(false)
	b.photograph("hosts")
	b.do(click(`//main//tbody//a[contains(., "there")]`))
	b.waitFor(`new URLSearchParams(location.search).get('host') === 'there"} or <i>'`)
	b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
	b.waitFor(`document.querySelector('.meter .value').innerText.startsWith('42')`)
	b.accessible(false)
	b.photograph("overview")

	// The link leads to the same page on that machine's agent.
	link := `document.querySelector('.facts a')?.href`
	b.waitFor(link + ` === 'https://there.example/box/'`)
	b.visit("/processes?host=" + "there%22%7D%20or%20%3Ci%3E" + "&at=2026-02-02T10:30:00Z")
	b.waitFor(`decodeURIComponent(document.querySelector('.moment a')?.href) === 'https://there.example/box/processes?at=2026-02-02T10:30:00Z' && document.querySelector('.moment').innerText.includes('there"} or <i>')`)
	b.photograph("processes")
}

// TestSilentHost: a machine that says nothing, or that nobody knows, is not well.
func TestSilentHost(t *testing.T) {
	_, node := programs.StartVictoriaMetrics(t, "-retentionPeriod=1d", "-search.latencyOffset=0s")
	end := time.Now().Truncate(time.Second).Add(-40 * time.Second)
	info := &line{Metric: map[string]string{"__name__": "sysotel_agent_info", "host_id": "id-1", "version": "1.0"}}
	cpu := &line{Metric: map[string]string{"__name__": "sysotel_cpu_usage_ratio"}}
	for at := end.Add(-5 * time.Minute); !at.After(end); at = at.Add(time.Second) {
		info.add(at, 1)
		cpu.add(at, 0.2)
	}
	load(t, node, "gone", []*line{info, cpu})
	browser := startBrowser(t)
	a := startAgent(t, "--host.name=here", "--store.backend=victoriametrics", "--store.victoriametrics=1s="+node+",1m="+node+",5m="+node+",1h="+node)
	a.ticks(3)

	b := open(browser, t, a.url, desktop())
	b.visit("/?host=gone")
	b.waitFor(`/^No reading for \d+ (sec|min)/.test(document.querySelector('.status.critical strong')?.innerText)`)
	b.waitFor(`document.querySelector('.meters.stale') && !document.querySelector('.meter.warning, .meter.critical')`)
	b.photograph("gone")
	b.visit("/?host=nosuch")
	b.waitFor(`document.querySelector('.status.critical strong')?.innerText === 'No machine named nosuch has reported'`)
	b.photograph("nosuch")
	b.visit("/")
	b.waitFor(`document.querySelector('.status') && !document.querySelector('.meters.stale') && !/No (reading|machine)/.test(document.querySelector('.status').innerText)`)
}

// history imports five minutes of a machine into a node.
func history(t *testing.T, node, host string) {
	t.Helper()
	var lines []*line
	for _, one := range []struct {
		value  float64
		labels map[string]string
	}{
		{1, map[string]string{"__name__": "sysotel_agent_info", "host_id": "id-1", "version": "1.0", "url": "https://there.example/box/"}},
		{0.42, map[string]string{"__name__": "sysotel_cpu_usage_ratio"}},
		{4, map[string]string{"__name__": "system_cpu_logical_count"}},
		{3600, map[string]string{"__name__": "system_uptime_seconds"}},
	} {
		l := &line{Metric: one.labels}
		now := time.Now().Truncate(time.Second)
		// The page goes on during the test.
		for at := now.Add(-5 * time.Minute); at.Before(now.Add(2 * time.Minute)); at = at.Add(time.Second) {
			l.add(at, one.value)
		}
		lines = append(lines, l)
	}
	load(t, node, host, lines)
}

// line is a series in VictoriaMetrics' import format.
type line struct {
	Metric     map[string]string `json:"metric"`
	Values     []float64         `json:"values"`
	Timestamps []int64           `json:"timestamps"`
}

func (l *line) add(at time.Time, value float64) {
	l.Values, l.Timestamps = append(l.Values, value), append(l.Timestamps, at.UnixMilli())
}

// load imports series of a host into a node.
func load(t *testing.T, node, host string, lines []*line) {
	t.Helper()
	var body bytes.Buffer
	for _, l := range lines {
		l.Metric["host_name"] = host
		if err := json.NewEncoder(&body).Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, node+"/api/v1/import", &body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode/100 != 2 {
		t.Fatalf("import into the node: %s", response.Status)
	}
}
