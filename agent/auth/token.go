package auth

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// An API token is the prefix, random bytes and a checksum of both. Prefix and
// checksum let scanners find a leaked token, and reveal a typo without a look at the
// accounts.
const (
	tokenPrefix = "sysotel_" //nolint:gosec // It begins a secret and is not one.
	tokenBytes  = 32
	tokenLength = len(tokenPrefix) + 43 + 6 // both parts in base64 without padding
)

// tokenSum returns the checksum of the text before it, in base64.
func tokenSum(before []byte) (sum [6]byte) {
	base64.RawURLEncoding.Encode(sum[:], binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(before)))
	return sum
}

// newTokenSecret returns a new API token.
func newTokenSecret() string {
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // it never fails
	text := base64.RawURLEncoding.AppendEncode([]byte(tokenPrefix), raw)
	sum := tokenSum(text)
	return string(append(text, sum[:]...))
}

// tokenDigest returns the digest of an API token; ok is false for a malformed one.
func tokenDigest(bearer string) (digest, bool) {
	if len(bearer) != tokenLength {
		return digest{}, false
	}
	text := []byte(bearer)
	before, sum := text[:tokenLength-6], text[tokenLength-6:]
	if tokenSum(before) != [6]byte(sum) {
		return digest{}, false
	}
	return digestOf(text), true
}

// verifyToken returns the identity of an API token, and notes its use.
func (a *Auth) verifyToken(bearer string) (Identity, error) {
	d, ok := tokenDigest(bearer)
	if !ok {
		return Identity{}, ErrDenied
	}
	t, ok := a.current.Load().secrets[d]
	if !ok {
		return Identity{}, ErrDenied
	}
	now := a.now()
	if t.expired(now) {
		return Identity{}, ErrExpired
	}
	if hour := now.Truncate(time.Hour).Unix(); t.used.Load() != hour {
		t.used.Store(hour)
	}
	return Identity{Kind: KindToken, ID: t.ID, Name: t.Name, Role: t.Role}, nil
}

func (t *tokenRow) public() Token {
	token := Token{ID: t.ID, Name: t.Name, Role: t.Role, Created: t.Created, Expires: t.Expires}
	if used := t.used.Load(); used != 0 {
		token.LastUsed = time.Unix(used, 0).UTC()
	}
	return token
}

// Tokens returns all API tokens by name, expired ones for 30 more days.
func (a *Auth) Tokens() []Token {
	rows := a.current.Load().Tokens
	tokens := make([]Token, len(rows))
	for i := range rows {
		tokens[i] = rows[i].public()
	}
	slices.SortFunc(tokens, func(x, y Token) int { return strings.Compare(fold(x.Name), fold(y.Name)) })
	return tokens
}

// NewToken creates an API token that expires after ttl, or never if ttl is 0. Only
// NewToken returns the secret.
func (a *Auth) NewToken(name string, role Role, ttl time.Duration) (secret string, t Token, err error) {
	if err := checkName(name); err != nil {
		return "", Token{}, err
	}
	if _, err := ParseRole(role.String()); err != nil {
		return "", Token{}, err
	}
	if ttl < 0 || ttl > 0 && ttl < time.Second {
		return "", Token{}, fmt.Errorf("%w: the lifetime of a token must be at least a second, or 0 for no expiry, not %v", ErrInvalid, ttl)
	}
	secret = newTokenSecret()
	row := tokenRow{ID: rand.Text(), Name: name, Role: role, Secret: digestOf([]byte(secret)), Created: a.now(), used: new(atomic.Int64)}
	if ttl > 0 {
		row.Expires = row.Created.Add(ttl)
	}
	err = a.change(func(next *accounts) error {
		if slices.ContainsFunc(next.Tokens, func(t tokenRow) bool { return fold(t.Name) == fold(name) }) {
			return ErrExists
		}
		if len(next.Tokens) >= maxTokens {
			return fmt.Errorf("%w: there are already %d tokens, the maximum", ErrInvalid, maxTokens)
		}
		next.Tokens = append(next.Tokens, row)
		return nil
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, row.public(), nil
}

// RevokeToken removes an API token immediately.
func (a *Auth) RevokeToken(id string) error {
	return a.change(func(next *accounts) error {
		before := len(next.Tokens)
		next.Tokens = slices.DeleteFunc(next.Tokens, func(t tokenRow) bool { return t.ID == id })
		if len(next.Tokens) == before {
			return ErrNotFound
		}
		return nil
	})
}
