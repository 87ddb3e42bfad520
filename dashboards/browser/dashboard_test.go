package browser

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"sysotel/otel-collector/programs"
)

// seconds returns a time as the page has it.
func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// TestDashboard is one story in order, with one agent and one browser, since starting them
// takes time.
func TestDashboard(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, "--rate-limit.queries.per-second=100") // It turns pages faster than anybody reads them.
	a.ticks(5)

	t.Run("first paint", func(t *testing.T) {
		b := open(browser, t, a.url, desktop())
		_, loaded := a.tick()
		b.visit("/?range=5m")
		// History is drawn at once.
		c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		if c.First > seconds(loaded)-2 || c.Step != 1 {
			t.Errorf("the chart begins at %.0f with a step of %.0f; the page was opened at %.0f", c.First, c.Step, seconds(loaded))
		}
		b.waitFor(`document.querySelector('.status strong') && document.querySelectorAll('.meter').length >= 7 && document.querySelector('.facts li')`)
		// The status sentence, the meters and four charts are above the fold.
		var below []string
		b.eval(`['.status', '.meters', ...['cpu', 'memory', 'disk_io_total', 'network_total'].map((id) => '#panel-' + id)].filter((s) => document.querySelector(s).getBoundingClientRect().bottom > innerHeight)`, &below)
		if len(below) > 0 {
			t.Errorf("below the fold of 1440 x 900: %v", below)
		}
		b.photograph("dark")
		// A chart shows its query, ready to be copied.
		b.do(click("#panel-cpu .explain button"))
		b.waitFor(`/^avg_over_time\(sysotel_cpu_usage_ratio\{host_name="[^"$]+"\}\[1s\]\)$/.test(document.querySelector('#panel-cpu .explain code').innerText)`)
	})

	t.Run("live", func(t *testing.T) {
		b := open(browser, t, a.url, desktop())
		b.visit("/?range=5m")
		before := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		after := b.drawn("cpu", func(c *chart) bool { return c.Newest >= before.Newest+3 })
		if after.From < before.From+2 {
			t.Errorf("the chart did not slide: from %.0f to %.0f", before.From, after.From)
		}
		// Values that are not in a reading are polled.
		b.eval(`document.querySelector('#panel-memory_parts').scrollIntoView()`, nil)
		parts := b.drawn("memory_parts", func(c *chart) bool { return c.Ink > 0 })
		b.drawn("memory_parts", func(c *chart) bool { return c.Newest >= parts.Newest+2 })
		b.do(click(".liveness"))
		b.waitFor(`location.search.includes('from=') && !document.querySelector('.liveness.on')`)
		b.do(click(".liveness"))
		b.waitFor(`document.querySelector('.liveness.on')`)
	})

	t.Run("zoom and back", func(t *testing.T) {
		b := open(browser, t, a.url, desktop())
		b.visit("/?range=5m")
		c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		from, to := c.From+60, c.From+180
		b.drag(c, from, to)
		b.waitFor(`location.search.includes('from=')`)
		zoomed := b.drawn("memory", func(c *chart) bool { return c.To-c.From < 200 })
		if zoomed.From < from-5 || zoomed.From > from+5 || zoomed.To < to-5 || zoomed.To > to+5 {
			t.Errorf("from %.0f to %.0f, want about %.0f to %.0f", zoomed.From, zoomed.To, from, to)
		}
		// A shared link shows the same.
		link := b.address()
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"from", "to"} {
			if _, err := time.Parse(time.RFC3339, u.Query().Get(name)); err != nil {
				t.Errorf("%s: %v", link, err)
			}
		}
		other := open(browser, t, a.url, desktop())
		other.visit(link)
		shared := other.drawn("cpu", func(*chart) bool { return true })
		if shared.From != zoomed.From || shared.To != zoomed.To {
			t.Errorf("the link shows %.0f to %.0f, not %.0f to %.0f", shared.From, shared.To, zoomed.From, zoomed.To)
		}
		// A double click undoes the zoom, and opens no processes.
		b.do(chromedp.MouseClickXY(c.x(c.From+90), c.middle(), chromedp.ClickCount(2)))
		b.waitFor(`location.search === '?range=5m' && location.pathname === '/'`)
	})

	t.Run("from a spike to its process", func(t *testing.T) {
		name := "spikemaker"
		began, _ := startSpike(t, name)
		a.awaitSpike(name)
		b := open(browser, t, a.url, desktop())
		b.visit("/?range=5m")
		c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 && c.Newest >= began+3 })
		b.do(chromedp.MouseClickXY(c.x(began+2.5), c.middle()))
		b.waitFor(`location.pathname === '/processes'`)
		at, err := time.Parse(time.RFC3339, mustQuery(t, b.address()).Get("at"))
		if err != nil || seconds(at) < began-1 || seconds(at) > began+8 {
			t.Errorf("%s is not the moment that was clicked: %v", b.address(), err)
		}
		b.waitFor(fmt.Sprintf(`document.querySelector('table tbody')?.innerText.includes(%q)`, name))
		b.photograph("processes")
	})

	t.Run("keyboard", func(t *testing.T) {
		a.ticks(40) // Processes exist two points back of an hour.
		b := open(browser, t, a.url, desktop())
		b.visit("/?range=5m")
		b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		// The first Tab skips the navigation.
		b.do(chromedp.KeyEvent(kb.Tab))
		b.waitFor(`document.activeElement.className === 'skip'`)
		b.tabTo(`document.activeElement.matches('.segments button[aria-pressed="true"]')`)
		b.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
		b.waitFor(`location.search === ''`) // One hour, the default.
		b.tabTo(`document.activeElement.matches('#panel-cpu .plot')`)
		b.do(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.ArrowLeft))
		// All charts have the crosshair.
		b.waitFor(`['cpu', 'memory'].every((id) => document.querySelector('#panel-' + id + ' .legend .when').innerText.includes(':'))`)
		var outlined bool
		b.eval(`getComputedStyle(document.activeElement).outlineStyle !== 'none'`, &outlined)
		if !outlined {
			t.Error("the chart that has the keyboard does not show it")
		}
		b.do(chromedp.KeyEvent("+"))
		b.waitFor(`location.search.includes('from=')`)
		b.do(chromedp.KeyEvent("-"))
		b.waitFor(`location.search === ''`)
		b.drawn("cpu", func(c *chart) bool { return c.To-c.From > 3000 })
		b.do(chromedp.KeyEvent(kb.ArrowLeft), chromedp.KeyEvent(kb.Enter))
		b.waitFor(`location.pathname === '/processes' && location.search.includes('at=')`)

		// A slash focuses the filter; Tab leads to the columns and the details of a row.
		b.waitFor(`document.querySelectorAll('.processes tbody tr').length > 3`)
		// Not KeyEvent: its second event would type the slash although the page handled the
		// first, unlike a keyboard.
		b.do(input.DispatchKeyEvent(input.KeyRawDown).WithKey("/").WithCode("Slash"),
			input.DispatchKeyEvent(input.KeyChar).WithKey("/").WithText("/"), input.DispatchKeyEvent(input.KeyUp).WithKey("/").WithCode("Slash"))
		b.waitFor(`document.activeElement.type === 'search'`)
		b.do(chromedp.KeyEvent("sysotel"))
		b.waitFor(`[...document.querySelectorAll('.processes tbody th')].every((e) => e.innerText.includes('sysotel')) && document.querySelector('.processes tbody th')`)
		b.tabTo(`document.activeElement.closest('th.column-memory')`)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.waitFor(`document.querySelector('th.column-memory').ariaSort === 'descending'`)
		b.tabTo(`document.activeElement.matches('tbody th button')`)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.waitFor(`document.querySelector('.processes .detail dt')`)

		// Create a rule.
		b.visit("/")
		b.waitFor(`document.querySelector('.meter')`)
		b.tabTo(`document.activeElement.matches('nav a[href^="/alerts"]')`)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.tabTo(`document.activeElement.id === 'tab-state'`)
		b.do(chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.ArrowRight))
		b.waitFor(`document.activeElement.id === 'tab-rules'`)
		b.tabTo(`document.activeElement.innerText === 'New rule'`)
		b.do(chromedp.KeyEvent(kb.Enter))
		within := func(name string) string {
			return fmt.Sprintf(`document.activeElement.closest('label')?.querySelector('span').innerText === %q`, name)
		}
		b.tabTo(within("Name"))
		b.do(chromedp.KeyEvent("By keys"))
		b.tabTo(within("Threshold"))
		b.do(chromedp.KeyEvent("101"))
		b.tabTo(`document.activeElement.innerText === 'Save'`)
		b.do(chromedp.KeyEvent(kb.Enter))
		b.waitFor(`document.querySelector('[aria-label=Rules] .list')?.innerText.includes('By keys')`)
	})

	t.Run("phone", func(t *testing.T) {
		b := open(browser, t, a.url, phone())
		b.visit("/?range=5m")
		c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		if c.Top+c.Height > 844 {
			t.Errorf("the first chart ends at %.0f of 844", c.Top+c.Height)
		}
		var wrong []string
		b.eval(`[...document.querySelectorAll('main *, header *, nav *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => 'too wide: ' + e.outerHTML.slice(0, 80)).concat(
			[...document.querySelectorAll('button, nav a, select')].filter((e) => e.offsetParent !== null || e.closest('nav')).filter((e) => { const b = e.getBoundingClientRect(); return b.width > 0 && (b.height < 43.5 || b.width < 43.5) }).map((e) => 'too small: ' + e.outerHTML.slice(0, 120)))`, &wrong)
		for _, w := range wrong {
			t.Error(w)
		}
		// A touch moves the crosshair and shows a button.
		b.tap(c, 0.97)
		b.waitFor(`document.querySelector('#panel-cpu .tapped')`)
		b.photograph("light")
		b.do(click("#panel-cpu .tapped"))
		b.waitFor(`location.pathname === '/processes' && location.search.includes('at=')`)
	})

	t.Run("accessible", func(t *testing.T) {
		for _, l := range []struct {
			name         string
			look         look
			contrastOnly bool // Everything else equals the first look.
		}{
			{"dark", look{width: 1440, height: 900, scheme: "dark", still: true}, false},
			{"light", look{width: 1440, height: 900, scheme: "light", still: true}, true},
			{"phone-light", look{width: 390, height: 844, phone: true, scheme: "light", still: true}, false},
			{"phone-dark", look{width: 390, height: 844, phone: true, scheme: "dark", still: true}, true},
		} {
			b := open(browser, t, a.url, l.look, "/api/v1/hosts")
			for _, p := range []struct {
				name, path string
				clicks     []string
			}{
				{"overview", "/?range=5m", nil},
				{"explained", "/?range=5m", []string{"#panel-cpu .explain button"}},
				{"picker", "/?range=5m", []string{".timepicker .custom > button"}},
				{"processes", "/processes", nil},
				{"alerts", "/alerts", nil},
				{"history", "/alerts", []string{"#tab-history"}},
				{"rules", "/alerts", []string{"#tab-rules"}},
				{"editor", "/alerts", []string{"#tab-rules", button("New rule")}},
				{"silences", "/alerts", []string{"#tab-silences"}},
				{"silence", "/alerts", []string{"#tab-silences", button("New silence")}},
				{"channels", "/alerts", []string{"#tab-channels"}},
				{"hosts", "/hosts", nil},
				{"settings", "/settings", nil},
			} {
				b.visit(p.path)
				b.waitFor(`document.querySelector('main')?.innerText.length > 20 && document.querySelector('.page-footer .lag')`)
				for _, c := range p.clicks {
					b.do(click(c))
				}
				b.accessible(l.contrastOnly)
				b.photographAll(p.name + "-" + l.name)
			}
		}
	})

	// From here on the agent is stopped and started.
	t.Run("stopped and started", func(t *testing.T) {
		// Failures while the agent is down are expected.
		b := open(browser, t, a.url, desktop(), "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
		b.visit("/?range=5m")
		b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		_, last := a.tick()
		a.stop()
		b.waitFor(`/Last reading \d+ seconds? ago/.test(document.querySelector('.banner')?.innerText ?? '') && document.querySelector('.page-footer.stale')`)
		b.photograph("stale")
		await(b, func() error {
			if away := time.Since(last); away < 10*time.Second {
				return fmt.Errorf("stopped for %s", away)
			}
			return nil
		})
		a.start()
		_, again := a.tick()
		// The page recovers, with the gap and its cause.
		b.waitFor(`!document.querySelector('.banner')`)
		c := b.drawn("cpu", func(c *chart) bool { return c.Newest >= seconds(again)+1 })
		await(b, func() error {
			b.do(chromedp.MouseEvent("mouseMoved", c.x((seconds(last)+seconds(again))/2)-1, c.middle()))
			b.do(chromedp.MouseEvent("mouseMoved", c.x((seconds(last)+seconds(again))/2), c.middle()))
			if text := b.text("#panel-cpu .legend .when"); !strings.Contains(text, "the agent was stopped") {
				return fmt.Errorf("the crosshair in the gap says %q", text)
			}
			return nil
		})
		b.photograph("gap")
	})
}

// startSpike starts a process that burns CPU under a name of its own, and returns when.
func startSpike(t *testing.T, name string) (began float64, spike *programs.Process) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A copy, not a link: the program is named after its file.
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(os.Environ(), jobVariable+"=burn")
	began = seconds(time.Now())
	return began, programs.Start(t, cmd)
}

// awaitSpike waits until the agent has recorded three CPU seconds of a process.
func (a *agent) awaitSpike(name string) {
	a.tb.Helper()
	await(a.tb, func() error {
		var table struct {
			Processes []struct {
				Name       string
				CPUSeconds float64 `json:"cpu_seconds"`
			}
		}
		a.get("/api/v1/metrics/processes?top=50&q="+url.QueryEscape(name), &table)
		for _, p := range table.Processes {
			if p.Name == name && p.CPUSeconds > 3 {
				return nil
			}
		}
		return fmt.Errorf("%s has not burnt three seconds: %v", name, table.Processes)
	})
}

func mustQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// tabTo presses Tab until a script is true.
func (b *tab) tabTo(script string) {
	b.Helper()
	for range 60 {
		var there bool
		b.eval("!!("+script+")", &there)
		if there {
			return
		}
		b.do(chromedp.KeyEvent(kb.Tab))
	}
	b.Fatalf("the tabulator does not lead to %s", script)
}
