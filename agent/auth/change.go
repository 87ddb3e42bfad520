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

// openAccounts reads the accounts, or begins with none.
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
		return fmt.Errorf("%s is damaged (%w): restore it from a backup; to begin anew with the first set-up, move %s away", path, err, a.dir)
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

// firstAccounts writes accounts of nobody. They are made before the keys: where
// there are keys the file was lost.
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

// change replaces the accounts by what f makes of a copy of them. Where f or the
// writing fails nothing is changed.
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

// changeSessions is change for what begins, goes on or ends with a session: it acts
// even where it cannot be written. A full disk is when people must be able to look,
// and who logs out is to be out. The file follows as soon as it can; what is lost
// if the agent dies before is that people must log in once more, or may log out
// once more.
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
		a.log.Warn("sessions cannot be written, they live in memory only", "err", err)
	}
	return nil
}

// next is what f makes of a copy of the accounts.
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

// tidy writes what differs from the file by time alone.
func (a *Auth) tidy() {
	if a.untidy() {
		_ = a.changeSessions(func(*accounts) error { return nil })
	}
}

// untidy says whether something has expired, was used, or was not written.
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
