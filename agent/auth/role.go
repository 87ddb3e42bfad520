package auth

import "fmt"

// Role is what a caller may do; each includes those before it.
type Role int

// The roles. Public is a caller without credentials.
const (
	Public Role = iota
	Viewer
	Admin
)

var roleNames = [...]string{Public: "public", Viewer: "viewer", Admin: "admin"}

// String returns the name of the role.
func (r Role) String() string {
	if r < 0 || int(r) >= len(roleNames) {
		return fmt.Sprintf("Role(%d)", int(r))
	}
	return roleNames[r]
}

// MarshalText returns the name of the role.
func (r Role) MarshalText() ([]byte, error) {
	if r < 0 || int(r) >= len(roleNames) {
		return nil, fmt.Errorf("unknown role %d", int(r))
	}
	return []byte(roleNames[r]), nil
}

// UnmarshalText parses the name of any role.
func (r *Role) UnmarshalText(text []byte) error {
	for i, name := range roleNames {
		if name == string(text) {
			*r = Role(i)
			return nil
		}
	}
	return fmt.Errorf("role %q: must be public, viewer or admin", text)
}

// ParseRole parses a role that a user or token can have.
func ParseRole(name string) (Role, error) {
	switch name {
	case roleNames[Viewer]:
		return Viewer, nil
	case roleNames[Admin]:
		return Admin, nil
	}
	return Public, fmt.Errorf("%w: role %q: must be viewer or admin", ErrInvalid, name)
}
