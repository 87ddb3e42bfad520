package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// openAccounts reads the accounts, or creates empty ones.
func (a *Auth) openAccounts() error {
	path := filepath.Join(a.dir, accountsFile)
	c := &accounts{}
	err := readFile(path, c)
	switch {
	case err == nil:
		if wrong := c.check(); wrong != nil {
			err = damage{wrong}
		}
	case errors.Is(err, fs.ErrNotExist):
		c, err = a.firstAccounts(path)
	}
	if errors.As(err, new(damage)) {
		return fmt.Errorf("%s is damaged (%w): restore it from a backup; to start over with the first setup, move %s away", path, err, a.dir)
	}
	if err != nil {
		return err
	}
	for i := range c.Tokens {
		c.Tokens[i].used = new(atomic.Int64)
		if last := c.Tokens[i].LastUsed; !last.IsZero() {
			c.Tokens[i].used.Store(last.Unix())
		}
	}
	c.forget(a.now())
	a.current.Store(newIndex(c))
	return nil
}

// firstAccounts writes empty accounts. They are created before the keys: if there
// are keys, the file was lost.
func (a *Auth) firstAccounts(path string) (*accounts, error) {
	if _, err := os.Stat(filepath.Join(a.dir, keysFile)); err == nil {
		return nil, damage{errors.New("it is missing, but there are keys")}
	}
	c := &accounts{Format: format}
	if err := writeFile(path, c); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return c, nil
}

// change applies f to a copy of the accounts, writes it, and replaces the accounts
// with it. If f or the write fails, nothing changes.
func (a *Auth) change(f func(next *accounts) error) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	next, err := a.next(f)
	if err != nil {
		return err
	}
	if err := a.write(next); err != nil {
		return fmt.Errorf("nothing is changed: %w", err)
	}
	a.current.Store(newIndex(next))
	return nil
}

// changeSessions is change for sessions, which takes effect even if the write fails:
// users must be able to log in while the disk is full, and to log out. The file
// follows as soon as possible; if the agent is killed before, users must log in or
// out once more.
func (a *Auth) changeSessions(f func(next *accounts) error) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	next, err := a.next(f)
	if err != nil {
		return err
	}
	a.current.Store(newIndex(next))
	if err := a.write(next); err != nil && a.unwritten == nil {
		a.unwritten = err
		a.log.Warn("cannot write sessions; they are lost at a restart until the disk can be written again", "err", err)
	}
	return nil
}

// next applies f to a copy of the accounts.
func (a *Auth) next(f func(next *accounts) error) (*accounts, error) {
	next := a.current.Load().copy()
	if err := f(next); err != nil {
		return nil, err
	}
	next.forget(a.now())
	return next, nil
}

// write writes the file.
func (a *Auth) write(next *accounts) error {
	path := filepath.Join(a.dir, accountsFile)
	if err := writeFile(path, next); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if a.unwritten != nil {
		a.unwritten = nil
		a.log.Info("sessions are written again")
	}
	return nil
}

// tidy writes the accounts if they differ from the file.
func (a *Auth) tidy() {
	if a.untidy() {
		_ = a.changeSessions(func(*accounts) error { return nil })
	}
}

// untidy reports whether something has expired, was used, or is not written yet.
func (a *Auth) untidy() bool {
	a.writing.Lock()
	defer a.writing.Unlock()
	current, now := a.current.Load(), a.now()
	return a.unwritten != nil ||
		slices.ContainsFunc(current.Sessions, func(s sessionRow) bool { return !now.Before(s.Until) }) ||
		slices.ContainsFunc(current.Tokens, func(t tokenRow) bool {
			used := t.used.Load()
			return t.expired(now.Add(-keepExpired)) || used != 0 && used != t.LastUsed.Unix()
		})
}
