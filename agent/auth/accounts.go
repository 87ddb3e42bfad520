package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// format is the version of both files.
const format = 1

// The most that is kept. A user's oldest session, or the oldest of all, makes room
// for a new one; for a user or a token too many there is no room.
const (
	maxUsers           = 1_000
	maxTokens          = 1_000
	maxSessions        = 10_000
	maxSessionsOfAUser = 50
)

// keepExpired is how long a token is still listed, and refused as expired and not
// as unknown, after it has expired.
const keepExpired = 30 * day

// accounts is the file.
type accounts struct {
	Format   int          `json:"format"`
	Users    []userRow    `json:"users"`
	Sessions []sessionRow `json:"sessions"` // oldest first
	Tokens   []tokenRow   `json:"tokens"`
}

type userRow struct {
	ID              string       `json:"id"`
	Name            string       `json:"name"`
	Role            Role         `json:"role"`
	Password        passwordHash `json:"password"`
	Created         time.Time    `json:"created"`
	PasswordChanged time.Time    `json:"password_changed"`
	LastLogin       time.Time    `json:"last_login,omitzero"`
}

// sessionRow is a session. Family is of what all its refresh tokens share, Newest
// of what only the last one has.
type sessionRow struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Family  digest    `json:"family"`
	Newest  digest    `json:"newest"`
	Created time.Time `json:"created"`
	Until   time.Time `json:"until"`
}

type tokenRow struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     Role      `json:"role"`
	Secret   digest    `json:"secret"`
	Created  time.Time `json:"created"`
	Expires  time.Time `json:"expires,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	// used is LastUsed in Unix seconds and ahead of it: Verify sets it. All copies
	// of the row share it.
	used *atomic.Int64
}

// expired says whether a token has come to its end.
func (t *tokenRow) expired(now time.Time) bool { return !t.Expires.IsZero() && !now.Before(t.Expires) }

// copy is a copy to change, with the last uses of all tokens.
func (c *accounts) copy() *accounts {
	next := &accounts{Format: format, Users: slices.Clone(c.Users), Sessions: slices.Clone(c.Sessions), Tokens: slices.Clone(c.Tokens)}
	for i := range next.Tokens {
		if used := next.Tokens[i].used.Load(); used != 0 {
			next.Tokens[i].LastUsed = time.Unix(used, 0).UTC()
		}
	}
	return next
}

// user is the user of an id, nil for none. The pointer is into the copy.
func (c *accounts) user(id string) *userRow {
	if i := slices.IndexFunc(c.Users, func(u userRow) bool { return u.ID == id }); i >= 0 {
		return &c.Users[i]
	}
	return nil
}

// session is the session of an id, nil for none. The pointer is into the copy.
func (c *accounts) session(id string) *sessionRow {
	if i := slices.IndexFunc(c.Sessions, func(s sessionRow) bool { return s.ID == id }); i >= 0 {
		return &c.Sessions[i]
	}
	return nil
}

// admins is how many administrators there are.
func (c *accounts) admins() (n int) {
	for i := range c.Users {
		if c.Users[i].Role == Admin {
			n++
		}
	}
	return n
}

// endSessions ends the sessions of a user that are not to be kept.
func (c *accounts) endSessions(user string, keep ...string) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return s.User == user && !slices.Contains(keep, s.ID) })
}

// forget drops what has expired.
func (c *accounts) forget(now time.Time) {
	c.Sessions = slices.DeleteFunc(c.Sessions, func(s sessionRow) bool { return !now.Before(s.Until) })
	c.Tokens = slices.DeleteFunc(c.Tokens, func(t tokenRow) bool { return t.expired(now.Add(-keepExpired)) })
}

// check refuses what no version of this program writes.
func (c *accounts) check() error {
	seen := map[string]bool{}
	once := func(kind, key string) error {
		if key == "" || seen[kind+key] {
			return fmt.Errorf("the %s %q is empty or stands there twice", kind, key)
		}
		seen[kind+key] = true
		return nil
	}
	mayHave := func(role Role) error {
		_, err := ParseRole(role.String())
		return err
	}
	for _, u := range c.Users {
		if err := errors.Join(once("user", u.ID), once("user name", fold(u.Name)), checkName(u.Name), mayHave(u.Role)); err != nil {
			return err
		}
		if len(u.Password.key) == 0 {
			return fmt.Errorf("user %q has no password", u.Name)
		}
	}
	for _, s := range c.Sessions {
		if err := errors.Join(once("session", s.ID), once("refresh token", string(s.Family[:]))); err != nil {
			return err
		}
		if !seen["user"+s.User] {
			return fmt.Errorf("session %q is of no user", s.ID)
		}
	}
	for _, t := range c.Tokens {
		if err := errors.Join(once("token", t.ID), once("token name", fold(t.Name)), once("token secret", string(t.Secret[:])), checkName(t.Name), mayHave(t.Role)); err != nil {
			return err
		}
	}
	return nil
}

// index is the accounts and the ways to find them. It is never changed.
type index struct {
	*accounts
	users, names map[string]*userRow // by id, and by folded name
	sessions     map[string]*sessionRow
	families     map[digest]*sessionRow
	secrets      map[digest]*tokenRow
}

func newIndex(c *accounts) *index {
	x := &index{
		accounts: c, users: make(map[string]*userRow, len(c.Users)), names: make(map[string]*userRow, len(c.Users)),
		sessions: make(map[string]*sessionRow, len(c.Sessions)), families: make(map[digest]*sessionRow, len(c.Sessions)),
		secrets: make(map[digest]*tokenRow, len(c.Tokens)),
	}
	for i := range c.Users {
		x.users[c.Users[i].ID], x.names[fold(c.Users[i].Name)] = &c.Users[i], &c.Users[i]
	}
	for i := range c.Sessions {
		x.sessions[c.Sessions[i].ID], x.families[c.Sessions[i].Family] = &c.Sessions[i], &c.Sessions[i]
	}
	for i := range c.Tokens {
		x.secrets[c.Tokens[i].Secret] = &c.Tokens[i]
	}
	return x
}

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

// maxName is the most characters of a name.
const maxName = 64

// checkName refuses a name that could be mistaken for another, or for something
// else where it is shown. So letters are those of ASCII.
func checkName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: a name has 1 to %d characters, not %d", ErrInvalid, maxName, len(name))
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r)) {
			return fmt.Errorf("%w: a name has letters a to z, digits, and . _ - @, not %q", ErrInvalid, r)
		}
	}
	return nil
}

// fold is the name by which a name is found: Anna is anna.
func fold(name string) string { return strings.ToLower(name) }
