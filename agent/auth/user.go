package auth

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
)

func (u *userRow) public() User {
	return User{ID: u.ID, Name: u.Name, Role: u.Role, Created: u.Created, PasswordChanged: u.PasswordChanged, LastLogin: u.LastLogin}
}

// Users returns all users by name.
func (a *Auth) Users() []User {
	rows := a.current.Load().Users
	users := make([]User, len(rows))
	for i := range rows {
		users[i] = rows[i].public()
	}
	slices.SortFunc(users, func(x, y User) int { return strings.Compare(fold(x.Name), fold(y.Name)) })
	return users
}

// UserNamed finds a user by name, ignoring case.
func (a *Auth) UserNamed(name string) (User, bool) {
	if u, ok := a.current.Load().names[fold(name)]; ok {
		return u.public(), true
	}
	return User{}, false
}

// AddUser creates a user. It returns ErrExists if the name is taken, and ErrInvalid
// with a reason for an invalid name, password or role.
func (a *Auth) AddUser(ctx context.Context, name, password string, role Role) (User, error) {
	if _, err := ParseRole(role.String()); err != nil {
		return User{}, err
	}
	if _, ok := a.UserNamed(name); ok {
		return User{}, ErrExists
	}
	row, err := a.newUser(ctx, name, password, role)
	if err != nil {
		return User{}, err
	}
	if err := a.change(func(next *accounts) error { return next.addUser(row) }); err != nil {
		return User{}, err
	}
	return row.public(), nil
}

// newUser returns a user that is not added yet.
func (a *Auth) newUser(ctx context.Context, name, password string, role Role) (userRow, error) {
	if err := checkName(name); err != nil {
		return userRow{}, err
	}
	if err := checkPassword(name, password); err != nil {
		return userRow{}, err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return userRow{}, err
	}
	now := a.now()
	return userRow{ID: rand.Text(), Name: name, Role: role, Password: hash, Created: now, PasswordChanged: now}, nil
}

// addUser adds a user unless the name is taken or there are too many.
func (c *accounts) addUser(row userRow) error {
	if slices.ContainsFunc(c.Users, func(u userRow) bool { return fold(u.Name) == fold(row.Name) }) {
		return ErrExists
	}
	if len(c.Users) >= maxUsers {
		return fmt.Errorf("%w: there are already %d users, the maximum", ErrInvalid, maxUsers)
	}
	c.Users = append(c.Users, row)
	return nil
}

// SetRole changes a user's role from their next request.
func (a *Auth) SetRole(id string, role Role) (User, error) {
	if _, err := ParseRole(role.String()); err != nil {
		return User{}, err
	}
	var user User
	err := a.change(func(next *accounts) error {
		u := next.user(id)
		if u == nil {
			return ErrNotFound
		}
		if u.Role == Admin && role != Admin && next.admins() == 1 {
			return ErrLastAdmin
		}
		u.Role = role
		user = u.public()
		return nil
	})
	if err != nil {
		return User{}, err
	}
	return user, nil
}

// SetPassword sets a user's password and ends all their sessions, for an
// administrator.
func (a *Auth) SetPassword(ctx context.Context, id, password string) error {
	u, ok := a.current.Load().users[id]
	if !ok {
		return ErrNotFound
	}
	return a.setPassword(ctx, u, password, func(*userRow) error { return nil })
}

// ChangePassword changes a user's password and ends all their sessions except those
// to keep, for the user. It returns ErrDenied if the old password is wrong.
func (a *Auth) ChangePassword(ctx context.Context, id, old, new string, keep ...string) error {
	u, ok := a.current.Load().users[id]
	if !ok {
		return ErrNotFound
	}
	fits, err := a.hasher.fits(ctx, u.Password, old)
	if err != nil {
		return err
	}
	if !fits {
		return ErrDenied
	}
	return a.setPassword(ctx, u, new, func(now *userRow) error {
		if !now.Password.same(u.Password) { // changed in between
			return ErrDenied
		}
		return nil
	}, keep...)
}

// setPassword hashes a new password and sets it if may allows.
func (a *Auth) setPassword(ctx context.Context, u *userRow, password string, may func(now *userRow) error, keep ...string) error {
	if err := checkPassword(u.Name, password); err != nil {
		return err
	}
	hash, err := a.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	return a.change(func(next *accounts) error {
		now := next.user(u.ID)
		if now == nil {
			return ErrNotFound
		}
		if err := may(now); err != nil {
			return err
		}
		now.Password, now.PasswordChanged = hash, a.now()
		next.endSessions(u.ID, keep...)
		return nil
	})
}

// RemoveUser removes a user and ends their sessions.
func (a *Auth) RemoveUser(id string) error {
	return a.change(func(next *accounts) error {
		u := next.user(id)
		if u == nil {
			return ErrNotFound
		}
		if u.Role == Admin && next.admins() == 1 {
			return ErrLastAdmin
		}
		next.endSessions(id)
		next.Users = slices.DeleteFunc(next.Users, func(u userRow) bool { return u.ID == id })
		return nil
	})
}
