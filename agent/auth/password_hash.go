package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// cost is the work to try a password.
type cost struct {
	memory, time uint32 // KiB, passes
	threads      uint8
}

// usualCost is a recommendation of OWASP's password storage cheat sheet, the one with
// the least work among those it calls equal: a login takes 19 MiB for a moment.
var usualCost = cost{memory: 19 * 1024, time: 2, threads: 1}

// Bounds for hashes from a file, so that a forged one cannot exhaust the machine.
const (
	maxMemory        = 64 * 1024
	maxTime          = 16
	maxThreads       = 4
	minSalt, maxSalt = 8, 64
	minKey, maxKey   = 16, 64
)

// passwordHash is what is kept of a password. It is written in the PHC string
// format: $argon2id$v=19$m=19456,t=2,p=1$SALT$KEY.
type passwordHash struct {
	cost
	salt, key []byte
}

// phc returns the PHC string.
func (h passwordHash) phc() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// Format writes <secret> for every verb.
func (passwordHash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText returns the PHC string.
func (h passwordHash) MarshalText() ([]byte, error) { return []byte(h.phc()), nil }

// UnmarshalText parses a PHC string.
func (h *passwordHash) UnmarshalText(text []byte) (err error) {
	*h, err = parsePasswordHash(string(text))
	return err
}

// parsePasswordHash parses a PHC string. Its errors do not contain the string.
func parsePasswordHash(text string) (passwordHash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" {
		return passwordHash{}, errors.New("a password hash must have the form $argon2id$v=19$m=…,t=…,p=…$salt$key")
	}
	if parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return passwordHash{}, fmt.Errorf("a password hash must be argon2id, version %d", argon2.Version)
	}
	var h passwordHash
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != 3 {
		return passwordHash{}, errors.New("a password hash must have the parameters m, t and p")
	}
	for i, p := range []struct {
		name string
		max  uint64
		set  func(uint64)
	}{
		{"m", maxMemory, func(n uint64) { h.memory = uint32(n) }},
		{"t", maxTime, func(n uint64) { h.time = uint32(n) }},
		{"p", maxThreads, func(n uint64) { h.threads = uint8(n) }},
	} {
		digits, named := strings.CutPrefix(parameters[i], p.name+"=")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !named || err != nil || n < 1 || n > p.max {
			return passwordHash{}, fmt.Errorf("a password hash must have %s from 1 to %d", p.name, p.max)
		}
		p.set(n)
	}
	if h.memory < 8*uint32(h.threads) {
		return passwordHash{}, errors.New("a password hash must have m of at least 8 times p")
	}
	for _, p := range []struct {
		name     string
		text     string
		min, max int
		to       *[]byte
	}{
		{"salt", parts[4], minSalt, maxSalt, &h.salt},
		{"key", parts[5], minKey, maxKey, &h.key},
	} {
		raw, err := base64.RawStdEncoding.Strict().DecodeString(p.text)
		if err != nil || len(raw) < p.min || len(raw) > p.max {
			return passwordHash{}, fmt.Errorf("a password hash must have a %s of %d to %d bytes in base64", p.name, p.min, p.max)
		}
		*p.to = raw
	}
	if h.phc() != text { // leading zeros, line breaks
		return passwordHash{}, errors.New("a password hash must be in canonical form")
	}
	return h, nil
}

// same reports whether both are the same hash with the same salt: then the password
// was not set in between.
func (h passwordHash) same(other passwordHash) bool {
	return h.cost == other.cost && bytes.Equal(h.salt, other.salt) && bytes.Equal(h.key, other.key)
}
