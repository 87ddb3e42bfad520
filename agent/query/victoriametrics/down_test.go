package victoriametrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"sysotel/agent/query"
	"sysotel/agent/query/victoriametrics"
	"sysotel/agent/store"
)

const goodLine = `{"metric":{"__name__":"g","host_name":"h"},"values":[1,null,"Infinity"],"timestamps":[%d,%d,%d]}`

// newNode returns a node of the finest tier that responds by a handler.
func newNode(t *testing.T, change func(*victoriametrics.Options), handler http.HandlerFunc) *victoriametrics.Node {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The server notices a disconnected client only after the whole request.
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	o := victoriametrics.Options{URL: server.URL, Tier: store.TierConfig{Resolution: time.Second, Retention: 24 * time.Hour}}
	if change != nil {
		change(&o)
	}
	node, err := victoriametrics.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() }) // It gives connections back and cannot fail.
	return node
}

// selectG reads one series of the last hour.
func selectG(ctx context.Context, node *victoriametrics.Node) (int, error) {
	now := time.Now().UnixMilli()
	q, err := node.Queryable().Querier(now-3_600_000, now)
	if err != nil {
		return 0, err
	}
	set := q.Select(ctx, true, &storage.SelectHints{Start: now - 3_600_000, End: now}, labels.MustNewMatcher(labels.MatchEqual, "__name__", "g"))
	n := 0
	for set.Next() {
		n++
	}
	return n, errors.Join(set.Err(), q.Close())
}

// TestInvalidResponsesAreErrors: after any invalid response the node is down with a
// reason, is not requested for a moment, and its data is discarded.
func TestInvalidResponsesAreErrors(t *testing.T) {
	f := func(name, want string, handler http.HandlerFunc) {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			node := newNode(t, func(o *victoriametrics.Options) { o.Timeout = 300 * time.Millisecond }, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				handler(w, r)
			})
			n, err := selectG(t.Context(), node)
			var failed *query.Error
			if n != 0 || !errors.As(err, &failed) || failed.Type != query.Unavailable || !strings.Contains(err.Error(), want) {
				t.Errorf("%d series, %v; want an error of type %s with %q", n, err, query.Unavailable, want)
			}
			if down := node.Down(); down == nil || !strings.Contains(down.Error(), want) {
				t.Errorf("it is away for %v, want %q", down, want)
			}
			before := asked.Load()
			if _, again := selectG(t.Context(), node); again == nil || again.Error() != err.Error() || asked.Load() != before {
				t.Errorf("asked again at once: %v, with %d requests", again, asked.Load()-before)
			}
		})
	}
	says := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }
	}
	refuses := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, status) }
	}
	now := time.Now().UnixMilli()
	line := fmt.Sprintf(goodLine, now-3000, now-2000, now-1000)
	f("400", "400 Bad Request: cannot parse match[]", refuses(http.StatusBadRequest, "cannot parse match[]"))
	f("503", "503 Service Unavailable: too busy", refuses(http.StatusServiceUnavailable, "too busy\x1b[31m"))
	f("404 of something else", "404 Not Found", http.NotFound)
	f("elsewhere", "302 Found", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
	})
	f("a page", "invalid response", says("<html><body>Welcome</body></html>"))
	f("a number", "invalid response", says("17"))
	f("an object", "invalid response", says(`{"status":"success","data":[]}`))
	f("cut off", "invalid response", says(line[:len(line)-4]))
	f("cut off after a line", "invalid response", says(line+"\n"+line[:20]))
	f("an error after a line", "invalid response", says(line+"\nremoteAddr: cannot read a block\n"))
	f("less values than times", "invalid response", says(strings.Replace(line, "1,null", "null", 1)))
	f("words for values", "invalid response", says(strings.Replace(line, "Infinity", "many", 1)))
	f("back in time", "out of order", says(fmt.Sprintf(goodLine, now-1000, now-2000, now-3000)))
	f("silence", "no complete response within 300ms", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f("silence after a line", "no complete response within 300ms", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, line+"\n")
		_ = http.NewResponseController(w).Flush() // The test fails if it cannot.
		<-r.Context().Done()
	})
	f("a connection cut", "EOF", func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = connection.Close() // That is the point.
		}
	})
}

// TestNoListener: nothing listens on the port.
func TestNoListener(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	node, err := victoriametrics.New(victoriametrics.Options{URL: server.URL, Tier: store.TierConfig{Resolution: time.Minute, Retention: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	if !node.Oldest().IsZero() || node.Down() == nil || !strings.Contains(node.Down().Error(), "refused") {
		t.Errorf("it reaches back to %s and is away for %v", node.Oldest(), node.Down())
	}
	if _, err := selectG(t.Context(), node); err == nil || !strings.Contains(err.Error(), "VictoriaMetrics does not respond for tier 1m: ") {
		t.Errorf("it answers %v", err)
	}
}

// TestNoTLS: the configuration says https, the node does not.
func TestNoTLS(t *testing.T) {
	plain := newNode(t, nil, http.NotFound)
	node, err := victoriametrics.New(victoriametrics.Options{URL: "https://" + plain.Address(), Tier: store.TierConfig{Resolution: time.Second, Retention: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := selectG(t.Context(), node); err == nil || !strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		t.Errorf("it answers %v", err)
	}
}

// TestGoodResponseEndsBackoff: a check finds that a node responds again.
func TestGoodResponseEndsBackoff(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	node := newNode(t, nil, func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().UnixMilli()
		switch {
		case broken.Load():
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		case r.URL.Path == "/api/v1/export":
			fmt.Fprintf(w, goodLine+"\n", now-3000, now-2000, now-1000)
		default:
			fmt.Fprint(w, `{"status":"success","data":[]}`)
		}
	})
	if _, err := selectG(t.Context(), node); err == nil {
		t.Error("a broken node answers")
	}
	broken.Store(false)
	node.Check(t.Context())
	if n, err := selectG(t.Context(), node); n != 1 || err != nil || node.Down() != nil {
		t.Errorf("%d series, %v, away for %v", n, err, node.Down())
	}
}

// TestCanceledRequestSaysNothingOfTheNode: the node is requested again after a
// client disconnected.
func TestCanceledRequestSaysNothingOfTheNode(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	node := newNode(t, nil, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := selectG(ctx, node); !errors.Is(err, context.Canceled) || node.Down() != nil {
		t.Errorf("%v, and the node is away for %v", err, node.Down())
	}
}

// TestTooMuchIsRefused: a response that is too large is an error of the query, not
// of the node.
func TestTooMuchIsRefused(t *testing.T) {
	node := newNode(t, func(o *victoriametrics.Options) { o.MaxBytes = 2000 }, func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now().UnixMilli()
		for i := range 100 {
			fmt.Fprintf(w, strings.Replace(goodLine, `"h"`, fmt.Sprintf(`"h%d"`, i), 1)+"\n", now-3000, now-2000, now-1000)
		}
	})
	_, err := selectG(t.Context(), node)
	var failed *query.Error
	if !errors.As(err, &failed) || failed.Type != query.Execution || node.Down() != nil {
		t.Errorf("%v, and the node is away for %v", err, node.Down())
	}
}

// TestCostlyQuestionsSayNothingOfTheNode: a node that refuses a question, or takes too
// long for it, and answers others is available for those.
func TestCostlyQuestionsSayNothingOfTheNode(t *testing.T) {
	f := func(name string, want query.ErrorType, words string, handler http.HandlerFunc) {
		t.Run(name, func(t *testing.T) {
			node := newNode(t, func(o *victoriametrics.Options) { o.Timeout = 300 * time.Millisecond }, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api/v1/query" {
					fmt.Fprint(w, `{"status":"success","data":{}}`)
					return
				}
				handler(w, r)
			})
			for range 2 { // It is asked again at once.
				_, err := selectG(t.Context(), node)
				var failed *query.Error
				if !errors.As(err, &failed) || failed.Type != want || !strings.Contains(err.Error(), words) {
					t.Errorf("%v; want an error of type %s with %q", err, want, words)
				}
				if node.Down() != nil {
					t.Errorf("it is away for %v", node.Down())
				}
			}
		})
	}
	f("too many series", query.Execution, "the number of matching timeseries exceeds 30000", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the number of matching timeseries exceeds 30000", http.StatusUnprocessableEntity)
	})
	f("too slow", query.Timeout, "no complete response within 300ms", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f("too many questions", query.Unavailable, "it has too many requests", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "couldn't start", http.StatusTooManyRequests)
	})
}

// TestTheNodesTimes: what it may have is by the clock that samples are by, which need not
// be the wall clock.
func TestTheNodesTimes(t *testing.T) {
	now := time.Date(2020, 1, 1, 0, 0, 30, 0, time.UTC)
	node := newNode(t, func(o *victoriametrics.Options) { o.Now = func() time.Time { return now } }, func(http.ResponseWriter, *http.Request) {})
	if newest := node.Newest(); newest.After(now) || now.Sub(newest) > time.Minute {
		t.Errorf("the newest sample is of %s", newest)
	}
}
