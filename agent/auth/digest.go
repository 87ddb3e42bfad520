package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
)

// digest is what is kept of a secret of 128 or more random bits. It cannot be
// guessed, so a fast hash without salt is enough, and it can be looked up.
type digest [sha256.Size]byte

func digestOf(secret []byte) digest { return sha256.Sum256(secret) }

// is compares in constant time.
func (d digest) is(other digest) bool { return subtle.ConstantTimeCompare(d[:], other[:]) == 1 }

// MarshalText returns it in base64.
func (d digest) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, d[:]), nil
}

// UnmarshalText parses what MarshalText returns.
func (d *digest) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return err
	}
	if len(raw) != len(d) {
		return fmt.Errorf("a hash has %d bytes, not %d", len(d), len(raw))
	}
	copy(d[:], raw)
	return nil
}
