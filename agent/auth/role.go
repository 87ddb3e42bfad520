package auth

import "fmt"

// Role is what a caller may do; each may do what those before it may.
type Role int

// The roles. Public is who has shown nothing.
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
		return nil, fmt.Errorf("role %d is none that there is", int(r))
	}
	return []byte(roleNames[r]), nil
}

// UnmarshalText takes the name of any role.
func (r *Role) UnmarshalText(text []byte) error {
	for i, name := range roleNames {
		if name == string(text) {
			*r = Role(i)
			return nil
		}
	}
	return fmt.Errorf("role %q: one of public, viewer, admin is allowed", text)
}

// ParseRole reads a role that can be given to somebody.
func ParseRole(name string) (Role, error) {
	switch name {
	case roleNames[Viewer]:
		return Viewer, nil
	case roleNames[Admin]:
		return Admin, nil
	}
	return Public, fmt.Errorf("%w: role %q: viewer or admin is allowed", ErrInvalid, name)
}
