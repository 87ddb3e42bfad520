package auth

import (
	"sync"
	"time"
)

// maxSeen bounds the remembered access tokens, about 200 KB.
const maxSeen = 1024

// seen caches access tokens whose signature and claims were valid, by digest: parsing
// one takes about sixty allocations, and a browser sends the same one for minutes.
// Time, session and user, which may change, are checked each time.
type seen struct {
	mu sync.RWMutex // protects what follows
	// keys are those that the tokens were checked with; other keys empty the cache.
	keys   *keyring
	tokens map[digest]seenToken
}

// seenToken is the content of an access token.
type seenToken struct {
	user, session string
	from, until   time.Time
}

// find returns a token that was checked with these keys.
func (s *seen) find(keys *keyring, d digest) (seenToken, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.keys != keys {
		return seenToken{}, false
	}
	t, ok := s.tokens[d]
	return t, ok
}

// add remembers a token. A full cache is emptied: active tokens are soon back.
func (s *seen) add(keys *keyring, d digest, t seenToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != keys || len(s.tokens) >= maxSeen {
		s.keys, s.tokens = keys, map[digest]seenToken{}
	}
	s.tokens[d] = t
}
