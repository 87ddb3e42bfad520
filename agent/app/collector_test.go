package app

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"sysotel/otel-collector/programs"
)

// collector is a real OpenTelemetry Collector that receives OTLP over gRPC and
// forwards everything to a recorder, as OTLP in JSON.
type collector struct {
	tb       testing.TB
	file     string
	receiver string // host:port of the OTLP receiver
	health   string
	process  *programs.Process
}

// newCollector configures a Collector, which start can start repeatedly. It has no
// queue and responds only after the recorder has, so that every accepted request has
// arrived.
func newCollector(tb testing.TB, r *recorder) *collector {
	tb.Helper()
	server := httptest.NewServer(r)
	tb.Cleanup(server.Close)
	c := &collector{
		tb: tb, file: filepath.Join(tb.TempDir(), "collector.yaml"),
		receiver: fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb)),
		health:   fmt.Sprintf("127.0.0.1:%d", programs.FreePort(tb)),
	}
	text := fmt.Sprintf(`
extensions:
  health_check: {endpoint: "%s"}
receivers:
  otlp: {protocols: {grpc: {endpoint: "%s"}}}
exporters:
  otlp_http: {endpoint: "%s", encoding: json, compression: none, sending_queue: {enabled: false}}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [otlp], exporters: [otlp_http]}
`, c.health, c.receiver, server.URL)
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *collector) start() {
	c.tb.Helper()
	c.process = programs.Start(c.tb, programs.Command(c.tb, "otelcol", "--config="+c.file))
	c.process.WaitHTTP("http://"+c.health, patience)
}

// seriesID is a series of one service.
type seriesID struct{ service, scope, metric, attributes string }

// metricID is a metric of one service.
type metricID struct{ service, metric string }

// described is the description of a metric in a request.
type described struct {
	kind    string // counter, updowncounter or gauge
	unit    string
	integer bool
	// keys holds, for each attribute, the values that were seen; numeric those
	// attributes whose values are integers.
	keys    map[string]map[string]bool
	numeric map[string]bool
	// starts are the start times that were seen.
	starts map[time.Time]bool
	scope  string
}

// recorder keeps what it receives as OTLP in JSON. It responds at once; await and
// drain read it in the goroutine of the test.
type recorder struct {
	tb testing.TB

	mu      sync.Mutex
	bodies  [][]byte // not read yet
	changed chan struct{}

	// The rest belongs to the goroutine of the test.
	resources map[string]map[string]string // attributes of each service's resource
	schemas   map[string]map[string]bool   // schema URLs of each service's scopes
	metrics   map[metricID]*described
	// arrivals counts the points of each series at each time.
	arrivals map[seriesID]map[time.Time]int
	values   map[seriesID]map[time.Time]float64
	newest   map[string]time.Time // by service
}

func newRecorder(tb testing.TB) *recorder {
	return &recorder{
		tb: tb, changed: make(chan struct{}), resources: map[string]map[string]string{}, schemas: map[string]map[string]bool{},
		metrics: map[metricID]*described{}, arrivals: map[seriesID]map[time.Time]int{}, values: map[seriesID]map[time.Time]float64{},
		newest: map[string]time.Time{},
	}
}

// ServeHTTP implements http.Handler: the server side of OTLP over HTTP.
func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return // The Collector was killed during the request.
	}
	if request.URL.Path != "/v1/metrics" {
		http.NotFound(w, request)
		return
	}
	r.mu.Lock()
	r.bodies = append(r.bodies, body)
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, "{}")
}

// drain reads what has arrived, and returns a channel that is closed when more does.
func (r *recorder) drain() (more <-chan struct{}) {
	r.tb.Helper()
	r.mu.Lock()
	bodies, more := r.bodies, r.changed
	r.bodies = nil
	r.mu.Unlock()
	for _, body := range bodies {
		var message collectorpb.ExportMetricsServiceRequest
		if err := protojson.Unmarshal(body, &message); err != nil {
			r.tb.Fatalf("the Collector sent %.200s: %v", body, err)
		}
		r.take(&message)
	}
	return more
}

func (r *recorder) take(message *collectorpb.ExportMetricsServiceRequest) {
	for _, rm := range message.GetResourceMetrics() {
		attributes := map[string]string{}
		for _, a := range rm.GetResource().GetAttributes() {
			attributes[a.GetKey()] = text(a.GetValue())
		}
		service := attributes["service.name"]
		if tier := attributes["tier"]; tier != "" {
			service = tier // The resource of a tiered destination has no service name.
		}
		r.resources[service] = attributes
		if r.schemas[service] == nil {
			r.schemas[service] = map[string]bool{}
		}
		r.schemas[service][rm.GetSchemaUrl()] = true
		for _, sm := range rm.GetScopeMetrics() {
			r.schemas[service][sm.GetSchemaUrl()] = true
			for _, m := range sm.GetMetrics() {
				r.takeMetric(service, sm.GetScope().GetName(), m)
			}
		}
	}
}

func (r *recorder) takeMetric(service, scope string, m *metricspb.Metric) {
	id := metricID{service, m.GetName()}
	d := r.metrics[id]
	if d == nil {
		d = &described{keys: map[string]map[string]bool{}, numeric: map[string]bool{}, starts: map[time.Time]bool{}, scope: scope}
		r.metrics[id] = d
	}
	d.unit, d.kind = m.GetUnit(), "gauge"
	points := m.GetGauge().GetDataPoints()
	if sum := m.GetSum(); sum != nil {
		points, d.kind = sum.GetDataPoints(), "updowncounter"
		if sum.GetIsMonotonic() {
			d.kind = "counter"
		}
		if sum.GetAggregationTemporality() != metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE {
			r.tb.Errorf("%s is not cumulative", m.GetName())
		}
	}
	if len(points) == 0 {
		r.tb.Errorf("%s has no points: %v", m.GetName(), m)
	}
	for _, p := range points {
		at := time.Unix(0, int64(p.GetTimeUnixNano())).UTC()
		var words []string
		for _, a := range p.GetAttributes() {
			if d.keys[a.GetKey()] == nil {
				d.keys[a.GetKey()] = map[string]bool{}
			}
			d.keys[a.GetKey()][text(a.GetValue())] = true
			if _, ok := a.GetValue().GetValue().(*commonpb.AnyValue_IntValue); ok {
				d.numeric[a.GetKey()] = true
			}
			words = append(words, a.GetKey()+"="+text(a.GetValue()))
		}
		slices.Sort(words)
		series := seriesID{service, scope, m.GetName(), strings.Join(words, ",")}
		if r.arrivals[series] == nil {
			r.arrivals[series], r.values[series] = map[time.Time]int{}, map[time.Time]float64{}
		}
		r.arrivals[series][at]++
		if at.After(r.newest[service]) {
			r.newest[service] = at
		}
		if p.GetFlags()&uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK) != 0 {
			continue // The series has ended: the point has no value and no start time.
		}
		_, d.integer = p.GetValue().(*metricspb.NumberDataPoint_AsInt)
		r.values[series][at] = p.GetAsDouble()
		if d.integer {
			r.values[series][at] = float64(p.GetAsInt())
		}
		if p.GetStartTimeUnixNano() != 0 {
			d.starts[time.Unix(0, int64(p.GetStartTimeUnixNano())).UTC()] = true
		}
	}
}

// text returns an attribute value as text, for comparison.
func text(v *commonpb.AnyValue) string {
	if n, ok := v.GetValue().(*commonpb.AnyValue_IntValue); ok {
		return fmt.Sprint(n.IntValue)
	}
	return v.GetStringValue()
}

// await waits until a service's point of that time or later has arrived.
func (r *recorder) await(service string, at time.Time) {
	r.tb.Helper()
	deadline := time.After(patience)
	for {
		more := r.drain()
		if !r.newest[service].Before(at) {
			return
		}
		select {
		case <-more:
		case <-deadline:
			r.tb.Fatalf("%s: no point after %s arrived, want one of %s", service, r.newest[service], at)
		}
	}
}

// checkTimes: every point is at a whole second, no series has a second twice, and
// every collector has each second that the agent did not log as missed. It returns the
// number of seconds from the first to the last.
func (r *recorder) checkTimes(service string, missed map[time.Time]bool) int {
	r.tb.Helper()
	collectors := map[string]map[time.Time]bool{}
	for series, arrivals := range r.arrivals {
		if series.service != service {
			continue
		}
		if collectors[series.scope] == nil {
			collectors[series.scope] = map[time.Time]bool{}
		}
		for at, n := range arrivals {
			if at.Nanosecond() != 0 {
				r.tb.Errorf("%v has a point at %s, not at a whole second", series, at)
			}
			if n != 1 {
				r.tb.Errorf("%v: the point of %s arrived %d times", series, at, n)
			}
			collectors[series.scope][at] = true
		}
	}
	longest := 0
	for scope, seconds := range collectors {
		first := slices.MinFunc(slices.Collect(maps.Keys(seconds)), time.Time.Compare)
		last := slices.MaxFunc(slices.Collect(maps.Keys(seconds)), time.Time.Compare)
		for at := first; at.Before(last); at = at.Add(time.Second) {
			if !seconds[at] && !missed[at] {
				r.tb.Errorf("%s: no point of %s arrived for %s, and no gap explains it", service, scope, at)
			}
		}
		longest = max(longest, int(last.Sub(first)/time.Second)+1)
		// These have the same series at every tick.
		if slices.Contains([]string{"sysotel/cpu", "sysotel/memory", "sysotel/load", "sysotel/paging"}, scope) {
			r.checkSteady(service, scope, seconds)
		}
	}
	return longest
}

// checkSteady: every counter of a collector has a point at each of its seconds. What is
// read beside the ticks is not there at the first.
func (r *recorder) checkSteady(service, scope string, seconds map[time.Time]bool) {
	r.tb.Helper()
	for series, arrivals := range r.arrivals {
		if series.service != service || series.scope != scope || r.metrics[metricID{service, series.metric}].kind == "gauge" {
			continue
		}
		late := 0
		if strings.HasPrefix(series.metric, "system.cpu.physical.count") {
			late = 1
		}
		if n := len(arrivals); n != len(seconds) && n != len(seconds)-late {
			r.tb.Errorf("%v has %d points in %d seconds of its collector", series, len(arrivals), len(seconds))
		}
	}
}

// reference is a metric of the Collector's host metrics receiver or of the semantic
// conventions.
type reference struct {
	Name, Scraper, Type, Instrument, Unit string
	Monotonic                             bool
	ValueType                             string `json:"value_type"`
	EnabledByDefault                      bool   `json:"enabled_by_default"`
	Attributes                            []struct {
		Name, Type string
		Enum       []string
	}
}

// kind returns the instrument in the terms of described.
func (r *reference) kind() string {
	switch {
	case r.Instrument != "":
		return r.Instrument
	case r.Type == "sum" && r.Monotonic:
		return "counter"
	case r.Type == "sum":
		return "updowncounter"
	}
	return r.Type
}

func references(tb testing.TB, name string) map[string]*reference {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "instruments", "testdata", "reference", name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	var list []*reference
	decode(tb, text, &list)
	byName := map[string]*reference{}
	for _, r := range list {
		byName[r.Name] = r
	}
	return byName
}

// deviation is an intended difference from a reference, and its reason. mode, metric
// and what are patterns as in path.Match; what is a text of checkReference.
type deviation struct{ mode, metric, what, why string }

// deviations lists all of them. One that does not occur is an error.
var deviations = []deviation{
	{
		"*", "process.*", "with process.executable.name",
		"the receiver has a resource for each process; an SDK has one resource, so the program is an attribute of the point",
	},
	{
		"semconv", "system.cpu.load_average.*", "name",
		"the semantic conventions have no load average; only the receiver has a name for it",
	},
	{
		"semconv", "system.cpu.*", "cpu.mode=softirq",
		"the list of modes is open and lacks soft interrupts; without them the modes would not add up to 100 %",
	},
	{
		"semconv", "system.cpu.frequency", "value type",
		"/proc/cpuinfo has fractions of a megahertz; the receiver sends a double too",
	},
	{
		"semconv", "system.network.connection.count", "without network.interface.name",
		"a socket belongs to the machine, not to one of its interfaces",
	},
	{
		"semconv", "system.filesystem.utilization", "without system.filesystem.state",
		"used/(used+free) is one number, as in df and the receiver; a share for each state would be another metric",
	},
	{
		"semconv", "system.process.count", "process.state=*",
		"the list of states is open and lacks Linux' disk sleep and idle",
	},
}

// explained reports whether a difference is in the table, and marks the entry as met.
func explained(met map[int]bool, mode, metric, what string) bool {
	for i, d := range deviations {
		ok := true
		for pattern, value := range map[string]string{d.mode: mode, d.metric: metric, d.what: what} {
			matched, err := path.Match(pattern, value)
			ok = ok && err == nil && matched
		}
		if ok {
			met[i] = true
			return true
		}
	}
	return false
}

// TestCollectorReceives sends the readings of two agents, one for each set of
// conventions, through a real Collector and compares its output with the references.
func TestCollectorReceives(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	c := newCollector(t, r)
	c.start()
	modes := []string{"hostmetrics", "semconv"}
	var agents []*agent
	for _, mode := range modes {
		agents = append(agents, run(t, configure(t, "--conventions="+mode, "--resource.service-name="+mode, "--otlp.endpoint=http://"+c.receiver)))
	}
	agents[0].ticks(11)
	for i, mode := range modes {
		r.await(mode, agents[i].tick())
	}
	for i := range modes {
		if err := agents[i].Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	r.drain()
	met := map[int]bool{}
	for i, mode := range modes {
		if seconds := r.checkTimes(mode, agents[i].journal.missed(t)); seconds < 10 {
			t.Errorf("%s: only %d seconds arrived", mode, seconds)
		}
		r.checkResource(mode, agents[i])
		r.checkReference(mode, references(t, mode), met)
		r.checkStarts(mode, agents[i].started, bootTime(t))
	}
	r.checkDefaults(references(t, "hostmetrics"))
	for i, d := range deviations {
		if !met[i] {
			t.Errorf("the deviation %+v does not occur", d)
		}
	}
}

// checkResource: the resource describes the machine and the agent.
func (r *recorder) checkResource(service string, a *agent) {
	r.tb.Helper()
	name, err := os.Hostname()
	if err != nil {
		r.tb.Fatal(err)
	}
	got := r.resources[service]
	want := map[string]string{"host.name": name, "os.type": runtime.GOOS, "service.name": service, "service.version": "test"}
	for key, value := range want {
		if got[key] != value {
			r.tb.Errorf("%s: the resource has %s = %q, want %q", service, key, got[key], value)
		}
	}
	for _, key := range []string{"os.description", "service.instance.id"} {
		if got[key] == "" {
			r.tb.Errorf("%s: the resource has no %s: %v", service, key, got)
		}
	}
	version := map[string]string{"hostmetrics": "1.9.0", "semconv": "1.44.0"}[service]
	delete(r.schemas[service], "") // The scope of custom metrics has none.
	if want := "https://opentelemetry.io/schemas/" + version; len(r.schemas[service]) != 1 || !r.schemas[service][want] {
		r.tb.Errorf("%s: the schemas are %v, want only %s", service, r.schemas[service], want)
	}
}

// unreferenced are the names of which the references have none: ours, and those of things
// that a machine may lack.
var unreferenced = regexp.MustCompile(`^(sysotel|container|k8s|systemd|hw)\.`)

// checkReference compares every metric that arrived with the reference.
func (r *recorder) checkReference(mode string, all map[string]*reference, met map[int]bool) {
	r.tb.Helper()
	for id, got := range r.metrics {
		if id.service != mode || unreferenced.MatchString(id.metric) {
			continue
		}
		differs := func(what string, got, want any) {
			if !explained(met, mode, id.metric, what) {
				r.tb.Errorf("%s %s %s: got %v, the reference has %v; no deviation explains it", mode, id.metric, what, got, want)
			}
		}
		want := all[id.metric]
		if want == nil {
			differs("name", id.metric, "no such metric")
			continue
		}
		if got.kind != want.kind() {
			differs("kind", got.kind, want.kind())
		}
		if got.unit != want.Unit {
			differs("unit", got.unit, want.Unit)
		}
		if got.integer != (want.ValueType == "int") {
			differs("value type", map[bool]string{true: "int", false: "double"}[got.integer], want.ValueType)
		}
		known := map[string]bool{}
		for _, a := range want.Attributes {
			known[a.Name] = true
			if got.keys[a.Name] == nil {
				differs("without "+a.Name, slices.Sorted(maps.Keys(got.keys)), a.Name)
			}
			if got.numeric[a.Name] != (a.Type == "int") {
				differs("type of "+a.Name, got.numeric[a.Name], a.Type)
			}
			for value := range got.keys[a.Name] {
				if len(a.Enum) > 0 && !slices.Contains(a.Enum, value) {
					differs(a.Name+"="+value, value, a.Enum)
				}
			}
		}
		for key := range got.keys {
			if !known[key] {
				differs("with "+key, key, want.Attributes)
			}
		}
	}
}

// checkStarts: kernel counters start at boot, the agent's own at its start; gauges
// have no start time.
func (r *recorder) checkStarts(mode string, agent, boot time.Time) {
	r.tb.Helper()
	for id, got := range r.metrics {
		if id.service != mode {
			continue
		}
		if got.kind == "gauge" {
			if len(got.starts) > 0 {
				r.tb.Errorf("%s: the gauge %s has start times %v", mode, id.metric, got.starts)
			}
			continue
		}
		if got.kind == "counter" && len(got.starts) == 0 {
			r.tb.Errorf("%s: the counter %s has no start time", mode, id.metric)
		}
		for start := range got.starts {
			fromBoot := start.Equal(boot)
			fromAgent := !start.Before(agent.Add(-time.Millisecond)) && start.Before(agent.Add(10*time.Second))
			right := fromBoot
			switch {
			case strings.HasPrefix(id.metric, "sysotel."), got.kind != "counter":
				right = fromBoot || fromAgent
			case strings.HasPrefix(id.metric, "process."):
				right = fromAgent
			}
			if !right {
				r.tb.Errorf("%s: %s counts since %s; the machine started at %s, the agent at %s", mode, id.metric, start, boot, agent)
			}
		}
	}
}

// checkDefaults: the agent sends every metric that the receiver sends by default and
// that the machine has.
func (r *recorder) checkDefaults(all map[string]*reference) {
	r.tb.Helper()
	// Without swap space there are no swap metrics.
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil {
		r.tb.Fatal(err)
	}
	swap := strings.Count(string(swaps), "\n") > 1
	for name, want := range all {
		if !want.EnabledByDefault || want.Scraper == "nfs" {
			continue // NFS is out of scope.
		}
		there := r.metrics[metricID{"hostmetrics", name}] != nil
		if expected := name != "system.paging.usage" || swap; there != expected {
			r.tb.Errorf("%s arrived: %t, expected: %t", name, there, expected)
		}
	}
}

// TestCollectorOutage: during an outage of the Collector no point is lost or sent
// twice, and the API and the scrape page go on.
func TestCollectorOutage(t *testing.T) {
	t.Parallel()
	const service = "outage"
	r := newRecorder(t)
	c := newCollector(t, r)
	c.start()
	a := run(t, configure(t, "--resource.service-name="+service, "--otlp.endpoint=http://"+c.receiver))
	first := a.tick()
	a.tick()
	r.await(service, a.tick())

	// Kill it between two ticks, when no request is in progress: OTLP repeats a request
	// whose response was lost.
	<-time.After(300 * time.Millisecond)
	c.process.Kill()
	for range 6 {
		at := a.tick()
		if got := current(t, a.socket).Timestamp; got.Before(at) {
			t.Errorf("/current has a reading of %s, want %s", got, at)
		}
		if seconds, ok := scrape(t, a.socket).sum("sysotel_family_reading_time_seconds", "family", "cpu"); !ok || seconds < float64(at.Unix()) {
			t.Errorf("the scrape page has readings of %g, want %d", seconds, at.Unix())
		}
	}
	a.journal.await(t, map[string]any{"msg": "cannot send to the receiver; requests wait in the queue"})
	if waiting, _ := scrape(t, a.socket).sum("sysotel_queue_requests"); waiting < 3 {
		t.Errorf("%g requests are queued, want at least 3", waiting)
	}
	if age, _ := scrape(t, a.socket).sum("sysotel_queue_age_seconds"); age < 3 || age > 600 {
		t.Errorf("the oldest has waited %g s, want at least 3", age)
	}

	c.start()
	a.journal.await(t, map[string]any{"msg": "the receiver accepts requests again"})
	last := a.tick()
	r.await(service, last)
	a.ticks(2)
	if age, _ := scrape(t, a.socket).sum("sysotel_queue_age_seconds"); age != 0 {
		t.Errorf("nothing waits, and the oldest has waited %g s", age)
	}
	last = a.tick()
	r.await(service, last)
	if err := a.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	r.drain()
	if seconds := r.checkTimes(service, a.journal.missed(t)); seconds < int(last.Sub(first)/time.Second)+1 {
		t.Errorf("%d seconds arrived, want all from %s to %s", seconds, first, last)
	}
}
