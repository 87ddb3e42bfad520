package api

import (
	"context"
	"net/http"
	"time"

	"sysotel/agent/auth"
)

// User is a user who can log in.
type User struct {
	ID              string    `json:"id" doc:"User ID; never changes."`
	Name            string    `json:"name" doc:"Login name."`
	Role            Role      `json:"role" enum:"viewer,admin" doc:"Role: a viewer can see everything that is measured, an admin can also make changes."`
	Created         time.Time `json:"created" doc:"When the user was created."`
	PasswordChanged time.Time `json:"password_changed" doc:"When the password was last set."`
	LastLogin       time.Time `json:"last_login,omitzero" doc:"Time of the last login; absent if there was none."`
}

// Users is the response of /users.
type Users struct {
	Users []User `json:"users" nullable:"false" doc:"All users, sorted by name."`
}

// UserRequest creates a user.
type UserRequest struct {
	Name     string `json:"name" doc:"Login name: 1 to 64 letters, digits and . _ - @." example:"grace"`
	Password string `json:"password" doc:"Password, at least 12 bytes." example:"…"`
	Role     string `json:"role,omitempty" enum:"viewer,admin" default:"viewer" doc:"Role of the user." example:"viewer"`
}

// UserChange changes a user.
type UserChange struct {
	Role     string `json:"role,omitempty" enum:"viewer,admin" doc:"New role. It takes effect immediately, also in open sessions." example:"admin"`
	Password string `json:"password,omitempty" doc:"New password, at least 12 bytes. It ends all sessions of the user."`
}

type (
	usersOutput struct{ Body Users }
	userOutput  struct{ Body User }
	userInput   struct{ Body UserRequest }
	userIDInput struct {
		ID string `path:"id" maxLength:"64" doc:"User ID."`
	}
	userPatchInput struct {
		ID   string `path:"id" maxLength:"64" doc:"User ID."`
		Body UserChange
	}
)

var exampleUser = User{ID: "01JM3ZC8V5T1", Name: "grace", Role: Viewer, Created: exampleTime, PasswordChanged: exampleTime}

// Users registers the operations of this file.
func (operations) Users(s *Server) {
	// Creating users grants access.
	access := Access{Role: Admin, Cost: Query, Guarded: true}
	const path = "/api/v1/users"
	register(s, Operation{
		ID: "list-users", Method: http.MethodGet, Path: path, Table: "users",
		Summary: "List users", Description: "Everyone who can log in.",
		Access: access, Example: Users{[]User{exampleUser}}, Errors: []int{http.StatusServiceUnavailable},
	}, func(context.Context, *struct{}) (*usersOutput, error) {
		accounts, err := s.accounts()
		if err != nil {
			return nil, err
		}
		out := &usersOutput{Users{Users: []User{}}}
		for _, u := range accounts.Users() {
			out.Body.Users = append(out.Body.Users, userResponse(u))
		}
		return out, nil
	})
	register(s, Operation{
		ID: "add-user", Method: http.MethodPost, Path: path,
		Summary: "Add a user", Description: "The user can log in immediately.",
		Access: access, Example: exampleUser, Errors: []int{http.StatusConflict, http.StatusServiceUnavailable},
	}, s.addUser)
	register(s, Operation{
		ID: "change-user", Method: http.MethodPatch, Path: path + "/{id}",
		Summary: "Change a user", Description: "Changes the role or the password of a user. The last administrator cannot be demoted.",
		Access: access, Example: exampleUser, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.changeUser)
	register(s, Operation{
		ID: "remove-user", Method: http.MethodDelete, Path: path + "/{id}",
		Summary: "Remove a user", Description: "Removes a user and ends their sessions. The last administrator cannot be removed.",
		Access: access, Example: Done{true}, Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
	}, s.removeUser)
}

func (s *Server) addUser(ctx context.Context, in *userInput) (*userOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	role, err := auth.ParseRole(in.Body.Role)
	if err != nil {
		return nil, accountProblem(err)
	}
	u, err := accounts.AddUser(ctx, in.Body.Name, in.Body.Password, role)
	if err != nil {
		return nil, accountProblem(err)
	}
	s.audit(callerOf(ctx).did("add user as "+role.String(), u.Name))
	return &userOutput{userResponse(u)}, nil
}

func (s *Server) changeUser(ctx context.Context, in *userPatchInput) (*userOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	u, err := s.userOfID(accounts, in.ID)
	if err != nil {
		return nil, err
	}
	// The password first, because it can be rejected.
	if in.Body.Password != "" {
		if err := accounts.SetPassword(ctx, in.ID, in.Body.Password); err != nil {
			return nil, accountProblem(err)
		}
		s.audit(callerOf(ctx).did("set password", u.Name))
	}
	if in.Body.Role != "" {
		role, err := auth.ParseRole(in.Body.Role)
		if err != nil {
			return nil, accountProblem(err)
		}
		if _, err = accounts.SetRole(in.ID, role); err != nil {
			return nil, accountProblem(err)
		}
		s.audit(callerOf(ctx).did("make user "+role.String(), u.Name))
	}
	if u, err = s.userOfID(accounts, in.ID); err != nil {
		return nil, err
	}
	return &userOutput{userResponse(u)}, nil
}

func (s *Server) removeUser(ctx context.Context, in *userIDInput) (*doneOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	u, err := s.userOfID(accounts, in.ID)
	if err != nil {
		return nil, err
	}
	if err := accounts.RemoveUser(in.ID); err != nil {
		return nil, accountProblem(err)
	}
	s.audit(callerOf(ctx).did("remove user", u.Name))
	return &doneOutput{Body: Done{true}}, nil
}

// userOfID finds a user.
func (s *Server) userOfID(accounts *auth.Auth, id string) (auth.User, error) {
	for _, u := range accounts.Users() {
		if u.ID == id {
			return u, nil
		}
	}
	return auth.User{}, accountProblem(auth.ErrNotFound)
}

func userResponse(u auth.User) User {
	return User{
		ID: u.ID, Name: u.Name, Role: u.Role,
		Created: u.Created.UTC(), PasswordChanged: u.PasswordChanged.UTC(), LastLogin: inUTC(u.LastLogin),
	}
}

// inUTC is a time in UTC; the zero time stays zero.
func inUTC(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}
