package auth

import (
	"sync"
	"time"
)

// maxSeen is how many access tokens are remembered, some 200 KB.
const maxSeen = 1024

// seen remembers access tokens whose signature and claims were good, by their hash:
// to read one again takes some sixty allocations, and a browser shows the same one
// for minutes. What may change, time, session and user, is looked at each time.
type seen struct {
	mu sync.RWMutex // protects what follows
	// keys are those that the tokens were read with. With others all are forgotten.
	keys   *keyring
	tokens map[digest]seenToken
}

// seenToken is what an access token said.
type seenToken struct {
	user, session string
	from, until   time.Time
}

// find is a token that was read with these keys.
func (s *seen) find(keys *keyring, d digest) (seenToken, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.keys != keys {
		return seenToken{}, false
	}
	t, ok := s.tokens[d]
	return t, ok
}

// add remembers a token. Where there are too many all are forgotten: who is still
// there is soon back.
func (s *seen) add(keys *keyring, d digest, t seenToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != keys || len(s.tokens) >= maxSeen {
		s.keys, s.tokens = keys, map[digest]seenToken{}
	}
	s.tokens[d] = t
}
