package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"sysotel/agent/store/storetest"
)

// The budgets of the page.
const (
	updateBudget = 8.0 // Milliseconds of the main thread for each reading.
	chartBudget  = time.Second
	pageBudget   = 2 * time.Second
	leastCharts  = 20
)

// plan is how long each measurement takes.
type plan struct {
	updates int  // Readings drawn while the main thread is timed.
	minutes int  // Simulated minutes over which memory is measured.
	year    bool // Whether pages are opened on a year of data.
}

// chosen returns the plan of the environment: for figures worth quoting, or a quick check
// of the measurement.
func chosen() plan {
	if os.Getenv("SYSOTEL_BENCH") == "1" {
		return plan{updates: 60, minutes: 30, year: true}
	}
	return plan{updates: 4, minutes: 2}
}

// TestCost measures what the page costs the viewer, and prints the table. There is no GPU:
// the browser draws on the processor that runs the page and the agent.
func TestCost(t *testing.T) {
	p := chosen()
	browser := startBrowser(t)
	host := "bench"
	a := newAgent(t, "--host.name="+host)
	if p.year {
		storetest.MachineYear(t, filepath.Join(a.dir, "store"), host)
	}
	a.start()
	a.ticks(5)

	var table strings.Builder
	line := func(what, measured, budget string, fine bool) {
		word := ""
		if budget != "" {
			if word = "ok"; !fine {
				word = "OVER"
			}
		}
		fmt.Fprintf(&table, "%-36s %-56s %8s %s\n", what, measured, budget, word)
	}
	t.Run("updates", func(t *testing.T) {
		b := open(browser, t, a.url, desktop())
		charts := b.manyCharts()
		b.rest(5 * time.Second) // One-time work is done by then.
		before := b.mainThread()
		b.rest(time.Duration(p.updates) * time.Second)
		after := b.mainThread()
		each := func(name string) float64 { return 1000 * (after[name] - before[name]) / float64(p.updates) }
		all := each("TaskDuration")
		if all <= 0 {
			t.Error("the browser says that its main thread did nothing")
		}
		line(fmt.Sprintf("an update of %d charts", charts), fmt.Sprintf("%.1f ms: script %.1f, style %.1f, layout %.1f", all,
			each("ScriptDuration"), each("RecalcStyleDuration"), each("LayoutDuration")), fmt.Sprintf("%.0f ms", updateBudget), all <= updateBudget)
	})
	t.Run("memory", func(t *testing.T) {
		fast := startFast(t, a.url)
		b := open(browser, t, fast.url, desktop())
		charts := b.manyCharts()
		// The charts are full after the five minutes that they show.
		var grown []float64
		for minute := 0; minute <= p.minutes; minute += max(1, p.minutes/6) {
			fast.runTo(b, minute)
			grown = append(grown, b.heap())
		}
		from, to := grown[(len(grown)-1)/3], grown[len(grown)-1]
		var words []string
		for _, g := range grown {
			words = append(words, fmt.Sprintf("%.1f", g/1e6))
		}
		budget := ""
		if p.minutes >= 30 {
			budget = "level" // A page that was just opened still grows.
		}
		const noise = 0.5e6 // Between two measurements of the same state.
		line(fmt.Sprintf("memory over %d minutes, %d charts", p.minutes, charts), strings.Join(words, ", ")+" MB", budget, to <= from+noise)
	})
	for _, path := range []string{"/", "/?range=24h", "/?range=30d", "/?range=1y", "/?range=1y&open=cpu,memory,disk,network", "/processes", "/alerts", "/settings", "/hosts"} {
		t.Run(path, func(t *testing.T) {
			b := open(browser, t, a.url, desktop())
			first, all := b.timePage(path)
			measured, fine := "all "+all.Round(time.Millisecond).String(), all <= pageBudget
			if first > 0 {
				measured, fine = "first chart "+first.Round(time.Millisecond).String()+", "+measured, fine && first <= chartBudget
			}
			line(path, measured, pageBudget.String(), fine)
		})
	}
	fmt.Printf("\nthe page in %s, a reading a second\n\n%s\n", version(browser, t), table.String())
}

// manyCharts opens a page with more than a screenful of charts, all visible, and returns
// their number.
func (b *tab) manyCharts() (n int) {
	b.Helper()
	b.visit("/?range=5m&open=network")
	b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
	tall := b.look
	b.eval(`document.documentElement.scrollHeight`, &tall.height)
	b.do(tall.emulate())
	b.waitFor(`[...document.querySelectorAll('.plot')].every((p) => p.dataset.from) && !document.querySelector('main').innerText.includes('Loading')`)
	b.eval(`document.querySelectorAll('.plot[data-newest]:not([data-newest=""])').length`, &n)
	if n < leastCharts {
		b.Errorf("%d charts have values, want %d", n, leastCharts)
	}
	return n
}

// rest leaves the page alone.
func (b *tab) rest(d time.Duration) {
	b.Helper()
	b.do(chromedp.Evaluate(fmt.Sprintf("new Promise((done) => setTimeout(done, %d))", d.Milliseconds()), nil, awaitPromise))
}

// mainThread returns the seconds that the page's thread has worked, by kind of work.
func (b *tab) mainThread() map[string]float64 {
	b.Helper()
	found := map[string]float64{}
	b.do(performance.Enable(), chromedp.ActionFunc(func(ctx context.Context) error {
		metrics, err := performance.GetMetrics().Do(ctx)
		for _, m := range metrics {
			found[m.Name] = m.Value
		}
		return err
	}))
	return found
}

// heap returns the bytes that the page's script retains.
func (b *tab) heap() (bytes float64) {
	b.Helper()
	// Responses released by a first collection are freed by a second one.
	b.do(heapprofiler.CollectGarbage())
	b.rest(300 * time.Millisecond)
	b.do(heapprofiler.CollectGarbage(), chromedp.ActionFunc(func(ctx context.Context) (err error) {
		bytes, _, _, _, err = runtime.GetHeapUsage().Do(ctx)
		return err
	}))
	if bytes < 100_000 {
		b.Fatalf("a heap of %.0f bytes holds no page", bytes)
	}
	return bytes
}

// timePage opens a page without a cache, and returns how long the first chart took, 0 for
// none, and the whole screen.
func (b *tab) timePage(path string) (first, all time.Duration) {
	b.Helper()
	const watch = `(() => {
		const seen = (e) => { const box = e.getBoundingClientRect(); return box.bottom > 0 && box.top < innerHeight }
		const look = () => {
			const main = document.querySelector('main')
			const plots = main ? [...main.querySelectorAll('.plot')].filter(seen) : []
			if (!window.firstChart && plots.some((p) => p.dataset.newest)) window.firstChart = performance.now()
			const waits = !main || main.innerText.length < 20 || [...main.querySelectorAll('.quiet')].some(seen) || plots.some((p) => !p.dataset.from)
			if (waits) requestAnimationFrame(look)
			// It is visible one frame later.
			else requestAnimationFrame(() => { window.allDrawn = performance.now() })
		}
		look()
	})()`
	b.do(network.SetCacheDisabled(true), chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(watch).Do(ctx)
		return err
	}))
	b.visit(path)
	b.waitFor(`window.allDrawn`)
	var ms [2]float64
	b.eval(`[window.firstChart ?? 0, window.allDrawn]`, &ms)
	return time.Duration(ms[0] * float64(time.Millisecond)), time.Duration(ms[1] * float64(time.Millisecond))
}

func version(browser context.Context, tb testing.TB) (product string) {
	tb.Helper()
	if err := chromedp.Run(browser, chromedp.Evaluate(`navigator.userAgent.match(/Chrome\/[0-9.]+/)[0]`, &product)); err != nil {
		tb.Fatal(err)
	}
	return product
}

// fast is a proxy that accelerates the page's time: the stream has a reading every
// twentieth of a second, each one second after the last, and queries about that time
// return current values.
type fast struct {
	url   string
	agent string

	mu     sync.Mutex
	begin  time.Time     // The time of the first reading, once there is one.
	passed time.Duration // The simulated time since then.
	until  time.Duration // The simulated time allowed.
}

const fastReading = 50 * time.Millisecond

func startFast(tb testing.TB, agent string) *fast {
	tb.Helper()
	to, err := url.Parse(agent)
	if err != nil {
		tb.Fatal(err)
	}
	f := &fast{agent: agent}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Header.Del("Origin") // The proxy's own: the agent refuses other origins.
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("/api/v1/metrics/stream", f.stream)
	mux.HandleFunc("/prometheus/api/v1/query", f.query)
	mux.HandleFunc("/prometheus/api/v1/query_range", f.query)
	server := httptest.NewServer(mux)
	tb.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	f.url = server.URL
	return f
}

// runTo advances to so many minutes in total, and waits until the page has drawn them.
func (f *fast) runTo(b *tab, minutes int) {
	b.Helper()
	f.mu.Lock()
	f.until = time.Duration(minutes) * time.Minute
	end := f.begin.Add(f.until)
	f.mu.Unlock()
	b.drawn("cpu", func(c *chart) bool { return c.Newest >= seconds(end) })
}

// next returns the time of the next reading, later than real ones by ahead.
func (f *fast) next(first time.Time) (at time.Time, number int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begin.IsZero() {
		f.begin = first
	} else if f.passed >= f.until {
		return at, 0, false
	} else {
		f.passed += time.Second
	}
	return f.begin.Add(f.passed), int(f.passed / time.Second), true
}

// ahead returns how far the page's time is ahead.
func (f *fast) ahead() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begin.IsZero() {
		return 0
	}
	return time.Until(f.begin.Add(f.passed)).Round(time.Second)
}

func (f *fast) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(fastReading)
	defer ticker.Stop()
	for {
		var reading map[string]any
		if err := f.ask(r.Context(), "/api/v1/metrics/current", &reading); err != nil {
			return
		}
		measured, err := time.Parse(time.RFC3339, fmt.Sprint(reading["timestamp"]))
		if err != nil {
			return
		}
		if at, number, ok := f.next(measured); ok {
			reading["timestamp"], reading["tick"] = at, number
			text, err := json.Marshal(reading)
			if err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "id: %d\nevent: reading\ndata: %s\n\n", number, text); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fast) ask(ctx context.Context, path string, to any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.agent+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(response.Body).Decode(to)
}

// query translates a query to the agent's time and its response to the page's.
func (f *fast) query(w http.ResponseWriter, r *http.Request) {
	ahead := f.ahead().Seconds()
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, name := range []string{"start", "end", "time"} {
		if at, err := strconv.ParseFloat(r.Form.Get(name), 64); err == nil {
			r.Form.Set(name, strconv.FormatFloat(at-ahead, 'f', 3, 64))
		}
	}
	var answer struct {
		Status string `json:"status"`
		Data   struct {
			Type   string `json:"resultType"`
			Result []struct {
				Metric map[string]string `json:"metric"`
				Value  []any             `json:"value,omitempty"`
				Values [][]any           `json:"values,omitempty"`
			} `json:"result"`
		} `json:"data"`
		Infos []string `json:"infos,omitempty"`
	}
	if err := f.ask(r.Context(), r.URL.Path+"?"+r.Form.Encode(), &answer); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	for _, series := range answer.Data.Result {
		for _, sample := range append(series.Values, series.Value) {
			if len(sample) == 2 {
				at, _ := sample[0].(float64)
				sample[0] = math.Round((at+ahead)*1000) / 1000
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // The page may have left.
}
