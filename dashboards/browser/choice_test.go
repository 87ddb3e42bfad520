package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestLanguageAndClock: what is chosen in the settings is how every page speaks, also after
// it is opened anew.
func TestLanguageAndClock(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t)
	a.ticks(3)
	t.Run("chosen", func(t *testing.T) {
		b := open(browser, t, a.url, desktop())
		b.visit("/settings")
		b.do(click("//main//button[normalize-space()='한국어']"))
		b.waitFor(`document.documentElement.lang === 'ko' && document.querySelector('nav').innerText.includes('개요')`)
		b.do(click("//main//button[normalize-space()='오전/오후']"))
		b.waitFor(`document.querySelector('.display')?.innerText.includes('오전/오후') && localStorage.getItem('sysotel.clock') === 'h12'`)
		b.accessible(false)
		b.photograph("settings")
		b.visit("/?range=5m")
		b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		// When the machine was booted, as the API has it.
		var current struct {
			BootTime time.Time `json:"boot_time"`
		}
		a.get("/api/v1/metrics/current", &current)
		half := "오전"
		if current.BootTime.Local().Hour() >= 12 {
			half = "오후"
		}
		want := half + " " + current.BootTime.Local().Format("03:04")
		if facts := b.text(".facts"); !strings.Contains(facts, want) {
			t.Errorf("the facts are %q, without %q", facts, want)
		}
		b.photograph("korean")
		b.visit("/settings")
		b.do(click("//main//button[normalize-space()='English']"))
		b.waitFor(`document.documentElement.lang === 'en' && document.querySelector('nav').innerText.includes('Overview')`)
	})
	t.Run("keys", func(t *testing.T) {
		b := open(browser, t, a.url, desktop())
		b.visit("/settings")
		b.waitFor(`document.querySelector('.display')`)
		b.do(chromedp.KeyEvent("?"))
		b.waitFor(`document.querySelector('.shortcuts').open && document.querySelectorAll('.shortcuts kbd').length > 10`)
		b.accessible(false)
		b.photograph("open")
		b.do(chromedp.KeyEvent(kb.Escape))
		b.waitFor(`!document.querySelector('.shortcuts').open`)
		// A letter alone does nothing, and none does in a field.
		b.do(chromedp.KeyEvent("a"), chromedp.KeyEvent("g"), chromedp.KeyEvent("p"))
		b.waitFor(`location.pathname === '/processes' && document.querySelector('input[type=search]')`)
		b.do(chromedp.Focus("input[type=search]"), chromedp.KeyEvent("ga?"))
		b.waitFor(`document.querySelector('input[type=search]').value === 'ga?' && location.pathname === '/processes' && !document.querySelector('.shortcuts').open`)
	})
}
