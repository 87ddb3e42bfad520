package browser

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAlerts makes a rule that fires at once, sees it fire, silences it and lets it
// be over, all on the pages.
func TestAlerts(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t, "--alerting.interval=1s")
	a.ticks(5)
	b := open(browser, t, a.url, desktop())

	b.visit("/alerts")
	b.do(chromedp.Click("#tab-rules"), chromedp.Click(button("New rule")))
	b.fill(field("Name"), "Full")
	b.do(chromedp.SendKeys(field("What is measured"), "memory_percent"))
	b.fill(field("For at least"), "")
	b.fill(field("Threshold"), "0")
	// An agent this young has no history to hold it against, or one evaluation of it.
	b.waitFor(`/^(There is no history|Would have fired once)/.test(document.querySelector('.verdict').innerText)`)
	b.photograph("editor")
	b.do(chromedp.Click(button("Save")))
	b.waitFor(`document.querySelector('[aria-label=Rules] .list')?.innerText.includes('Full')`)
	b.photograph("rules")
	b.do(chromedp.Click("#tab-state"))
	b.waitFor(`document.querySelector('[aria-label=Now] .list .chip.firing')?.closest('li').innerText.includes('Full')`)
	b.photograph("now")
	b.visit("/")
	b.waitFor(`document.querySelector('.active-alerts')?.innerText.includes('Full') && document.querySelector('.status').innerText.includes('Full')`)
	b.photograph("overview")

	// It is silenced where it is seen.
	b.do(chromedp.Click(".active-alerts .alert"), chromedp.Click(button("Silence")))
	b.fill(field("Why"), "it is only a test")
	b.photograph("silence")
	b.do(chromedp.Click("//main//form//button[@type='submit']"))
	b.waitFor(`/alertname="Full"/.test(document.querySelector('[aria-label=Silences] .list').innerText) && document.querySelector('[aria-label=Silences] .list .chip.pending').innerText === 'holds'`)
	b.photograph("silences")
	b.do(chromedp.Click("#tab-state"))
	b.waitFor(`[...document.querySelectorAll('[aria-label=Now] .chip')].some((c) => c.innerText === 'silenced')`)

	// With another threshold it is over.
	b.do(chromedp.Click("#tab-rules"), chromedp.Click(button("Change")))
	b.fill(field("Threshold"), "101")
	b.do(chromedp.Click(button("Save")), chromedp.WaitVisible(button("New rule")), chromedp.Click("#tab-state"))
	b.waitFor(`document.querySelector('[aria-label=Now] .list .chip.resolved')?.closest('li').innerText.includes('Full')`)

	// The channel that an agent has from the start.
	b.do(chromedp.Click("#tab-channels"), chromedp.Click(button("Send a test")))
	b.waitFor(`document.querySelector('[role=status]')?.innerText === 'The receiver took the test message.'`)
	b.photograph("channels")
	await(b, func() error {
		lines, err := os.ReadFile(filepath.Join(a.dir, "log", "alerts.log"))
		if err == nil && !strings.Contains(string(lines), "test message") {
			err = errors.New(string(lines))
		}
		return err
	})
}
