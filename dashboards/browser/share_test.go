package browser

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// queryRange asks the agent for the only series of an expression.
func (a *agent) queryRange(expr string, from, to time.Time, step time.Duration) map[int64]float64 {
	a.tb.Helper()
	query := url.Values{"query": {expr}, "start": {from.Format(time.RFC3339)}, "end": {to.Format(time.RFC3339)}, "step": {step.String()}}
	var answer struct {
		Data struct {
			Result []struct{ Values [][2]any }
		}
	}
	a.get("/prometheus/api/v1/query_range?"+query.Encode(), &answer)
	if len(answer.Data.Result) != 1 {
		a.tb.Fatalf("%s has %d series", expr, len(answer.Data.Result))
	}
	values := map[int64]float64{}
	for _, one := range answer.Data.Result[0].Values {
		v, err := strconv.ParseFloat(one[1].(string), 64)
		if err != nil {
			a.tb.Fatal(err)
		}
		values[int64(one[0].(float64))] = v
	}
	return values
}

// saved waits for a download.
func (b *tab) saved(dir, extension string) *os.File {
	b.Helper()
	var found []string
	await(b, func() (err error) {
		if found, err = filepath.Glob(filepath.Join(dir, "*."+extension)); err == nil && len(found) != 1 {
			err = fmt.Errorf("%d files", len(found))
		}
		return err
	})
	file, err := os.Open(found[0])
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = file.Close() })
	return file
}

// hover waits until the legend of a chart says what is so at a time.
func (b *tab) hover(panel string, c *chart, at float64, is func(legend string) bool) (legend string) {
	b.Helper()
	await(b, func() error {
		b.do(chromedp.MouseEvent("mouseMoved", c.x(at)-3, c.middle()), chromedp.MouseEvent("mouseMoved", c.x(at), c.middle()))
		if legend = b.text("#panel-" + panel + " .legend"); !is(legend) {
			return errors.New(legend)
		}
		return nil
	})
	return legend
}

// TestCompareAndShare: the CPU of this hour beside that of a day before, whose numbers are
// those of the API, then alone on the page, as a file, and with a logarithmic axis.
func TestCompareAndShare(t *testing.T) {
	chrome := startBrowser(t)
	a := newAgent(t, "--host.name=seeded", "--rate-limit.queries.per-second=100")
	end := time.Now().Truncate(time.Hour).Add(-time.Hour)
	a.past("seeded", end.Add(-27*time.Hour), end, func(at time.Time) float64 {
		if at.Before(end.Add(-20 * time.Hour)) {
			return 0.6 + 0.1*float64(at.Minute())/60
		}
		return 0.2 + 0.1*float64(at.Minute())/60
	})
	a.start()
	from, to := end.Add(-time.Hour), end.Add(-10*time.Minute)
	page := "/?from=" + from.UTC().Format(time.RFC3339) + "&to=" + to.UTC().Format(time.RFC3339)
	t.Run("compared", func(t *testing.T) { compareAndShare(t, a, chrome, page, from, to) })
	t.Run("kept", func(t *testing.T) { seeKept(t, a, chrome) })
	t.Run("phone", func(t *testing.T) {
		b := open(chrome, t, a.url, phone())
		b.visit(page + "&compare=1d")
		c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
		b.waitFor(`document.querySelector('#panel-cpu .earlier')?.innerText.startsWith('1 day earlier')`)
		b.tap(c, 0.6)
		b.waitFor(`document.querySelector('#panel-cpu .was')`)
		b.photograph("chart")
		b.do(click(".compare > button"))
		b.accessible(false)
		b.photograph("chooser")
		b.visit("/settings")
		b.waitFor(`document.querySelector('.kept tbody tr')`)
		b.photograph("settings")
	})
}

func compareAndShare(t *testing.T, a *agent, chrome context.Context, page string, from, to time.Time) {
	t.Helper()
	b := open(chrome, t, a.url, desktop())
	b.visit(page)
	c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })

	// Chosen in the page, it is in the address, and each chart has it.
	b.do(click(".compare > button"))
	b.waitFor(`document.querySelector('.compare .popover')`)
	b.accessible(false)
	b.photograph("chooser")
	b.do(click("//*[@class='compare']//button[normalize-space()='Day before']"))
	b.waitFor(`new URLSearchParams(location.search).get('compare') === '1d' && document.querySelector('#panel-cpu .earlier')?.innerText.startsWith('1 day earlier')`)
	step := time.Duration(c.Step) * time.Second
	expr := fmt.Sprintf(`avg_over_time(sysotel_cpu_usage_ratio{host_name="seeded"}[%s])`, step)
	now, before := a.queryRange(expr, from, to, step), a.queryRange(expr, from.Add(-24*time.Hour), to.Add(-24*time.Hour), step)
	at := from.Add(33 * time.Minute)
	v, was := now[at.Unix()], before[at.Unix()-86400]
	if v < 0.2 || v > 0.3 || was < 0.6 || was > 0.7 {
		t.Fatalf("the API has %g, and %g a day before", v, was)
	}
	want := fmt.Sprintf("%.0f%%", 100*v)
	wantWas := fmt.Sprintf("−%.0f points, was %.0f%%", 100*(was-v), 100*was)
	c = b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 })
	legend := b.hover("cpu", c, float64(at.Unix()), func(l string) bool { return strings.Contains(l, want) && strings.Contains(l, wantWas) })
	if day := at.Add(-24 * time.Hour).Format("Jan 2"); !strings.Contains(legend, day) {
		t.Errorf("the legend %q does not say %s", legend, day)
	}
	b.photograph("compared")

	// It is said where there is nothing to compare with, and where that makes no sense.
	b.visit(page + "&compare=7d")
	b.waitFor(`document.querySelector('#panel-cpu .earlier')?.innerText === 'no data 7 days earlier'`)
	b.visit(page + "&compare=yesterday")
	b.waitFor(`document.querySelector('.banner')?.innerText.includes('compare=yesterday')`)

	// As files.
	dir := t.TempDir()
	b.visit(page + "&compare=1d")
	b.waitFor(`document.querySelector('#panel-cpu .earlier')?.innerText.startsWith('1 day earlier')`)
	b.do(browser.SetDownloadBehavior(browser.SetDownloadBehaviorBehaviorAllow).WithDownloadPath(dir))
	b.do(click("#panel-cpu .menu button"))
	b.accessible(false)
	b.photograph("menu")
	b.do(click("//*[@id='panel-cpu']//button[normalize-space()='Save as CSV']"))
	rows, err := csv.NewReader(b.saved(dir, "csv")).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if head := strings.Join(rows[0], "|"); head != "time|busy (ratio)|busy min (ratio)|busy max (ratio)|busy, 1 day earlier (ratio)" {
		t.Errorf("the columns are %s", head)
	}
	if len(rows) < 100 || len(rows)-1 < len(now) {
		t.Errorf("%d rows of %d times", len(rows), len(now))
	}
	for _, row := range rows[1:] {
		at, err := time.Parse(time.RFC3339, row[0])
		if err != nil {
			t.Fatal(err)
		}
		for column, value := range map[int]float64{1: now[at.Unix()], 4: before[at.Unix()-86400]} {
			if got, err := strconv.ParseFloat(row[column], 64); err != nil || got != value {
				t.Errorf("%s: %s, the API has %g", row[0], row[column], value)
			}
		}
	}
	b.do(click("#panel-cpu .menu button"), click("//*[@id='panel-cpu']//button[normalize-space()='Save as PNG']"))
	image, err := png.Decode(b.saved(dir, "png"))
	if err != nil {
		t.Fatal(err)
	}
	colored := 0
	for y := range image.Bounds().Dy() {
		for x := range image.Bounds().Dx() {
			if r, g, b, _ := image.At(x, y).RGBA(); max(r, g, b)-min(r, g, b) > 0x4000 {
				colored++
			}
		}
	}
	if image.Bounds().Dx() < 400 || image.Bounds().Dy() < 250 || colored < 300 {
		t.Errorf("the picture is %v with %d colored pixels", image.Bounds(), colored)
	}

	// Alone on the page, also by its link.
	b.do(click("#panel-cpu .menu button"), click("//*[@id='panel-cpu']//button[normalize-space()='Full screen']"))
	alone := func() {
		t.Helper()
		b.waitFor(`new URLSearchParams(location.search).get('full') === 'cpu' && document.querySelectorAll('main .panel').length === 1`)
		if c := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 }); c.Height < 500 || c.Top+c.Height > 900 {
			t.Errorf("the chart is %.0f high and ends at %.0f of 900", c.Height, c.Top+c.Height)
		}
	}
	alone()
	b.accessible(false)
	b.photograph("alone")
	b.visit(b.address())
	alone()
	b.do(chromedp.KeyEvent(kb.Escape))
	b.waitFor(`document.querySelectorAll('main .panel').length > 5 && !location.search.includes('full=')`)

	// A latency on a logarithmic axis.
	a.ticks(10)
	b.visit("/?range=5m&full=family_duration")
	b.drawn("family_duration", func(c *chart) bool { return c.Ink > 0 })
	b.do(click(".menu button"), click("//main//button[normalize-space()='Logarithmic axis']"))
	b.waitFor(`location.search.includes('log=family_duration') && document.querySelector('#panel-family_duration .plot').dataset.axis === 'log'`)
	b.drawn("family_duration", func(c *chart) bool { return c.Ink > 0 })
	b.photograph("log")
	b.visit("/?full=nosuch")
	b.waitFor(`document.querySelector('main').innerText.includes('There is no chart named nosuch.')`)

}

// seeKept compares what is kept with what the API has.
func seeKept(t *testing.T, a *agent, chrome context.Context) {
	t.Helper()
	b := open(chrome, t, a.url, desktop())
	var storage struct {
		Bytes    int64
		MaxBytes int64 `json:"max_bytes"`
		Tiers    []struct {
			Step      float64 `json:"step_seconds"`
			Retention float64 `json:"retention_seconds"`
			Oldest    time.Time
			Bytes     int64
		}
		Records struct{ Bytes int64 }
	}
	a.get("/api/v1/storage", &storage)
	if sum := storage.Tiers[0].Bytes + storage.Tiers[1].Bytes; storage.MaxBytes != 1<<30 || storage.Bytes < sum || sum == 0 || storage.Records.Bytes == 0 {
		t.Errorf("the storage is %+v", storage)
	}
	b.visit("/settings")
	for i, want := range []string{"Every reading 1 sec", "1 min average", "5 min average", "1 hr average", "Process tables, events"} {
		b.waitFor(fmt.Sprintf(`document.querySelectorAll('.kept tbody tr')[%d]?.innerText.startsWith(%q)`, i, want))
	}
	cell := func(row, column int) (text string) {
		b.eval(fmt.Sprintf(`document.querySelectorAll('.kept tbody tr')[%d].children[%d].innerText`, row, column), &text)
		return strings.TrimSpace(text)
	}
	for i, tier := range storage.Tiers {
		days := "1 day"
		if tier.Retention > 86400 {
			days = fmt.Sprintf("%.0f days", tier.Retention/86400)
		}
		since := tier.Oldest.Local().Format("15:04")
		if got := cell(i, 1); got != days {
			t.Errorf("row %d is kept for %s, not %s", i, got, days)
		}
		if got := cell(i, 2); i > 0 && (tier.Oldest.IsZero() || !strings.Contains(got, since)) {
			t.Errorf("row %d is since %q, not %s", i, got, since)
		}
	}
	b.accessible(false)
	b.photograph("kept")
}
