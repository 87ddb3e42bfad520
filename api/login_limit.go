package api

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// After the attempts that are free, each further one waits for twice as long as
// the one before. One attempt is forgotten every forgetTime.
const (
	shortestWait = time.Second
	longestWait  = 15 * time.Minute
	forgetTime   = 15 * time.Minute
)

// loginLimiter slows down whoever guesses passwords.
//
// An address has a few attempts, whatever the names, and then waits; so has a
// name, from wherever it is tried, so that many addresses guess no faster than
// one. That alone would let anybody lock a user out by trying his name. So an
// address from which a user has logged in has attempts of its own for his name,
// which nobody elsewhere can use up. A user at a new address while his name is
// attacked needs patience, a session that he still has, or the Unix socket.
//
// A success gives back its own attempt and no others: somebody with an account
// of his own would else log in between two guesses at another's.
type loginLimiter struct {
	// free is how many attempts come without a wait.
	free int
	seed maphash.Seed

	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Addr, *attempts]
	names     *simplelru.LRU[uint64, *attempts]
	known     *simplelru.LRU[userAt, *attempts]
}

// userAt is a user's name at an address.
type userAt struct {
	addr netip.Addr
	name uint64
}

// attempts are those that count against a further one.
type attempts struct {
	count int
	// last is when the count last changed; next is when the next attempt may come.
	last, next time.Time
}

// newLoginLimiter makes a limiter with so many attempts free.
func newLoginLimiter(free int) *loginLimiter {
	return &loginLimiter{
		free: free, seed: maphash.MakeSeed(),
		addresses: newAttempts[netip.Addr](), names: newAttempts[uint64](), known: newAttempts[userAt](),
	}
}

// newAttempts makes a table of as many entries as there are clients.
func newAttempts[K comparable]() *simplelru.LRU[K, *attempts] {
	table, err := simplelru.NewLRU[K, *attempts](maxClients, nil)
	if err != nil { // Only for a size that is not positive.
		panic(err)
	}
	return table
}

// allow tells whether somebody at an address may try a password for a name, or
// how long to wait. The attempt counts as a failure until succeeded or unjudged
// says something else, so that a hundred at the same time are not all let in.
func (l *loginLimiter) allow(addr netip.Addr, name string) (retryAfter time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, counts := time.Now(), l.counts(addr, name)
	for _, a := range counts {
		a.forget(now)
		retryAfter = max(retryAfter, a.next.Sub(now))
	}
	if retryAfter > 0 {
		return retryAfter, false
	}
	for _, a := range counts {
		a.count++
		a.last = now
		if over := a.count - l.free; over >= 0 {
			a.next = now.Add(min(longestWait, shortestWait<<min(over, 20)))
			// More would only be longer to forget.
			a.count = min(a.count, l.free+10)
		}
	}
	return 0, true
}

// succeeded says that the password was right: from now on this address has
// attempts of its own for this name.
func (l *loginLimiter) succeeded(addr netip.Addr, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.counts(addr, name) {
		a.giveBack(l.free)
	}
	l.known.Add(l.at(addr, name), &attempts{last: time.Now()})
}

// unjudged says that nobody looked at the password, because the request was
// malformed, say, or the agent was busy: the attempt does not count.
func (l *loginLimiter) unjudged(addr netip.Addr, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.counts(addr, name) {
		a.giveBack(l.free)
	}
}

// counts are those that an attempt is counted in.
func (l *loginLimiter) counts(addr netip.Addr, name string) []*attempts {
	at := l.at(addr, name)
	if own, known := l.known.Get(at); known {
		return []*attempts{own}
	}
	return []*attempts{entry(l.addresses, at.addr), entry(l.names, at.name)}
}

// at makes the keys. A name is anything that a stranger sends, so that its hash
// is kept; nobody without the seed finds two names that share one.
func (l *loginLimiter) at(addr netip.Addr, name string) userAt {
	return userAt{subscriber(addr), maphash.String(l.seed, strings.ToLower(name))}
}

// entry is what a table has for a key; it is made where there is none.
func entry[K comparable](table *simplelru.LRU[K, *attempts], key K) *attempts {
	a, ok := table.Get(key)
	if !ok {
		a = &attempts{}
		table.Add(key, a)
	}
	return a
}

// forget lowers the count by what the time since the last change allows.
func (a *attempts) forget(now time.Time) {
	if gone := int(now.Sub(a.last) / forgetTime); a.count > 0 && gone > 0 {
		a.count = max(0, a.count-gone)
		a.last = a.last.Add(time.Duration(gone) * forgetTime)
	}
}

// giveBack takes one attempt back, and the wait where none is due any more.
func (a *attempts) giveBack(free int) {
	a.count = max(0, a.count-1)
	if a.count < free {
		a.next = time.Time{}
	}
}
