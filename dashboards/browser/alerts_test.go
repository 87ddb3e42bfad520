package browser

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/store"
)

// TestAlerts creates a rule that fires at once, silences its alert and resolves it, on
// the pages.
func TestAlerts(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, "--alerting.interval=1s")
	a.ticks(5)
	b := open(browser, t, a.url, desktop())

	b.visit("/alerts")
	b.do(click("#tab-rules"), click(button("New rule")))
	b.fill(field("Name"), "Full")
	b.do(chromedp.SendKeys(field("Metric"), "memory_percent"))
	b.fill(field("For at least"), "")
	b.fill(field("Threshold"), "0")
	// A new agent has no history, or one evaluation.
	b.waitFor(`/^(There is no history|Would have fired once)/.test(document.querySelector('.verdict').innerText)`)
	b.photograph("editor")
	b.do(click(button("Save")))
	b.waitFor(`document.querySelector('[aria-label=Rules] .list')?.innerText.includes('Full')`)
	b.photograph("rules")
	b.do(click("#tab-state"))
	b.waitFor(`document.querySelector('[aria-label=Now] .list .chip.firing')?.closest('li').innerText.includes('Full')`)
	b.photograph("now")
	b.visit("/")
	b.waitFor(`document.querySelector('.active-alerts')?.innerText.includes('Full') && document.querySelector('.status').innerText.includes('Full')`)
	b.photograph("overview")

	// Silence the alert from its entry.
	b.do(click(".active-alerts .alert"), click(button("Silence")))
	b.fill(field("Reason"), "it is only a test")
	b.photograph("silence")
	b.do(click("//main//form//button[@type='submit']"))
	b.waitFor(`/alertname="Full"/.test(document.querySelector('[aria-label=Silences] .list').innerText) && document.querySelector('[aria-label=Silences] .list .chip.pending').innerText === 'active'`)
	b.photograph("silences")
	b.do(click("#tab-state"))
	b.waitFor(`[...document.querySelectorAll('[aria-label=Now] .chip')].some((c) => c.innerText === 'silenced')`)

	// Another threshold resolves it.
	b.do(click("#tab-rules"), click(button("Edit")))
	b.fill(field("Threshold"), "101")
	b.do(click(button("Save")), chromedp.WaitVisible(button("New rule")), click("#tab-state"))
	b.waitFor(`document.querySelector('[aria-label=Now] .list .chip.resolved')?.closest('li').innerText.includes('Full')`)

	// The default channel.
	b.do(click("#tab-channels"), click(button("Send test")))
	b.waitFor(`document.querySelector('[role=status]')?.innerText === 'The receiver accepted the test message.'`)
	b.photograph("channels")
	await(b, func() error {
		lines, err := os.ReadFile(filepath.Join(a.dir, "log", "alerts.log"))
		if err == nil && !strings.Contains(string(lines), "test message") {
			err = errors.New(string(lines))
		}
		return err
	})
}

// pastSpikes writes twenty hours of history before the agent starts: CPU usage of 20 %,
// with three spikes of 90 % for ten minutes.
func (a *agent) pastSpikes(host string) {
	a.tb.Helper()
	end := time.Now().Truncate(time.Minute).Add(-10 * time.Minute)
	a.past(host, end.Add(-20*time.Hour), end, func(at time.Time) float64 {
		if since := at.Sub(end.Add(-18 * time.Hour)); since >= 0 && since%(6*time.Hour) < 10*time.Minute {
			return 0.9
		}
		return 0.2
	})
}

// past writes a history of CPU usage before the agent starts.
func (a *agent) past(host string, from, to time.Time, cpu func(time.Time) float64) {
	a.tb.Helper()
	s, err := store.Open(store.Options{Dir: filepath.Join(a.dir, "store"), Tiers: store.Defaults().Tiers})
	if err != nil {
		a.tb.Fatal(err)
	}
	<-s.Opened()
	usage := &store.Series{
		Labels:  labels.FromStrings("__name__", "sysotel_cpu_usage_ratio", "host_name", host),
		MinName: "sysotel_cpu_usage_min_ratio", MaxName: "sysotel_cpu_usage_max_ratio",
	}
	for at := from; at.Before(to); at = at.Add(10 * time.Second) {
		if err := s.Append(store.Reading{Time: at, Collectors: []store.CollectorReading{{
			Collector: "cpu", Taken: at, Samples: []store.Sample{{Series: usage, Value: cpu(at)}},
		}}}); err != nil {
			a.tb.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		a.tb.Fatal(err)
	}
}

// number returns the value of a field.
func (b *tab) number(name string) (value float64) {
	b.Helper()
	var text string
	b.do(chromedp.Value(field(name), &text))
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		b.Fatal(err)
	}
	return value
}

// TestRuleOnItsHistory moves the threshold over a day with three spikes, by mouse and
// keyboard, and checks how often it would have fired.
func TestRuleOnItsHistory(t *testing.T) {
	browser := startBrowser(t)
	a := newAgent(t, "--host.name=seeded")
	a.pastSpikes("seeded")
	a.start()
	b := open(browser, t, a.url, desktop())
	b.visit("/alerts")
	b.do(click("#tab-rules"), click(button("New rule")))
	b.fill(field("Name"), "Busy")
	b.fill(field("Threshold"), "50")
	const thrice = `/^Would have fired 3 times in the last 20/.test(document.querySelector('.verdict').innerText) && document.querySelectorAll('.trial .fired').length === 3`
	b.waitFor(thrice)
	b.do(chromedp.ScrollIntoView(".trial"))
	b.photograph("editor")

	// The line's label is the field's value; its position is a share of the height.
	var line struct{ X, Top, Bottom, Threshold float64 }
	b.eval(`(() => { const box = document.querySelector('.trial svg').getBoundingClientRect(), line = document.querySelector('.trial .threshold').getBoundingClientRect(); return { X: box.left + box.width / 2, Top: box.top, Bottom: box.bottom, Threshold: line.top } })()`, &line)
	if share := (line.Bottom - line.Threshold) / (line.Bottom - line.Top); share < 0.45 || share > 0.56 {
		t.Errorf("the line of 50 of some 99 stands at %.2f of the height", share)
	}
	above := line.Top + (line.Bottom-line.Top)*0.04
	b.do(
		chromedp.MouseEvent("mouseMoved", line.X, line.Threshold),
		chromedp.MouseEvent("mousePressed", line.X, line.Threshold, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent("mouseMoved", line.X, (line.Threshold+above)/2, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseMoved", line.X, above, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseReleased", line.X, above, chromedp.ButtonLeft, chromedp.ClickCount(1)),
	)
	b.waitFor(`/^Would not have fired in the last 20/.test(document.querySelector('.verdict').innerText)`)
	if got := b.number("Threshold"); got < 91 || got > 99 {
		t.Errorf("dragged above the spikes the threshold is %g", got)
	}

	dragged := b.number("Threshold")
	b.do(chromedp.Focus(".trial .handle"), chromedp.KeyEvent(kb.ArrowDown))
	small := dragged - b.number("Threshold")
	b.do(chromedp.KeyEvent(kb.PageDown))
	large := dragged - small - b.number("Threshold")
	if small < 1 || small > 3 || large < 8*small || large > 12*small {
		t.Errorf("an arrow moves the threshold by %g, a page by %g", small, large)
	}
	b.waitFor(thrice)
	b.waitFor(`+document.querySelector('.trial .handle').getAttribute('aria-valuenow') === ` + strconv.FormatFloat(b.number("Threshold"), 'g', -1, 64))
	b.do(click(button("Save")))
	b.waitFor(`document.querySelector('[aria-label=Rules] .list')?.innerText.includes('Busy')`)
}

// TestAlertOfAProcess makes a test process trigger an alert, which shows on the overview
// while it runs and is resolved after it exits.
func TestAlertOfAProcess(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, "--alerting.interval=1s")
	a.ticks(3)
	b := open(browser, t, a.url, desktop())
	b.visit("/alerts")
	b.do(click("#tab-rules"), click(button("New rule")))
	b.fill(field("Name"), "Burner")
	b.do(chromedp.SetValue(field("Metric"), "PromQL"), chromedp.Evaluate(`document.querySelector('form select').dispatchEvent(new Event('change', { bubbles: true }))`, nil))
	b.fill(field("PromQL"), `sum(process_cpu_utilization_ratio{process_executable_name="alertmaker"})`)
	b.fill(field("Threshold"), "0.05")
	b.fill(field("For at least"), "2s")
	if got := b.number("Threshold"); got != 0.05 {
		t.Errorf("0.05 was typed; the threshold is %g", got)
	}
	b.photograph("promql")
	b.do(click(button("Save")))
	b.waitFor(`document.querySelector('[aria-label=Rules] .list')?.innerText.includes('Burner')`)
	b.visit("/?range=5m")
	b.waitFor(`document.querySelector('.status strong') && !document.querySelector('.active-alerts')?.innerText.includes('Burner')`)
	_, spike := startSpike(t, "alertmaker")
	b.waitFor(`document.querySelector('.active-alerts')?.innerText.includes('Burner') && document.querySelector('.status').innerText.includes('Burner')`)
	b.photograph("fires")
	spike.Kill()
	b.waitFor(`!document.querySelector('.active-alerts')?.innerText.includes('Burner')`)
	b.visit("/alerts")
	b.waitFor(`document.querySelector('[aria-label=Now] .list .chip.resolved')?.closest('li').innerText.includes('Burner')`)
	b.photograph("over")
}
