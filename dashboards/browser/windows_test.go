package browser

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/page"
)

// TestWindows: more windows than a browser has connections to one site are all live, on
// one stream.
func TestWindows(t *testing.T) {
	browser := startBrowser(t)
	a := startAgent(t)
	a.ticks(3)
	s := spoil(t, a)
	var streams atomic.Int64
	s.set(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/stream") {
			streams.Add(1)
			go func() {
				<-r.Context().Done()
				streams.Add(-1)
			}()
		}
		return false
	})
	const windows = 8
	tabs := make([]*tab, windows)
	for i := range tabs {
		tabs[i] = open(browser, t, s.URL, desktop())
		tabs[i].visit("/?range=5m")
		tabs[i].waitFor(`document.querySelector('.page-footer .lag')`)
	}
	for _, b := range tabs {
		b.do(page.BringToFront()) // Only a window that is seen is drawn.
		before := b.drawn("cpu", func(c *chart) bool { return c.Ink > 0 }).Newest
		b.drawn("cpu", func(c *chart) bool { return c.Newest > before })
		await(t, func() error {
			if n := streams.Load(); n != 1 {
				return fmt.Errorf("%d streams", n)
			}
			return nil
		})
	}
}
