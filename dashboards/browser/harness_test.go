// Package browser drives the dashboard as a person does: a real Chromium opens
// the pages of the real agent, which measures this machine. What is pure is tested
// in dashboards/web/src, beside the code.
package browser

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a test waits for what takes a moment when all is well.
const patience = time.Minute

// jobVariable has this test program do something else in a process of its own.
const jobVariable = "SYSOTEL_TEST_BROWSER_JOB"

func TestMain(m *testing.M) {
	if os.Getenv(jobVariable) == "burn" {
		burn()
	}
	os.Exit(m.Run())
}

// burn keeps a processor busy until it is killed, or for a minute: nothing of a
// test may outlive it for long.
func burn() {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
	}
	os.Exit(0)
}

// missing ends a test that cannot run here. Where nobody looks at skipped tests
// it fails instead.
func missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("CI") != "" {
		tb.Fatalf("%s, and CI must run this test", what)
	}
	tb.Skip(what)
}

// chromium finds the browser.
func chromium(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(tb, "there is no Chromium; Debian's package chromium has one")
	return ""
}

// await calls f until it returns nil, at most for as long as patience allows.
func await(tb testing.TB, f func() error) {
	tb.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(patience)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			tb.Fatalf("still wrong after %s: %v", patience, err)
		case <-tb.Context().Done():
			tb.Fatal(err)
		}
	}
}

// startBrowser starts Chromium and returns the context in which tabs are opened.
func startBrowser(tb testing.TB) context.Context {
	tb.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium(tb)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("lang", "en-GB"),
		chromedp.WindowSize(1440, 900), chromedp.UserDataDir(tb.TempDir()))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	browser, closeBrowser := chromedp.NewContext(allocated)
	tb.Cleanup(func() {
		_ = chromedp.Cancel(browser) // Waits until the browser has left its directory.
		closeBrowser()
		stop()
	})
	if err := chromedp.Run(browser); err != nil {
		tb.Fatalf("start Chromium: %v", err)
	}
	return browser
}

// tab is a page that a person has open, with all that it
// asked for and complained of.
type tab struct {
	testing.TB
	ctx  context.Context
	site string
	look look

	mu        sync.Mutex
	foreign   []string
	complains []string
}

// look is how big a person's screen is, and what he chose in his system.
type look struct {
	width, height int64
	phone         bool
	scheme        string
	still         bool
}

func desktop() look { return look{width: 1440, height: 900, scheme: "dark"} }
func phone() look   { return look{width: 390, height: 844, phone: true, scheme: "light"} }

// emulate has the browser be so.
func (l look) emulate() chromedp.Action {
	view := []chromedp.EmulateViewportOption{}
	if l.phone {
		view = append(view, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	return chromedp.EmulateViewport(l.width, l.height, view...)
}

// open opens a tab. At its end nothing was asked of another host, and nothing was
// complained of, except what the test allows.
func open(browser context.Context, t testing.TB, site string, l look, allowed ...string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	ctx, expire := context.WithTimeout(ctx, 4*time.Minute)
	b := &tab{TB: t, ctx: ctx, site: site, look: l}
	chromedp.ListenTarget(ctx, b.hear)
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}
	if l.still {
		features = append(features, &emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
	}
	b.do(network.Enable(), log.Enable(), l.emulate(), emulation.SetEmulatedMedia().WithFeatures(features))
	t.Cleanup(func() {
		if t.Failed() {
			b.photograph("failed")
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.foreign) > 0 {
			t.Errorf("the page asked other hosts: %v", b.foreign)
		}
		for _, complaint := range b.complains {
			if !slices.ContainsFunc(allowed, func(a string) bool { return strings.Contains(complaint, a) }) {
				t.Errorf("the browser complains: %s", complaint)
			}
		}
		expire()
		cancel()
	})
	return b
}

// hear takes what the browser tells of the tab.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme+"://"+u.Host != b.site {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.complains = append(b.complains, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			text := string(e.Type)
			for _, arg := range e.Args {
				text += " " + string(arg.Value) + arg.Description
			}
			b.complains = append(b.complains, text)
		}
	case *log.EventEntryAdded:
		// That the test reads what is drawn is no mistake of the page.
		if (e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning) && !strings.Contains(e.Entry.Text, "getImageData") {
			b.complains = append(b.complains, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (b *tab) do(actions ...chromedp.Action) {
	b.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.Fatalf("in the browser: %v", err)
	}
}

// visit opens an address of the site.
func (b *tab) visit(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.site + path))
}

// eval runs a script in the page.
func (b *tab) eval(script string, to any) {
	b.Helper()
	b.do(chromedp.Evaluate(script, to))
}

// text is what a person reads of an element, "" where there is none.
func (b *tab) text(selector string) (text string) {
	b.Helper()
	b.eval(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector), &text)
	return text
}

// waitFor waits until a script is true.
func (b *tab) waitFor(script string) {
	b.Helper()
	await(b, func() error {
		var ok bool
		if err := chromedp.Run(b.ctx, chromedp.Evaluate("!!("+script+")", &ok)); err != nil {
			return err
		}
		if !ok {
			return errors.New(script)
		}
		return nil
	})
}

// address is the path and the query of the page.
func (b *tab) address() (address string) {
	b.Helper()
	b.eval("location.pathname + location.search", &address)
	return address
}

// chart is what a panel's chart says of itself.
type chart struct {
	From, To, Newest, Step   float64
	Left, Top, Width, Height float64 // The plot, in the window.
	First                    float64 // Time of the first value.
	Columns, Ink             int     // Columns of the canvas, and how many of them are drawn in.
}

// chart reads a chart, nil until it is drawn.
func (b *tab) chart(panel string) (c *chart) {
	b.Helper()
	b.eval(fmt.Sprintf(`(() => {
		const plot = document.querySelector('#panel-%s .plot'), over = plot?.querySelector('.u-over'), canvas = plot?.querySelector('canvas')
		if (!over || !plot.dataset.newest) return null
		const box = over.getBoundingClientRect(), { from, to, newest, step, first } = plot.dataset
		// Saturated points are lines: all else is grey.
		const ratio = canvas.width / canvas.clientWidth, at = canvas.getBoundingClientRect()
		const w = Math.floor(box.width * ratio), h = Math.floor(box.height * ratio)
		const { data } = canvas.getContext('2d').getImageData((box.left - at.left) * ratio, (box.top - at.top) * ratio, w, h)
		const inked = new Set()
		for (let i = 0; i < w * h; i++) if (data[4 * i + 3] > 200 && Math.max(data[4*i], data[4*i+1], data[4*i+2]) - Math.min(data[4*i], data[4*i+1], data[4*i+2]) > 60) inked.add(i %% w)
		return { From: +from, To: +to, Newest: +newest, Step: +step, First: +first, Left: box.left, Top: box.top, Width: box.width, Height: box.height, Columns: w, Ink: inked.size }
	})()`, panel), &c)
	return c
}

// drawn waits for a chart and returns it.
func (b *tab) drawn(panel string, is func(*chart) bool) (c *chart) {
	b.Helper()
	await(b, func() error {
		if c = b.chart(panel); c == nil || !is(c) {
			return fmt.Errorf("the chart %s is %+v; the page says %.300q", panel, c, b.text("#panel-"+panel))
		}
		return nil
	})
	return c
}

// x is where a moment stands in the window.
func (c *chart) x(at float64) float64 { return c.Left + (at-c.From)/(c.To-c.From)*c.Width }

func (c *chart) middle() float64 { return c.Top + c.Height/2 }

// drag draws the mouse from one moment of a chart to another.
func (b *tab) drag(c *chart, from, to float64) {
	b.Helper()
	y := c.middle()
	b.do(
		chromedp.MouseEvent("mouseMoved", c.x(from), y),
		chromedp.MouseEvent("mousePressed", c.x(from), y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
		chromedp.MouseEvent("mouseMoved", c.x((from+to)/2), y, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseMoved", c.x(to), y, chromedp.ButtonLeft),
		chromedp.MouseEvent("mouseReleased", c.x(to), y, chromedp.ButtonLeft, chromedp.ClickCount(1)),
	)
}

// photograph keeps a picture of what a person sees of the page, to be looked at, in
// bin/screenshots or where SYSOTEL_TEST_SCREENSHOTS says.
func (b *tab) photograph(name string) {
	b.Helper()
	b.keepPicture(name, page.CaptureScreenshot())
}

// photographAll keeps a picture of the page as a screen shows it that is tall enough.
func (b *tab) photographAll(name string) {
	b.Helper()
	tall := b.look
	b.eval(`document.documentElement.scrollHeight`, &tall.height)
	b.do(tall.emulate())
	b.waitFor(`!document.querySelector('main').innerText.includes('Loading') && [...document.querySelectorAll('.plot')].every((p) => p.dataset.newest)`)
	b.keepPicture(name, page.CaptureScreenshot())
	b.do(b.look.emulate())
}

func (b *tab) keepPicture(name string, of *page.CaptureScreenshotParams) {
	b.Helper()
	dir := os.Getenv("SYSOTEL_TEST_SCREENSHOTS")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin", "screenshots")
	}
	var picture []byte
	err := chromedp.Run(b.ctx, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		picture, err = of.Do(ctx)
		return err
	}))
	if err == nil {
		err = os.MkdirAll(dir, 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(b.Name(), "/", "-")+"-"+name+".png"), picture, 0o600)
	}
	if err != nil {
		b.Errorf("keep a picture of the page: %v", err)
	}
}

// accessible has axe-core look at the page, or at its contrast alone, where all else
// was looked at in other colours.
func (b *tab) accessible(contrastOnly bool) {
	b.Helper()
	axe, err := os.ReadFile("../web/node_modules/axe-core/axe.min.js")
	if err != nil {
		b.Fatal(err)
	}
	only := ""
	if contrastOnly {
		only = ", runOnly: ['color-contrast']"
	}
	b.eval(string(axe)+";0", nil)
	var found []string
	b.do(chromedp.Evaluate(`axe.run(document, { resultTypes: ['violations']`+only+` }).then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => v.id + ': ' + v.nodes.map((n) => n.target + ' ' + n.failureSummary).join('; ')))`, &found, awaitPromise))
	for _, f := range found {
		b.Errorf("%s: %.600s", b.address(), f)
	}
}

// awaitPromise has a script's promise be waited for.
func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams {
	return p.WithAwaitPromise(true)
}

// tap touches a chart at so much of its width.
func (b *tab) tap(c *chart, part float64) {
	b.Helper()
	point := []*input.TouchPoint{{X: c.Left + part*c.Width, Y: c.middle()}}
	b.do(input.DispatchTouchEvent(input.TouchStart, point), input.DispatchTouchEvent(input.TouchEnd, []*input.TouchPoint{}))
}

// click clicks on what can be seen and has come to rest: a page that is still
// loading moves things away from under the mouse.
func click(selector string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var at [2]float64
		err := chromedp.Evaluate(fmt.Sprintf(`(async (selector) => {
			const find = () => selector.startsWith('//') ? document.evaluate(selector, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE).singleNodeValue : document.querySelector(selector)
			const end = performance.now() + %d
			for (let before = '', same = 0; performance.now() < end;) {
				await new Promise(requestAnimationFrame)
				const element = find()
				element?.scrollIntoViewIfNeeded()
				const { x, y, width, height } = element?.getBoundingClientRect() ?? {}
				const middle = [x + width / 2, y + height / 2]
				const free = width > 0 && element.contains(document.elementFromPoint(...middle))
				const box = [x, y, width, height].join()
				same = free && box === before ? same + 1 : 0
				before = box
				if (same === 5) return middle
			}
			throw new Error(selector + ' is not there, is covered or does not come to rest')
		})(%q)`, patience.Milliseconds(), selector), &at, awaitPromise).Do(ctx)
		if err != nil {
			return err
		}
		return chromedp.MouseClickXY(at[0], at[1]).Do(ctx)
	})
}

// button finds a button by what is written on it.
func button(text string) string { return fmt.Sprintf("//main//button[normalize-space()=%q]", text) }

// field finds what is filled in under a name.
func field(name string) string {
	return fmt.Sprintf("//label[span=%q]//*[self::input or self::select or self::textarea]", name)
}

// fill writes into a field in place of what is in it.
func (b *tab) fill(selector, text string) {
	b.Helper()
	b.do(chromedp.Focus(selector), chromedp.Evaluate("document.activeElement.select()", nil))
	if text == "" {
		text = kb.Delete
	}
	b.do(chromedp.KeyEvent(text))
}
