package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Access tokens are signed with a symmetric key (HS256), because the same process
// issues and verifies them.

const (
	// signFor is how long a key signs.
	signFor = 30 * day
	// keySecretBytes is the length of a key, that of the hash (RFC 7518, 3.2).
	keySecretBytes = 32
)

// keyring is the content of the file: the keys, oldest first; the last one signs.
type keyring struct {
	Format int   `json:"format"`
	Keys   []key `json:"keys"`
}

type key struct {
	ID      string    `json:"id"`
	Secret  keySecret `json:"secret"`
	Created time.Time `json:"created"`
}

// keySecret is the secret of a key. Only the file contains it.
type keySecret []byte

var (
	_ fmt.Formatter  = keySecret(nil)
	_ slog.LogValuer = keySecret(nil)
)

// Format writes <secret> for every verb.
func (keySecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue returns <secret>.
func (keySecret) LogValue() slog.Value { return slog.StringValue(hidden) }

func (k *keyring) newest() *key { return &k.Keys[len(k.Keys)-1] }

// find returns the key with an id, or nil. There are two or three.
func (k *keyring) find(id string) *key {
	for i := range k.Keys {
		if k.Keys[i].ID == id {
			return &k.Keys[i]
		}
	}
	return nil
}

// check refuses content that no version of this program writes.
func (k *keyring) check() error {
	if len(k.Keys) == 0 {
		return errors.New("there is no key")
	}
	for i := range k.Keys {
		if k.Keys[i].ID == "" || len(k.Keys[i].Secret) != keySecretBytes {
			return fmt.Errorf("a key has an id and %d bytes", keySecretBytes)
		}
	}
	return nil
}

// due returns the keyring that should be in use at now, k if nothing changes. A key
// that no longer signs stays until the last token that it signed has expired. A key
// created in the future, by a wrong clock, is replaced: it would sign for too long.
func (k *keyring) due(now time.Time, accessTTL time.Duration) *keyring {
	next := &keyring{Format: format}
	if k != nil {
		for i := range k.Keys {
			if i+1 < len(k.Keys) && !now.Before(k.Keys[i+1].Created.Add(accessTTL)) {
				continue
			}
			next.Keys = append(next.Keys, k.Keys[i])
		}
		age := now.Sub(next.newest().Created)
		if age < signFor && age > -day {
			if len(next.Keys) == len(k.Keys) {
				return k
			}
			return next
		}
	}
	made := key{ID: rand.Text(), Secret: make(keySecret, keySecretBytes), Created: now}
	_, _ = rand.Read(made.Secret) // it never fails
	next.Keys = append(next.Keys, made)
	return next
}

// openKeys reads the keys, or creates them. Damaged ones are set aside: only access
// tokens are lost with them, which sessions renew.
func (a *Auth) openKeys() error {
	k := &keyring{}
	err := a.readFile(keysFile, k)
	if err == nil {
		if wrong := k.check(); wrong != nil {
			err = damage{wrong}
		}
	}
	switch {
	case errors.Is(err, errNewer), errors.Is(err, errOthers):
		return err
	case errors.Is(err, fs.ErrNotExist):
		k = nil
	case err != nil:
		aside, moved := a.setAside(keysFile)
		a.log.Warn("the keys of access tokens were damaged; new ones are created, and sessions renew their tokens", "err", err, "file", aside, "not_moved", moved)
		k = nil
	case a.setBack:
		k = nil // As followClock does.
	}
	if err := a.takeKeys(k); err != nil {
		a.log.Warn("cannot write the keys of access tokens; they are in memory until the disk can be written", "err", err)
		a.stale = err
	}
	return nil
}

// takeKeys uses the keys, after any change that is due, and writes them where the file
// lacks them. If it cannot be written, the keys in use go on.
func (a *Auth) takeKeys(k *keyring) error {
	next := k.due(a.now(), a.accessTTL)
	if k == nil {
		a.keys.Store(next) // Without a key nothing can be signed.
	}
	if next != k || a.stale != nil || !a.has(keysFile) {
		path := filepath.Join(a.dir, keysFile)
		if err := os.MkdirAll(a.dir, 0o700); err != nil {
			return err
		}
		if err := writeFile(path, next); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	a.keys.Store(next)
	return nil
}

// rotate creates a new key when it is due. If that fails the old one goes on.
func (a *Auth) rotate() {
	a.writing.Lock()
	defer a.writing.Unlock()
	before := a.keys.Load()
	err := a.takeKeys(before)
	switch {
	case err != nil && a.stale == nil:
		a.log.Warn("cannot rotate the keys of access tokens; the old key stays in use", "err", err)
	case err == nil && a.keys.Load() != before:
		a.log.Info("rotated the keys of access tokens", "signs", a.keys.Load().newest().ID)
	}
	a.stale = err
}
