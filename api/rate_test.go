package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// smallLimits are the limits of most tests.
var smallLimits = RateLimitConfig{Enabled: true, Requests: Pace{10, 20}, Queries: Pace{2, 4}, Streams: 2, Logins: 5}

// knock sends a request through a limit and returns the response.
func knock(h http.Handler, peer string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, requestFrom(peer))
	return w
}

// retryAfter is the header of a response, 0 if there is none.
func retryAfter(t *testing.T, w *httptest.ResponseRecorder) time.Duration {
	t.Helper()
	if w.Code != http.StatusTooManyRequests {
		return 0
	}
	detail, _ := problemOf(t, w, http.StatusTooManyRequests)
	seconds, err := strconv.Atoi(w.Header().Get("Retry-After"))
	if err != nil || seconds < 1 {
		t.Fatalf("Retry-After is %q: %s", w.Header().Get("Retry-After"), detail)
	}
	return time.Duration(seconds) * time.Second
}

func answerOK(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

func TestRateIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRates(smallLimits, nil)
		cheap, query := l.limit(Cheap, answerOK), l.limit(Query, answerOK)
		pass := func(h http.Handler, peer string) (n int) {
			for range 100 {
				if knock(h, peer).Code == http.StatusOK {
					n++
				}
			}
			return n
		}
		if got := pass(cheap, "192.0.2.1:1"); got != 20 {
			t.Errorf("%d of 100 came through at once, want the burst of 20", got)
		}
		if got := pass(query, "192.0.2.1:1"); got != 4 {
			t.Errorf("%d queries of 100 came through, want the burst of 4 although no request is left", got)
		}
		if got := pass(cheap, "192.0.2.1:2"); got != 0 {
			t.Error("another port is taken for another client")
		}
		if got := pass(cheap, "192.0.2.2:1"); got != 20 {
			t.Errorf("another client has %d", got)
		}
		if got := pass(cheap, "@"); got != 100 {
			t.Errorf("the Unix socket has %d of 100", got)
		}
		time.Sleep(time.Second)
		if got := pass(cheap, "192.0.2.1:1"); got != 10 {
			t.Errorf("a second later %d came through, want 10", got)
		}
		time.Sleep(time.Minute)
		if got := pass(cheap, "192.0.2.1:1"); got != 20 {
			t.Errorf("after a pause %d came through, want the burst of 20", got)
		}
		pass(cheap, "[2001:db8::1]:1")
		if got := pass(cheap, "[2001:db8::ffff:1]:1"); got != 0 {
			t.Error("another address of the same /64 is taken for another client")
		}
	})
}

// A client that waits for Retry-After is admitted; one second earlier it is not.
func TestRetryAfterIsRight(t *testing.T) {
	for _, perSecond := range []int{1, 2, 3, 7, 20, 100} {
		synctest.Test(t, func(t *testing.T) {
			c := smallLimits
			c.Requests = Pace{perSecond, 3 * perSecond}
			h := newRates(c, nil).limit(Cheap, answerOK)
			for range 50 {
				var wait time.Duration
				for wait == 0 {
					wait = retryAfter(t, knock(h, "192.0.2.1:1"))
				}
				time.Sleep(wait)
				if got := retryAfter(t, knock(h, "192.0.2.1:1")); got != 0 {
					t.Fatalf("%d a second: after waiting for %s another %s was asked for", perSecond, wait, got)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		limiter := newLoginLimiter(5)
		addr := netip.MustParseAddr("192.0.2.1")
		for range 40 {
			wait, ok := limiter.allow(addr, "alice")
			if ok {
				continue
			}
			time.Sleep(wait - time.Nanosecond)
			if _, early := limiter.allow(addr, "alice"); early {
				t.Errorf("let in before the %s were over", wait)
			}
			time.Sleep(time.Nanosecond)
			if again, in := limiter.allow(addr, "alice"); !in {
				t.Errorf("after waiting for %s another %s was asked for", wait, again)
			}
		}
	})
}

func TestStreamsOfOneClient(t *testing.T) {
	l := newRates(smallLimits, nil)
	end := make(chan struct{})
	begun := make(chan struct{}, 10)
	h := l.limit(Stream, func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-end
	})
	ended := make(chan int, 10)
	open := func(peer string) { ended <- knock(h, peer).Code }
	for range smallLimits.Streams {
		go open("192.0.2.1:1")
		<-begun
	}
	if got := retryAfter(t, knock(h, "192.0.2.1:2")); got != streamPause {
		t.Errorf("one stream too many gets Retry-After %s", got)
	}
	go open("192.0.2.2:1")
	<-begun
	close(end)
	for range smallLimits.Streams + 1 {
		if code := <-ended; code != http.StatusOK {
			t.Errorf("a stream ended with %d", code)
		}
	}
	if w := knock(h, "192.0.2.1:1"); w.Code != http.StatusOK || len(l.streams) != 0 {
		t.Errorf("when all are over: %d, still counted %v", w.Code, l.streams)
	}
}

// Wrong credentials are counted separately from requests.
func TestTooManyWrongCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newRates(smallLimits, nil)
		refused := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !l.failed(w, r) {
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		for i := range failuresAtOnce {
			if w := knock(refused, "192.0.2.1:1"); w.Code != http.StatusUnauthorized {
				t.Fatalf("failure %d: %d", i, w.Code)
			}
		}
		wait := retryAfter(t, knock(refused, "192.0.2.1:1"))
		if wait != time.Second {
			t.Errorf("told to wait for %s", wait)
		}
		if w := knock(l.limit(Cheap, answerOK), "192.0.2.1:1"); w.Code != http.StatusOK {
			t.Errorf("others at the address got %d", w.Code)
		}
		if w := knock(refused, "192.0.2.2:1"); w.Code != http.StatusUnauthorized {
			t.Errorf("another address got %d", w.Code)
		}
		time.Sleep(wait)
		if w := knock(refused, "192.0.2.1:1"); w.Code != http.StatusUnauthorized {
			t.Errorf("after waiting: %d", w.Code)
		}
	})
}

// Every route has a limit, which follows from its cost.
func TestEveryRouteIsLimited(t *testing.T) {
	s := newTestServer(t, ticked(), func(o *Options) {
		o.RateLimit = smallLimits
		o.RateLimit.Requests, o.RateLimit.Queries = Pace{1, 3}, Pace{1, 2}
	})
	routes := append(s.Routes(), Route{Method: "GET", Path: "/nowhere"}, Route{Method: "BREW", Path: "/"})
	for i, route := range routes {
		passed := 0
		for range 10 {
			// The context has ended, so that streams end too.
			ctx, cancel := context.WithCancel(withCaller(t.Context(), Caller{}))
			cancel()
			r := requestFrom(fmt.Sprintf("192.0.2.%d:1", i)).WithContext(ctx)
			r.Method, r.URL.Path, r.Host = route.Method, strings.NewReplacer("{$}", "", "{path...}", "query").Replace(route.Path), "localhost"
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if retryAfter(t, w) == 0 {
				passed++
			}
		}
		if want := map[Cost]int{Cheap: 3, Stream: 3, Query: 2}[route.Access.Cost]; passed != want {
			t.Errorf("%s %s, %s: %d of 10 came through, want %d", route.Method, route.Path, route.Access.Cost, passed, want)
		}
	}
}

func TestNoLimits(t *testing.T) {
	h := newRates(RateLimitConfig{}, nil).limit(Query, answerOK)
	for range 1000 {
		if w := knock(h, "192.0.2.1:1"); w.Code != http.StatusOK {
			t.Fatalf("limited although that is turned off: %d", w.Code)
		}
	}
}

// Many addresses do not grow the agent's memory.
func TestManyClients(t *testing.T) {
	l, logins := newRates(smallLimits, nil), newLoginLimiter(5)
	for i := range 100_000 {
		addr := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i)})
		l.of(clientKey{addr: addr})
		logins.allow(addr, strconv.Itoa(i))
		logins.succeeded(addr, strconv.Itoa(i))
	}
	if n := l.clients.Len(); n != maxClients {
		t.Errorf("%d clients are remembered, want %d", n, maxClients)
	}
	if n := logins.known.Len(); n != maxKnownNames {
		t.Errorf("%d names are remembered, want %d", n, maxKnownNames)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 32<<20 {
		t.Errorf("%d MB are in use", m.HeapAlloc>>20)
	}
	runtime.KeepAlive(l)
	runtime.KeepAlive(logins)
}

// BenchmarkRate is the cost of the limit per request.
func BenchmarkRate(b *testing.B) {
	c := smallLimits
	c.Requests = Pace{1_000_000_000, 1_000_000_000} // None is rejected.
	for name, forwarded := range map[string][]string{"direct": nil, "proxied": {"203.0.113.9, 198.51.100.7"}} {
		b.Run(name, func(b *testing.B) {
			p := newProxies(HTTPConfig{BehindProxy: forwarded != nil})
			h := newRates(c, p).limit(Cheap, func(http.ResponseWriter, *http.Request) {})
			r, w := requestFrom("127.0.0.1:40000", forwarded...), httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				h(w, r)
			}
		})
	}
}
