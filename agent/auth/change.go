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

// openAccounts reads the accounts, or creates empty ones. Those of a damaged or lost file
// are read from its copy. If that is no better, nobody can log in until the file or an
// administrator is back: empty accounts would open the first setup to anyone.
func (a *Auth) openAccounts() error {
	c, err := a.readAccounts(accountsFile)
	switch {
	case errors.Is(err, errNewer), errors.Is(err, errOthers):
		return err
	case errors.Is(err, fs.ErrNotExist) && !a.has(keysFile) && !a.has(copyFile):
		// They are created before the keys: if there are keys, the file was lost.
		c = &accounts{Format: format}
		if a.unwritten = a.writeAccounts(c); a.unwritten != nil {
			a.log.Warn("cannot write the accounts; they are written as soon as the disk can be", "err", a.unwritten)
		}
	case err != nil:
		if c = a.restoreAccounts(err); c == nil {
			a.lock(err)
			c = &accounts{Format: format}
		}
	}
	a.take(c)
	return nil
}

// readAccounts reads the accounts from the file of a name.
func (a *Auth) readAccounts(name string) (*accounts, error) {
	c := &accounts{}
	if err := a.readFile(name, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, damage{err}
	}
	return c, nil
}

// take uses accounts that were read.
func (a *Auth) take(c *accounts) {
	for i := range c.Tokens {
		c.Tokens[i].used = new(atomic.Int64)
		if last := c.Tokens[i].LastUsed; !last.IsZero() {
			c.Tokens[i].used.Store(last.Unix())
		}
	}
	a.filed = c.Step
	a.setBack = c.follow(a.judge)
	c.forget(a.forgetting())
	a.current.Store(newIndex(c))
}

// restoreAccounts returns the accounts of the copy and puts them in place of the
// damaged file; nil if the copy is damaged too.
func (a *Auth) restoreAccounts(cause error) *accounts {
	c, err := a.readAccounts(copyFile)
	if err != nil {
		return nil
	}
	aside, err := a.setAside(accountsFile)
	if err == nil {
		err = a.writeAccounts(c)
	}
	a.unwritten = err
	a.log.Error("the accounts were damaged; they are restored from their copy and nothing is lost", "err", cause, "aside", aside, "unwritten", err)
	a.restored = fmt.Sprintf("%s was damaged (%v) and is restored from its copy; nothing is lost", accountsFile, cause)
	return c
}

// lock refuses every log-in, because the accounts are unknown.
func (a *Auth) lock(cause error) {
	a.locked.Store(&cause)
	a.log.Error("the accounts are damaged: nobody can log in", "path", filepath.Join(a.dir, accountsFile), "err", cause, "remedy", remedy)
}

// remedy is what helps if the accounts are lost.
const remedy = "put accounts.json of a backup in its place, or make a new administrator on this machine with: sysotel user add NAME --role admin"

// unlock uses the accounts of the file, if they can be read now.
func (a *Auth) unlock() {
	a.writing.Lock()
	defer a.writing.Unlock()
	if a.locked.Load() == nil {
		return
	}
	c, err := a.readAccounts(accountsFile)
	if err != nil {
		return
	}
	a.take(c)
	a.locked.Store(nil)
	a.log.Info("the accounts can be read again", "users", len(c.Users))
}

// change applies f to a copy of the accounts, writes it, and replaces the accounts
// with it. If f or the write fails, nothing changes.
func (a *Auth) change(f func(next *accounts) error) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	defer a.tell()
	a.followClock()
	next, err := a.next(f)
	if err != nil {
		return err
	}
	if locked := a.locked.Load(); locked != nil {
		if next.admins() == 0 {
			return fmt.Errorf("%w: the accounts are damaged (%w); %s", ErrUnavailable, *locked, remedy)
		}
		for _, name := range []string{accountsFile, copyFile} {
			if _, err := a.setAside(name); err != nil {
				return fmt.Errorf("%w: nothing is changed: %w", ErrUnavailable, err)
			}
		}
	}
	if err := a.write(next); err != nil {
		return fmt.Errorf("%w: nothing is changed: %w", ErrUnavailable, err)
	}
	a.current.Store(newIndex(next))
	if a.locked.Swap(nil) != nil {
		a.log.Warn("new accounts begin with a new administrator; the damaged ones are set aside")
	}
	return nil
}

// changeSessions is change for sessions, which takes effect even if the write fails:
// users must be able to log in while the disk is full, and to log out. The file
// follows as soon as possible; if the agent is killed before, users must log in or
// out once more.
func (a *Auth) changeSessions(f func(next *accounts) error) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	defer a.tell()
	a.followClock()
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
	next.forget(a.forgetting())
	return next, nil
}

// write writes the accounts.
func (a *Auth) write(next *accounts) error {
	if err := a.writeAccounts(next); err != nil {
		return err
	}
	if a.unwritten != nil {
		a.unwritten = nil
		a.log.Info("the accounts are written again")
	}
	return nil
}

// writeAccounts writes the file and then its copy.
func (a *Auth) writeAccounts(c *accounts) error {
	for _, name := range []string{accountsFile, copyFile} {
		path := filepath.Join(a.dir, name)
		if err := os.MkdirAll(a.dir, 0o700); err != nil { // It may have been deleted.
			return err
		}
		if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
			if _, err := a.setAside(name); err != nil {
				return err
			}
		}
		if err := writeFile(path, c); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	a.filed = c.Step
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
	if a.locked.Load() != nil {
		return false
	}
	current, now := a.current.Load(), a.forgetting()
	return a.unwritten != nil || a.filed != current.Step || !a.has(accountsFile) || !a.has(copyFile) ||
		slices.ContainsFunc(current.Sessions, func(s sessionRow) bool { return !now.Before(s.Until) }) ||
		slices.ContainsFunc(current.Tokens, func(t tokenRow) bool {
			used := t.used.Load()
			return t.expired(now.Add(-keepExpired)) || used != 0 && used != t.LastUsed.Unix()
		})
}
