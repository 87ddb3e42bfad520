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

// cost is how dear it is to try a password.
type cost struct {
	memory, time uint32 // KiB, passes
	threads      uint8
}

// usualCost is what OWASP's password storage cheat sheet asks for, the variant with
// the least work of those it calls equal: a log-in takes 19 MiB for a moment.
var usualCost = cost{memory: 19 * 1024, time: 2, threads: 1}

// Bounds of what a file may ask for, so that a forged one cannot exhaust the
// machine.
const (
	maxMemory        = 64 * 1024
	maxTime          = 16
	maxThreads       = 4
	minSalt, maxSalt = 8, 64
	minKey, maxKey   = 16, 64
)

// passwordHash is what is kept of a password. It is written in the PHC string
// format that other programs use too: $argon2id$v=19$m=19456,t=2,p=1$SALT$KEY.
type passwordHash struct {
	cost
	salt, key []byte
}

// phc is the PHC string.
func (h passwordHash) phc() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// Format hides it from every verb.
func (passwordHash) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText writes the PHC string.
func (h passwordHash) MarshalText() ([]byte, error) { return []byte(h.phc()), nil }

// UnmarshalText reads a PHC string.
func (h *passwordHash) UnmarshalText(text []byte) (err error) {
	*h, err = parsePasswordHash(string(text))
	return err
}

// parsePasswordHash reads a PHC string. What it does not say in errors is the
// string.
func parsePasswordHash(text string) (passwordHash, error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" {
		return passwordHash{}, errors.New("a password hash has the form $argon2id$v=19$m=…,t=…,p=…$salt$key")
	}
	if parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return passwordHash{}, fmt.Errorf("a password hash is argon2id in version %d, nothing else", argon2.Version)
	}
	var h passwordHash
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != 3 {
		return passwordHash{}, errors.New("a password hash has the parameters m, t and p")
	}
	for i, p := range []struct {
		name string
		most uint64
		set  func(uint64)
	}{
		{"m", maxMemory, func(n uint64) { h.memory = uint32(n) }},
		{"t", maxTime, func(n uint64) { h.time = uint32(n) }},
		{"p", maxThreads, func(n uint64) { h.threads = uint8(n) }},
	} {
		digits, named := strings.CutPrefix(parameters[i], p.name+"=")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !named || err != nil || n < 1 || n > p.most {
			return passwordHash{}, fmt.Errorf("a password hash has %s=1 to %d", p.name, p.most)
		}
		p.set(n)
	}
	if h.memory < 8*uint32(h.threads) {
		return passwordHash{}, errors.New("a password hash has m of at least 8 times p")
	}
	for _, p := range []struct {
		name        string
		text        string
		least, most int
		to          *[]byte
	}{
		{"salt", parts[4], minSalt, maxSalt, &h.salt},
		{"key", parts[5], minKey, maxKey, &h.key},
	} {
		raw, err := base64.RawStdEncoding.Strict().DecodeString(p.text)
		if err != nil || len(raw) < p.least || len(raw) > p.most {
			return passwordHash{}, fmt.Errorf("a password hash has a %s of %d to %d bytes in base64", p.name, p.least, p.most)
		}
		*p.to = raw
	}
	if h.phc() != text { // leading zeros, line breaks
		return passwordHash{}, errors.New("a password hash is written in one way only")
	}
	return h, nil
}

// same says whether it is the very same hash, salt and all: then nobody has set the
// password meanwhile.
func (h passwordHash) same(other passwordHash) bool {
	return h.cost == other.cost && bytes.Equal(h.salt, other.salt) && bytes.Equal(h.key, other.key)
}
