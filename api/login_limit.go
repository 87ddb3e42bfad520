package api

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// After the free attempts, the wait doubles with each further one. One attempt is
// forgotten every forgetTime.
const (
	shortestWait = time.Second
	longestWait  = 15 * time.Minute
	forgetTime   = 15 * time.Minute
)

// loginLimiter slows down password guessing.
//
// Attempts are limited per address, whatever the user names, and per user name,
// from any address, so that many addresses guess no faster than one. By itself
// that would let anyone lock a user out by trying their name. Therefore an address
// from which a user has logged in has separate attempts for that name, which
// others cannot use up. A user at a new address while their name is attacked needs
// patience, an open session, or the Unix socket.
//
// A success returns only its own attempt: otherwise an attacker with an account
// could log in between guesses at another's password.
type loginLimiter struct {
	// free is the number of attempts without a wait.
	free int
	seed maphash.Seed

	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Addr, *attempts]
	names     *simplelru.LRU[uint64, *attempts]
	known     *simplelru.LRU[userAt, *attempts]
}

// userAt is a user name at an address.
type userAt struct {
	addr netip.Addr
	name uint64
}

// attempts are the failed attempts of one key.
type attempts struct {
	count int
	// last is when the count last changed; next is when the next attempt may come.
	last, next time.Time
}

// newLoginLimiter returns a limiter with the number of free attempts.
func newLoginLimiter(free int) *loginLimiter {
	return &loginLimiter{
		free: free, seed: maphash.MakeSeed(),
		addresses: newAttempts[netip.Addr](), names: newAttempts[uint64](), known: newAttempts[userAt](),
	}
}

// newAttempts returns a table of at most maxClients entries.
func newAttempts[K comparable]() *simplelru.LRU[K, *attempts] {
	table, err := simplelru.NewLRU[K, *attempts](maxClients, nil)
	if err != nil { // Only for a size that is not positive.
		panic(err)
	}
	return table
}

// allow reports whether an address may try a password for a name now, or how long
// to wait. The attempt counts as a failure until succeeded or unchecked is called,
// so that concurrent attempts are limited too.
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

// succeeded records that the password was right: from now on this address has
// separate attempts for this name.
func (l *loginLimiter) succeeded(addr netip.Addr, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.counts(addr, name) {
		a.giveBack(l.free)
	}
	l.known.Add(l.at(addr, name), &attempts{last: time.Now()})
}

// unchecked records that the password was not checked, because the request was
// malformed or the agent was busy: the attempt does not count.
func (l *loginLimiter) unchecked(addr netip.Addr, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.counts(addr, name) {
		a.giveBack(l.free)
	}
}

// counts returns the attempts that an attempt is counted in.
func (l *loginLimiter) counts(addr netip.Addr, name string) []*attempts {
	at := l.at(addr, name)
	if own, known := l.known.Get(at); known {
		return []*attempts{own}
	}
	return []*attempts{entry(l.addresses, at.addr), entry(l.names, at.name)}
}

// at returns the key. Names can be arbitrarily long, so only their hash is kept;
// without the seed collisions cannot be constructed.
func (l *loginLimiter) at(addr netip.Addr, name string) userAt {
	return userAt{clientNetwork(addr), maphash.String(l.seed, strings.ToLower(name))}
}

// entry returns the entry of a key, which it creates if there is none.
func entry[K comparable](table *simplelru.LRU[K, *attempts], key K) *attempts {
	a, ok := table.Get(key)
	if !ok {
		a = &attempts{}
		table.Add(key, a)
	}
	return a
}

// forget lowers the count according to the time since the last change.
func (a *attempts) forget(now time.Time) {
	if gone := int(now.Sub(a.last) / forgetTime); a.count > 0 && gone > 0 {
		a.count = max(0, a.count-gone)
		a.last = a.last.Add(time.Duration(gone) * forgetTime)
	}
}

// giveBack takes one attempt back, and the wait if none is due anymore.
func (a *attempts) giveBack(free int) {
	a.count = max(0, a.count-1)
	if a.count < free {
		a.next = time.Time{}
	}
}
