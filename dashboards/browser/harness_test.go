// Package browser tests the dashboard in a real Chromium with the real agent, which
// measures this machine. Pure code is tested in dashboards/web/src.
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

// patience is the timeout of a wait.
const patience = time.Minute

// jobVariable makes this test program do another job in a child process.
const jobVariable = "SYSOTEL_TEST_BROWSER_JOB"

func TestMain(m *testing.M) {
	if os.Getenv(jobVariable) == "burn" {
		burn()
	}
	code := m.Run()
	if dir, err := programDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// programDir is where the agent is built, once for all tests.
var programDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "sysotel") })

// burn keeps a processor busy until it is killed, for at most a minute.
func burn() {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
	}
	os.Exit(0)
}

// missing skips a test that cannot run here; in CI it fails.
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

// await calls f until it returns nil, or fails after patience.
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

// startBrowser starts Chromium and returns the context for tabs.
func startBrowser(tb testing.TB, more ...chromedp.ExecAllocatorOption) context.Context {
	tb.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(chromium(tb)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("lang", "en-GB"),
		chromedp.WindowSize(1440, 900), chromedp.UserDataDir(tb.TempDir()))
	allocated, stop := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
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

// tab is an open page, with its foreign requests and logged errors.
type tab struct {
	testing.TB
	ctx  context.Context
	site string
	look look
	// anywhere is set where requests to other hosts are what the test is about.
	anywhere bool

	mu        sync.Mutex
	foreign   []string
	complains []string
}

// look is the user's screen and preferences.
type look struct {
	width, height int64
	phone         bool
	scheme        string
	still         bool
}

func desktop() look { return look{width: 1440, height: 900, scheme: "dark"} }
func phone() look   { return look{width: 390, height: 844, phone: true, scheme: "light"} }

// emulate applies the screen to the browser.
func (l look) emulate() chromedp.Action {
	view := []chromedp.EmulateViewportOption{}
	if l.phone {
		view = append(view, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulateScale(2))
	}
	return chromedp.EmulateViewport(l.width, l.height, view...)
}

// open opens a tab. At the end it fails on requests to other hosts, and on logged errors
// that are not allowed.
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
		if len(b.foreign) > 0 && !b.anywhere {
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

// hear handles browser events of the tab.
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
		// Reading the canvas in tests logs a warning.
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

// text returns the visible text of an element, "" if there is none.
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

// address returns the path and query of the page.
func (b *tab) address() (address string) {
	b.Helper()
	b.eval("location.pathname + location.search", &address)
	return address
}

// chart is the state of a panel's chart.
type chart struct {
	From, To, Newest, Step   float64
	Left, Top, Width, Height float64 // The plot, in the window.
	First                    float64 // Time of the first value.
	Columns, Ink             int     // Columns of the canvas, and how many are drawn in.
}

// chart reads a chart, nil until it is drawn.
func (b *tab) chart(panel string) (c *chart) {
	b.Helper()
	b.eval(fmt.Sprintf(`(() => {
		const plot = document.querySelector('#panel-%s .plot'), over = plot?.querySelector('.u-over'), canvas = plot?.querySelector('canvas')
		if (!over || !plot.dataset.newest) return null
		const box = over.getBoundingClientRect(), { from, to, newest, step, first } = plot.dataset
		// Saturated pixels are lines; the rest is grey.
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

// x returns the window position of a time.
func (c *chart) x(at float64) float64 { return c.Left + (at-c.From)/(c.To-c.From)*c.Width }

func (c *chart) middle() float64 { return c.Top + c.Height/2 }

// drag drags the mouse from one time of a chart to another.
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

// photograph saves a screenshot in bin/screenshots or SYSOTEL_TEST_SCREENSHOTS.
func (b *tab) photograph(name string) {
	b.Helper()
	b.keepPicture(name, page.CaptureScreenshot())
}

// photographAll saves a screenshot of the whole page.
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

// accessible checks the page with axe-core, or only its contrast if the rest was checked
// in other colors.
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

// awaitPromise waits for a script's promise.
func awaitPromise(p *runtime.EvaluateParams) *runtime.EvaluateParams {
	return p.WithAwaitPromise(true)
}

// tap touches a chart at a part of its width.
func (b *tab) tap(c *chart, part float64) {
	b.Helper()
	point := []*input.TouchPoint{{X: c.Left + part*c.Width, Y: c.middle()}}
	b.do(input.DispatchTouchEvent(input.TouchStart, point), input.DispatchTouchEvent(input.TouchEnd, []*input.TouchPoint{}))
}

// click clicks on an element once it is visible and at rest: a loading page moves elements.
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

// button finds a button by its text.
func button(text string) string { return fmt.Sprintf("//main//button[normalize-space()=%q]", text) }

// field finds a form field by its label.
func field(name string) string {
	return fmt.Sprintf("//label[span=%q]//*[self::input or self::select or self::textarea]", name)
}

// fill replaces the value of a field.
func (b *tab) fill(selector, text string) {
	b.Helper()
	b.do(chromedp.Focus(selector), chromedp.Evaluate("document.activeElement.select()", nil))
	if text == "" {
		text = kb.Delete
	}
	b.do(chromedp.KeyEvent(text))
}
