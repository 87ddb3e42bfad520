package browser

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestChannelInThePage: a Slack channel is made in the page, tested, named by a rule, kept
// over a restart and changed without its secret being shown; a built-in rule that is
// adjusted in the page is told to it.
func TestChannelInThePage(t *testing.T) {
	got := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(body)
	}))
	defer receiver.Close()
	received := func(part string) {
		t.Helper()
		var all []string
		for end := time.After(patience); ; {
			select {
			case text := <-got:
				if strings.Contains(text, part) {
					return
				}
				all = append(all, text)
			case <-end:
				t.Fatalf("the receiver got no %s, but %q", part, all)
			}
		}
	}
	browser := startBrowser(t)
	a := startAgent(t, "--alerting.interval=1s", "--rate-limit.queries.per-second=100")
	a.ticks(5)
	b := open(browser, t, a.url, desktop(), "409", "422", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET")
	const list = `document.querySelector('[aria-label=Channels] .list')?.innerText`
	save := "//main//form//button[@type='submit']"

	b.visit("/alerts?tab=channels")
	b.do(click(button("New channel")))
	b.fill(field("Name"), "ops")
	b.fill(field("URL"), "http://hooks.example.org/T0/B0/XX")
	b.accessible(false)
	b.photograph("new")
	// What is wrong is said beside the form.
	b.do(click(save))
	b.waitFor(`document.querySelector('.form-error')?.innerText.includes('must begin with https://')`)
	b.fill(field("URL"), receiver.URL+"/services/SECRET")
	b.fill(field("Slack channel"), "#ops")
	b.do(click(save))
	b.waitFor(list + `?.includes('ops')`)
	b.do(click("//li[b='ops']//button[normalize-space()='Send test']"))
	received("/services/SECRET ")
	b.waitFor(`document.querySelector('[role=status]')?.innerText === 'The receiver accepted the test message.'`)
	b.accessible(false)
	b.photograph("list")

	// Its secret is written and never read.
	b.do(click("//li[b='ops']//button[normalize-space()='Edit']"))
	b.waitFor(`document.querySelector('form input[type=password]')?.value === '<secret>'`)
	b.photograph("edit")
	b.fill(field("Slack channel"), "#other")
	b.do(click(save))
	b.waitFor(list + `?.includes('ops')`)
	b.do(click("//li[b='ops']//button[normalize-space()='Send test']"))
	received(`"channel":"#other"`)
	var page string
	b.eval(`document.documentElement.outerHTML + JSON.stringify({ ...localStorage })`, &page)
	var options map[string]any
	a.get("/api/v1/alerts/channels/ops", &options)
	if strings.Contains(page, "SECRET") || strings.Contains(fmt.Sprint(options), "SECRET") || !strings.Contains(fmt.Sprint(options), "#other") {
		t.Errorf("the options are %v", options)
	}
	if info, err := os.Stat(filepath.Join(a.dir, "alerting", "channels.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the channels is %v, %v", info, err)
	}

	// A rule names it, which keeps it from being deleted.
	b.do(click("#tab-rules"), click(button("New rule")))
	b.fill(field("Name"), "Full")
	b.do(chromedp.SendKeys(field("Metric"), "memory_percent"))
	b.fill(field("For at least"), "")
	b.fill(field("Threshold"), "0")
	b.do(click("//label[normalize-space()='ops']/input"), click(button("Save")))
	received("Full")
	b.do(click("#tab-channels"), click("//li[b='ops']//button[normalize-space()='Delete']"), click("//li[b='ops']//*[@class='sure']/button[1]"))
	b.waitFor(`document.querySelector('[role=alert]')?.innerText.includes('These rules name the channel: Full')`)

	// A built-in rule with another threshold and duration; the API has what the page shows.
	b.do(click("#tab-rules"))
	rule := "//li[b='MemoryNearlyFull']"
	b.do(click(rule + "//button[normalize-space()='Adjust']"))
	b.waitFor(`document.querySelector('.adjust')`)
	b.fill(rule+"//label[starts-with(span, 'Threshold')]//input", "0.5")
	b.fill(rule+"//label[starts-with(span, 'For at least')]//input", "0s")
	b.accessible(false)
	b.photograph("adjust")
	b.do(click(rule + "//button[@type='submit']"))
	b.waitFor(`[...document.querySelectorAll('.list > li')].find((e) => e.innerText.startsWith('MemoryNearlyFull'))?.innerText.includes('adjusted')`)
	var rules struct {
		Rules []struct {
			Name, Expr, For string
			Builtin         *struct{ Current, Threshold float64 }
		}
	}
	adjusted := func() (expr, hold string) {
		a.get("/api/v1/alerts/rules", &rules)
		for _, r := range rules.Rules {
			if r.Name == "MemoryNearlyFull" && r.Builtin != nil {
				return r.Expr, r.For
			}
		}
		t.Fatal("there is no such rule")
		return "", ""
	}
	if expr, hold := adjusted(); strings.Count(expr, "> 0.5") != 2 || hold != "0s" {
		t.Errorf("the rule is %s for %s", expr, hold)
	}
	received("MemoryNearlyFull")
	b.photograph("adjusted")

	// All of it is there after a restart.
	a.stop()
	a.start()
	b.visit("/alerts?tab=channels")
	b.waitFor(list + `?.includes('created here')`)
	b.do(click("//li[b='ops']//button[normalize-space()='Send test']"))
	received(`"channel":"#other"`)
	if expr, hold := adjusted(); strings.Count(expr, "> 0.5") != 2 || hold != "0s" {
		t.Errorf("after a restart the rule is %s for %s", expr, hold)
	}
	b.do(click("#tab-rules"), click(rule+"//button[normalize-space()='Adjust']"), click(rule+"//button[normalize-space()='As built in']"), click(rule+"//button[@type='submit']"))
	b.waitFor(`![...document.querySelectorAll('.list > li')].find((e) => e.innerText.startsWith('MemoryNearlyFull'))?.innerText.includes('adjusted')`)
	if expr, hold := adjusted(); strings.Count(expr, "> 90") != 2 || hold != "3m" {
		t.Errorf("reset the rule is %s for %s", expr, hold)
	}
	b.do(chromedp.Navigate("about:blank"))
}
