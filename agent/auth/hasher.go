package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

const (
	// maxHashes bounds concurrent hashes; each takes 19 MiB.
	maxHashes = 2
	saltBytes = 16
	keyBytes  = 32
)

// hasher hashes passwords with bounded concurrency.
type hasher struct {
	cost  cost
	slots chan struct{}
	// done counts the hashes; a test checks that unknown users cost as much.
	done atomic.Int64
	// given is the value of done when memory was last freed; only Run uses it.
	given int64
}

func newHasher() *hasher {
	return &hasher{cost: usualCost, slots: make(chan struct{}, maxHashes)}
}

// key derives the key of a password. It returns ErrBusy if ctx ends while it waits
// for a slot.
func (h *hasher) key(ctx context.Context, password string, c cost, salt []byte, length int) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ErrBusy
	}
	defer func() { <-h.slots }()
	h.done.Add(1)
	return argon2.IDKey([]byte(password), salt, c.time, c.memory, c.threads, uint32(length)), nil
}

// hash returns the hash of a new password.
func (h *hasher) hash(ctx context.Context, password string) (passwordHash, error) {
	made := passwordHash{cost: h.cost, salt: make([]byte, saltBytes)}
	_, _ = rand.Read(made.salt) // it never fails
	var err error
	made.key, err = h.key(ctx, password, made.cost, made.salt, keyBytes)
	return made, err
}

// fits reports whether the password matches the hash.
func (h *hasher) fits(ctx context.Context, hash passwordHash, password string) (bool, error) {
	if len(password) > maxPassword {
		password = "" // matches nothing, after the same work
	}
	key, err := h.key(ctx, password, hash.cost, hash.salt, len(hash.key))
	return err == nil && subtle.ConstantTimeCompare(key, hash.key) == 1, err
}

// dummy returns a hash with the cost of a real one, for unknown users.
func (h *hasher) dummy() passwordHash {
	return passwordHash{cost: h.cost, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
}

// giveBack returns the memory of hashes to the system, if there were any and none is
// running. Otherwise the runtime keeps it: three logins added 39 MB to a process of
// 9 MB, all of it still there half a minute and one collection later.
func (h *hasher) giveBack() {
	if done := h.done.Load(); done != h.given && len(h.slots) == 0 {
		h.given = done
		debug.FreeOSMemory()
	}
}
