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

// Users are all users, by name.
func (a *Auth) Users() []User {
	rows := a.current.Load().Users
	users := make([]User, len(rows))
	for i := range rows {
		users[i] = rows[i].public()
	}
	slices.SortFunc(users, func(x, y User) int { return strings.Compare(fold(x.Name), fold(y.Name)) })
	return users
}

// UserNamed finds a user by name; capitals do not matter.
func (a *Auth) UserNamed(name string) (User, bool) {
	if u, ok := a.current.Load().names[fold(name)]; ok {
		return u.public(), true
	}
	return User{}, false
}

// AddUser makes a user. It returns ErrExists where somebody has the name, and
// ErrInvalid with a reason for a bad name, password or role.
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

// newUser is a user who is not among the accounts yet.
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

// addUser adds a user where there is room and nobody has the name.
func (c *accounts) addUser(row userRow) error {
	if slices.ContainsFunc(c.Users, func(u userRow) bool { return fold(u.Name) == fold(row.Name) }) {
		return ErrExists
	}
	if len(c.Users) >= maxUsers {
		return fmt.Errorf("%w: there are %d users, which is the most", ErrInvalid, maxUsers)
	}
	c.Users = append(c.Users, row)
	return nil
}

// SetRole gives a user another role, which holds from his next request.
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

// SetPassword gives a user another password and ends all his sessions; an
// administrator does it.
func (a *Auth) SetPassword(ctx context.Context, id, password string) error {
	u, ok := a.current.Load().users[id]
	if !ok {
		return ErrNotFound
	}
	return a.setPassword(ctx, u, password, func(*userRow) error { return nil })
}

// ChangePassword gives a user who knows his password another one, and ends all his
// sessions but those to keep: the one that he asks from. It returns ErrDenied where
// the old password is wrong.
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
		if !now.Password.same(u.Password) { // somebody else has changed it meanwhile
			return ErrDenied
		}
		return nil
	}, keep...)
}

// setPassword hashes a new password for a user and takes it where he may still.
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

// RemoveUser removes a user and ends his sessions.
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
