package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxClients is how many clients are remembered; the least recently seen is
// forgotten first and starts over with a full burst.
const maxClients = 10_000

// Limits for wrong credentials; beyond them the status is 429.
const (
	failuresPerSecond = 1
	failuresAtOnce    = 20
)

// rates limits the requests of each client.
type rates struct {
	config  RateLimitConfig
	proxies proxies

	mu      sync.Mutex
	clients *simplelru.LRU[clientKey, *allowance]
	// streams counts the open streams of each client that has any.
	streams map[clientKey]int
}

// allowance has the limiters of one client.
type allowance struct{ requests, queries, failures *rate.Limiter }

// newRates returns the limits of a server.
func newRates(c RateLimitConfig, p proxies) *rates {
	clients, err := simplelru.NewLRU[clientKey, *allowance](maxClients, nil)
	if err != nil { // Only for a size that is not positive.
		panic(err)
	}
	return &rates{config: c, proxies: p, clients: clients, streams: map[clientKey]int{}}
}

// limit is middleware that rejects requests beyond the limits. The cost decides
// which limit applies.
func (l *rates) limit(cost Cost, next http.HandlerFunc) http.HandlerFunc {
	if l == nil || !l.config.Enabled {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		key, counted := l.proxies.key(r)
		if !counted {
			next(w, r)
			return
		}
		if !l.spend(w, key, cost) {
			return
		}
		if cost == Stream {
			if !l.openStream(key) {
				refuseRate(w, streamPause, fmt.Sprintf("A client may have at most %d live streams open; close one first.", l.config.Streams))
				return
			}
			defer l.closeStream(key)
		}
		next(w, r)
	}
}

// spend counts a request. It returns false if the limit is exceeded, and has
// responded then.
func (l *rates) spend(w http.ResponseWriter, key clientKey, cost Cost) bool {
	a, what := l.of(key), "requests"
	limiter := a.requests
	if cost == Query {
		limiter, what = a.queries, "queries"
	}
	now := time.Now()
	if limiter.AllowN(now, 1) {
		return true
	}
	refuseRate(w, untilNext(limiter, now), fmt.Sprintf("This client sends too many requests: the limit is %g %s per second, with bursts of %d.",
		float64(limiter.Limit()), what, limiter.Burst()))
	return false
}

// failed counts wrong credentials from the request's address. It returns true if
// there were too many, and has responded then; otherwise the caller responds with
// 401. It runs after the check of the credentials: before it, an attacker could
// lock out clients that share the address.
func (l *rates) failed(w http.ResponseWriter, r *http.Request) bool {
	addr := clientNetwork(l.proxies.client(r))
	if !addr.IsValid() || !l.config.Enabled {
		return false
	}
	limiter, now := l.of(clientKey{addr: addr}).failures, time.Now()
	if limiter.AllowN(now, 1) {
		return false
	}
	refuseRate(w, untilNext(limiter, now), "Too many requests with wrong credentials from this address.")
	return true
}

// of returns the allowance of a client; a new client has a full one.
func (l *rates) of(key clientKey) *allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a, known := l.clients.Get(key); known {
		return a
	}
	a := &allowance{
		requests: rate.NewLimiter(rate.Limit(l.config.Requests.PerSecond), l.config.Requests.Burst),
		queries:  rate.NewLimiter(rate.Limit(l.config.Queries.PerSecond), l.config.Queries.Burst),
		failures: rate.NewLimiter(failuresPerSecond, failuresAtOnce),
	}
	l.clients.Add(key, a)
	return a
}

// streamPause is the Retry-After for streams, which end at any time.
const streamPause = 10 * time.Second

// openStream counts one more stream of a client, unless it has reached the limit.
func (l *rates) openStream(key clientKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[key] >= l.config.Streams {
		return false
	}
	l.streams[key]++
	return true
}

// closeStream counts one less.
func (l *rates) closeStream(key clientKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[key]--; l.streams[key] == 0 {
		delete(l.streams, key)
	}
}

// untilNext is the time until a limiter allows one more request.
func untilNext(limiter *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limiter.TokensAt(now)
	return time.Duration(missing / float64(limiter.Limit()) * float64(time.Second))
}

// refuseRate responds with 429.
func refuseRate(w http.ResponseWriter, wait time.Duration, detail string) {
	w.Header()["Retry-After"] = []string{seconds(wait)}
	writeProblem(w, http.StatusTooManyRequests, detail)
}

// seconds formats a time for the header Retry-After, rounded up to whole seconds.
func seconds(wait time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}
