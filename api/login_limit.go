package api

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// loginLimiter slows down password guessing.
//
// Attempts are limited per address, whatever the user names, and per user name, from
// any address, so that many addresses guess little faster than one. By itself that
// would let anyone lock a user out by trying their name. Therefore the limit of a name
// is wider, so that it takes several addresses to reach it, and an address from which
// a user has logged in has separate attempts for that name, which others cannot use
// up. A user at a new address while their name is attacked from many needs patience,
// an open session, or the Unix socket.
//
// A success returns only its own attempt: otherwise an attacker with an account
// could log in between guesses at another's password.
//
// Names are counted alike whether or not there is such a user: who is not must not
// show.
type loginLimiter struct {
	start time.Time
	seed  maphash.Seed

	mu               sync.Mutex
	addresses, names tally
	// known are the addresses of each name that has logged in. Only users have logged
	// in, so there is room for all.
	known *simplelru.LRU[uint64, *knownAddresses]
}

// The limits. After the free attempts, the wait doubles with each further one.
const (
	shortestWait = time.Second
	longestWait  = 15 * time.Minute
	// wider is how many times the free attempts of an address a name has from all of
	// them, longestNameWait their longest wait.
	wider           = 4
	longestNameWait = 5 * time.Minute
	// maxKnownNames is that of users; maxKnown bounds the addresses of one.
	maxKnownNames = 1_000
	maxKnown      = 8
)

// knownAddresses are the last addresses from which a user has logged in.
type knownAddresses []knownAddress

type knownAddress struct {
	addr netip.Addr
	attempts
}

// newLoginLimiter returns a limiter with the number of free attempts.
func newLoginLimiter(free int) *loginLimiter {
	known, err := simplelru.NewLRU[uint64, *knownAddresses](maxKnownNames, nil)
	if err != nil { // Only for a size that is not positive.
		panic(err)
	}
	return &loginLimiter{
		start: time.Now(), seed: maphash.MakeSeed(), known: known,
		addresses: tally{limit: limit{free: free, longest: longestWait}},
		names:     tally{limit: limit{free: wider * free, longest: longestNameWait}},
	}
}

// allow reports whether an address may try a password for a name now, or how long
// to wait. The attempt counts as a failure until succeeded or unchecked is called,
// so that concurrent attempts are limited too.
func (l *loginLimiter) allow(addr netip.Addr, name string) (retryAfter time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	counts := l.counts(addr, name, now)
	for _, c := range counts {
		retryAfter = max(retryAfter, c.next-now)
	}
	if retryAfter > 0 {
		return retryAfter, false
	}
	for _, c := range counts {
		c.add(c.limit, now)
	}
	return 0, true
}

// succeeded records that the password was right: from now on this address has
// separate attempts for this name.
func (l *loginLimiter) succeeded(addr netip.Addr, name string) {
	l.unchecked(addr, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	addr, key := clientNetwork(addr), l.nameKey(name)
	of, ok := l.known.Get(key)
	if !ok {
		of = &knownAddresses{}
		l.known.Add(key, of)
	}
	was := slices.DeleteFunc(*of, func(k knownAddress) bool { return k.addr == addr })
	*of = append(was[max(0, len(was)-maxKnown+1):], knownAddress{addr: addr})
}

// unchecked records that the password was not checked, because the request was
// malformed or the agent was busy: the attempt does not count.
func (l *loginLimiter) unchecked(addr netip.Addr, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.counts(addr, name, time.Since(l.start)) {
		c.giveBack(c.limit)
	}
}

// counted are the attempts of one key with their limit.
type counted struct {
	*attempts
	limit limit
}

// counts returns the attempts that an attempt is counted in.
func (l *loginLimiter) counts(addr netip.Addr, name string, now time.Duration) []counted {
	addr, key := clientNetwork(addr), l.nameKey(name)
	if of, ok := l.known.Get(key); ok {
		if i := slices.IndexFunc(*of, func(k knownAddress) bool { return k.addr == addr }); i >= 0 {
			own := &(*of)[i].attempts
			own.forget(l.addresses.limit, now)
			return []counted{{own, l.addresses.limit}}
		}
	}
	return []counted{
		{l.addresses.entry(maphash.Comparable(l.seed, addr), now), l.addresses.limit},
		{l.names.entry(key, now), l.names.limit},
	}
}

// nameKey is the key of a name. Names can be arbitrarily long, so only their hash is
// kept; without the seed collisions cannot be constructed.
func (l *loginLimiter) nameKey(name string) uint64 {
	return maphash.String(l.seed, strings.ToLower(name))
}
