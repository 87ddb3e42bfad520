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

// maxClients is how many clients are remembered; the one that was silent for the
// longest goes first. One that is forgotten begins with a whole burst, as one
// that comes for the first time does: that costs less than memory without bound.
const maxClients = 10_000

// Wrong credentials are refused at this pace; beyond it the answer is 429.
const (
	failuresPerSecond = 1
	failuresAtOnce    = 20
)

// rates counts what each client asks for and refuses what is too much.
type rates struct {
	config  RateLimitConfig
	proxies proxies

	mu      sync.Mutex
	clients *simplelru.LRU[clientKey, *allowance]
	// streams counts the open streams of a client. It has an entry only while one
	// is open, so that the bound on all streams bounds it.
	streams map[clientKey]int
}

// allowance is what a client may still ask for.
type allowance struct{ requests, queries, failures *rate.Limiter }

// newRates makes the limits of a server.
func newRates(c RateLimitConfig, p proxies) *rates {
	clients, err := simplelru.NewLRU[clientKey, *allowance](maxClients, nil)
	if err != nil { // Only for a size that is not positive.
		panic(err)
	}
	return &rates{config: c, proxies: p, clients: clients, streams: map[clientKey]int{}}
}

// through lets a request pass that its client may still make. What the request
// costs decides what it is counted for.
func (l *rates) through(cost Cost, next http.HandlerFunc) http.HandlerFunc {
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

// spend takes a request from what its client has. It returns false where
// nothing was left, and has answered.
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

// failed counts wrong credentials of a request's address. It returns true where
// there were too many, and has answered; else the caller answers 401. It stands
// behind the check of the credentials, which costs less than an answer does:
// before it, whoever guesses would lock out the clients that share his address.
func (l *rates) failed(w http.ResponseWriter, r *http.Request) bool {
	addr := subscriber(l.proxies.client(r))
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

// of is what a client may still ask for; a new client has everything.
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

// streamPause is when to ask again for a stream: nobody knows when one ends.
const streamPause = 10 * time.Second

// openStream counts one more stream of a client unless it has all that it may.
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

// untilNext is how long it takes until a limiter lets one more pass.
func untilNext(limiter *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - limiter.TokensAt(now)
	return time.Duration(missing / float64(limiter.Limit()) * float64(time.Second))
}

// refuseRate answers 429.
func refuseRate(w http.ResponseWriter, wait time.Duration, detail string) {
	w.Header()["Retry-After"] = []string{seconds(wait)}
	writeProblem(w, http.StatusTooManyRequests, detail)
}

// seconds is a time as the header Retry-After has it, in whole seconds: whoever
// waits for as long as it says is let through.
func seconds(wait time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(wait.Seconds()))))
}
