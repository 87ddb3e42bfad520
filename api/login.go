package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sysotel/agent/auth"
)

// The schemas of secrets have no rules, because values that violate them are
// repeated in the error. The rules for passwords are those of agent/auth.

// SetupRequest creates the first administrator.
type SetupRequest struct {
	Code     string `json:"code" doc:"Code of the setup link: the part after the #." example:"…"`
	Name     string `json:"name" doc:"Login name of the first administrator: 1 to 64 letters, digits and . _ - @." example:"ada"`
	Password string `json:"password" doc:"Password, at least 12 bytes." example:"…"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Store the tokens in HttpOnly cookies instead of returning them. For the pages of this server."`
}

// LoginRequest starts a session.
type LoginRequest struct {
	Name     string `json:"name" doc:"Login name." example:"ada"`
	Password string `json:"password" doc:"Password." example:"…"`
	Cookie   bool   `json:"cookie,omitempty" doc:"Store the tokens in HttpOnly cookies instead of returning them. For the pages of this server."`
}

// RefreshRequest refreshes a session.
type RefreshRequest struct {
	RefreshToken string `json:"refresh_token,omitempty" doc:"Refresh token from the login or the last refresh; absent with cookie." example:"…"`
	Cookie       bool   `json:"cookie,omitempty" doc:"Read the refresh token from the cookie and store the new tokens in cookies."`
}

// PasswordRequest changes the caller's password.
type PasswordRequest struct {
	OldPassword string `json:"old_password" doc:"Current password." example:"…"`
	NewPassword string `json:"new_password" doc:"New password, at least 12 bytes." example:"…"`
	Cookie      bool   `json:"cookie,omitempty" doc:"Store the tokens of the new session in HttpOnly cookies, as for the login."`
}

// Me is the caller.
type Me struct {
	Kind string `json:"kind" enum:"user,token,proxy,socket,local" doc:"user: logged in; token: API token; proxy: logged in by the reverse proxy; socket: through the agent's Unix socket; local: on the machine itself, without a login."`
	ID   string `json:"id,omitempty" doc:"ID of the user or token."`
	Name string `json:"name,omitempty" doc:"Name of the user or token; on the machine itself without a login, the user of the connection if it administers, such as uid 0."`
	Role Role   `json:"role" enum:"viewer,admin" doc:"Role of the caller. Without a login it does not cover operations that write files, run commands or grant access."`
	// CanRefresh is for the dashboard where nobody needs a login: nothing is refused
	// there when the access token of its session has expired.
	CanRefresh bool `json:"can_refresh,omitempty" doc:"Whether the browser has a session whose access token has expired: refresh it with cookie."`
}

// Session is the response of a login.
type Session struct {
	User             Me        `json:"user" doc:"The logged-in user."`
	AccessToken      string    `json:"access_token,omitempty" doc:"Send it as Authorization: Bearer with each request; absent with cookie."`
	ExpiresAt        time.Time `json:"expires_at" doc:"When the access token expires."`
	RefreshToken     string    `json:"refresh_token,omitempty" doc:"Exchange it once for new tokens; absent with cookie."`
	RefreshExpiresAt time.Time `json:"refresh_expires_at" doc:"When the session ends, no matter how often it is refreshed."`
}

// Done is the response of operations without a result.
type Done struct {
	Done bool `json:"done" doc:"Always true; failures are returned as errors."`
}

type (
	setupInput struct {
		browser
		Body SetupRequest
	}
	loginInput struct {
		browser
		Body LoginRequest
	}
	refreshInput struct {
		browser
		Body RefreshRequest
	}
	logoutInput   struct{ browser }
	meInput       struct{ browser }
	passwordInput struct {
		browser
		Body PasswordRequest
	}

	sessionOutput struct {
		SetCookie []http.Cookie `header:"Set-Cookie"`
		Body      Session
	}
	doneOutput struct {
		SetCookie []http.Cookie `header:"Set-Cookie"`
		Body      Done
	}
	meOutput struct{ Body Me }
)

// The actions that start a session, in the audit log.
const (
	setUp = "set-up"
	logIn = "log-in"
)

// exampleSession is the example of a login.
var exampleSession = Session{
	User:        Me{Kind: "user", ID: "01JM3ZC8V5T1", Name: "ada", Role: Admin},
	AccessToken: "eyJ…", ExpiresAt: exampleTime.Add(15 * time.Minute),
	RefreshToken: "…", RefreshExpiresAt: exampleTime.Add(30 * 24 * time.Hour),
}

// Login registers the operations of this file.
func (operations) Login(s *Server) {
	errs := []int{http.StatusConflict, http.StatusServiceUnavailable}
	register(s, Operation{
		ID: "set-up", Method: http.MethodPost, Path: authPath + "/setup",
		Summary: "Create the first administrator",
		Description: "Takes the code of the setup link, which the agent prints at its start if it is reachable from other machines and has no administrator. " +
			"The code is valid for 15 minutes and for one use. The response is that of a login.",
		Access: Access{Role: Public, Cost: Query, BeforeSetup: true, Harmless: "it requires the code of the setup link"}, Example: exampleSession, Errors: errs,
	}, func(ctx context.Context, in *setupInput) (*sessionOutput, error) {
		return s.begin(ctx, setUp, in.Body.Name, in.browser, in.Body.Cookie, func(a *auth.Auth) (auth.Grant, error) {
			return a.Setup(ctx, in.Body.Code, in.Body.Name, in.Body.Password)
		})
	})
	register(s, Operation{
		ID: "log-in", Method: http.MethodPost, Path: authPath + "/login",
		Summary: "Log in",
		Description: "Returns a short-lived access token, to be sent as `Authorization: Bearer` with each request, and a refresh token to exchange for the next pair. " +
			"Long-running programs should use an API token instead, created with `sysotel token add` or `/api/v1/tokens`.",
		Access: Access{Role: Public, Cost: Query, Harmless: "it requires the password"}, Example: exampleSession, Errors: errs,
	}, func(ctx context.Context, in *loginInput) (*sessionOutput, error) {
		return s.begin(ctx, logIn, in.Body.Name, in.browser, in.Body.Cookie, func(a *auth.Auth) (auth.Grant, error) {
			return a.Login(ctx, in.Body.Name, in.Body.Password)
		})
	})
	register(s, Operation{
		ID: "refresh", Method: http.MethodPost, Path: authPath + "/refresh",
		Summary: "Refresh a session",
		Description: "Exchanges a refresh token for new tokens; each refresh token can be used once. " +
			"If one is used twice it may have been stolen, so the session ends. Only if it comes again within 30 seconds, as from a second tab of a browser, " +
			"the status is 409 without tokens, and the session continues with the newer ones.",
		Access: Access{Role: Public, Cost: Query, Harmless: "it requires the refresh token"}, Example: exampleSession, Errors: errs,
	}, s.refresh)
	register(s, Operation{
		ID: "log-out", Method: http.MethodPost, Path: authPath + "/logout",
		Summary:     "Log out",
		Description: "Ends the session of the access token and invalidates all its tokens. Session cookies are cleared.",
		Access:      Access{Role: Viewer, Cost: Cheap, Harmless: "it ends the caller's own session"}, Example: Done{true}, Errors: errs,
	}, s.logOut)
	register(s, Operation{
		ID: "get-me", Method: http.MethodGet, Path: authPath + "/me",
		Summary:     "Get the caller",
		Description: "The logged-in user or the API token with its role; without credentials, where the request came from.",
		Access:      Access{Role: Viewer, Cost: Cheap}, Example: exampleSession.User,
	}, func(ctx context.Context, in *meInput) (*meOutput, error) {
		me := meOf(callerOf(ctx))
		me.CanRefresh = me.ID == "" && in.request != nil && cookie(in.request, s.refreshCookie(in.request)) != ""
		return &meOutput{me}, nil
	})
	register(s, Operation{
		ID: "change-password", Method: http.MethodPost, Path: authPath + "/password",
		Summary:     "Change your password",
		Description: "Requires the current password. All sessions of the user end; the response is that of a new login.",
		Access:      Access{Role: Viewer, Cost: Query, Harmless: "it changes the caller's own password and requires the current one"}, Example: exampleSession, Errors: errs,
	}, s.changePassword)
}

// accounts returns the users and tokens. Every agent has them, except the server
// that only generates the OpenAPI document.
func (s *Server) accounts() (*auth.Auth, error) {
	if s.options.Auth == nil {
		return nil, problem(http.StatusServiceUnavailable, "This server has no users.")
	}
	return s.options.Auth, nil
}

// begin starts a session and audits the outcome.
func (s *Server) begin(ctx context.Context, action, name string, from browser, inCookies bool, grant func(*auth.Auth) (auth.Grant, error)) (*sessionOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	if inCookies {
		if err := s.fromOwnPage(from.request); err != nil {
			return nil, err
		}
	}
	granted, err := s.attempt(from.request, name, func() (auth.Grant, error) { return grant(accounts) })
	if err != nil {
		if isDenied(err) {
			s.refuseLogin(ctx, action, name)
		}
		if errors.Is(err, auth.ErrDenied) && action == setUp {
			return nil, challenged(problem(http.StatusUnauthorized, "The code of the setup link is wrong or has been replaced; the agent prints a new link when it starts."))
		}
		return nil, accountProblem(err)
	}
	s.audit(Caller{Identity: granted.Identity, Address: callerOf(ctx).Address}.did(action, name))
	if inCookies {
		if err := accounts.Abandon(cookie(from.request, s.refreshCookie(from.request))); err != nil {
			return nil, accountProblem(err)
		}
	}
	return s.session(from.request, granted, inCookies), nil
}

// attempt tries a password or a code for a name, unless there were too many
// attempts. Callers through the Unix socket are not limited.
func (s *Server) attempt(r *http.Request, name string, try func() (auth.Grant, error)) (auth.Grant, error) {
	addr := s.proxies.client(r)
	if s.logins == nil || !addr.IsValid() {
		return try()
	}
	if wait, ok := s.logins.allow(addr, name); !ok {
		return auth.Grant{}, huma.ErrorWithHeaders(problem(http.StatusTooManyRequests, "Too many attempts with this name or from this address."),
			http.Header{"Retry-After": {seconds(wait)}})
	}
	granted, err := try()
	switch {
	case err == nil:
		s.logins.succeeded(addr, name)
	case !isDenied(err):
		s.logins.unchecked(addr, name)
	}
	return granted, err
}

// session is the response with a grant, in cookies if requested.
func (s *Server) session(r *http.Request, g auth.Grant, inCookies bool) *sessionOutput {
	out := &sessionOutput{Body: Session{
		User: meOf(Caller{Identity: g.Identity, Role: g.Identity.Role}), ExpiresAt: g.AccessUntil.UTC(), RefreshExpiresAt: g.RefreshUntil.UTC(),
	}}
	if inCookies {
		out.SetCookie = s.cookies(r, g)
	} else {
		out.Body.AccessToken, out.Body.RefreshToken = g.Access, g.Refresh
	}
	return out
}

func (s *Server) refresh(ctx context.Context, in *refreshInput) (*sessionOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	token := in.Body.RefreshToken
	if in.Body.Cookie {
		if err := s.fromOwnPage(in.request); err != nil {
			return nil, err
		}
		token = cookie(in.request, s.refreshCookie(in.request))
	}
	if token == "" {
		return nil, challenged(problem(http.StatusUnauthorized, "The refresh token is missing; log in."))
	}
	granted, err := accounts.Refresh(ctx, token)
	switch {
	case errors.Is(err, auth.ErrReused):
		s.refuseLogin(ctx, "refresh token used twice", "")
	case errors.Is(err, auth.ErrDenied):
		s.refuseLogin(ctx, "refresh", "")
		return nil, challenged(problem(http.StatusUnauthorized, "The refresh token is invalid, or its session has ended; log in."))
	case errors.Is(err, auth.ErrRefreshed):
		return nil, problem(http.StatusConflict, "This refresh token was exchanged a moment ago, so newer tokens exist: use those.")
	}
	if err != nil {
		return nil, accountProblem(err)
	}
	return s.session(in.request, granted, in.Body.Cookie), nil
}

func (s *Server) logOut(ctx context.Context, in *logoutInput) (*doneOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	if callerOf(ctx).Identity.Kind == auth.KindProxy {
		return nil, problem(http.StatusConflict, "The reverse proxy has logged you in: log out there.")
	}
	session := callerOf(ctx).Identity.Session
	if session == "" {
		return nil, problem(http.StatusConflict, "There is no session to end: you are not logged in. Revoke API tokens with /api/v1/tokens.")
	}
	if err := accounts.Logout(session); err != nil && !errors.Is(err, auth.ErrNotFound) {
		return nil, accountProblem(err)
	}
	s.audit(callerOf(ctx).did("log-out", ""))
	return &doneOutput{s.cookies(in.request, auth.Grant{}), Done{true}}, nil
}

func (s *Server) changePassword(ctx context.Context, in *passwordInput) (*sessionOutput, error) {
	accounts, err := s.accounts()
	if err != nil {
		return nil, err
	}
	who := callerOf(ctx).Identity
	if who.Kind != auth.KindUser {
		return nil, problem(http.StatusConflict, "Only a logged-in user can change their password; administrators set the password of others with /api/v1/users.")
	}
	if in.Body.Cookie {
		if err := s.fromOwnPage(in.request); err != nil {
			return nil, err
		}
	}
	_, err = s.attempt(in.request, who.Name, func() (auth.Grant, error) {
		return auth.Grant{}, accounts.ChangePassword(ctx, who.ID, in.Body.OldPassword, in.Body.NewPassword)
	})
	if err != nil {
		if isDenied(err) {
			s.refuseLogin(ctx, "change password", who.Name)
			return nil, problem(http.StatusForbidden, "The current password is wrong.")
		}
		return nil, accountProblem(err)
	}
	s.audit(callerOf(ctx).did("change password", who.Name))
	granted, err := accounts.Login(ctx, who.Name, in.Body.NewPassword)
	if err != nil {
		return nil, accountProblem(err)
	}
	return s.session(in.request, granted, in.Body.Cookie), nil
}

// meOf is the caller's own view of themselves.
func meOf(c Caller) Me {
	e := c.auditEntry()
	return Me{Kind: e.Kind, ID: c.Identity.ID, Name: e.Name, Role: c.roleFor(Access{Role: Admin})}
}

// auditsItself reports whether the operation at a path audits its own refusals.
func auditsItself(path string) bool {
	return path == authPath+"/login" || path == authPath+"/setup" || path == authPath+"/refresh"
}

// isDenied reports whether an error means wrong or expired credentials.
func isDenied(err error) bool {
	return errors.Is(err, auth.ErrDenied) || errors.Is(err, auth.ErrExpired) || errors.Is(err, auth.ErrReused)
}

// accountProblem converts an error of agent/auth to a problem. Other errors, such
// as a full disk, are returned unchanged.
func accountProblem(err error) error {
	says := func(status int, detail string) error { return problem(status, detail) }
	switch {
	case errors.Is(err, auth.ErrReused):
		return challenged(says(http.StatusUnauthorized, "This refresh token was already used and may have been stolen, so the session was ended. Log in again."))
	case errors.Is(err, auth.ErrExpired):
		return challenged(says(http.StatusUnauthorized, "It has expired. Log in again; if there is no administrator yet, the agent prints a new setup link when it starts."))
	case errors.Is(err, auth.ErrDenied):
		return challenged(says(http.StatusUnauthorized, "The name or the password is wrong."))
	case errors.Is(err, auth.ErrInvalid):
		return says(http.StatusUnprocessableEntity, sentence(strings.TrimPrefix(err.Error(), auth.ErrInvalid.Error()+": ")))
	case errors.Is(err, auth.ErrNotFound):
		return says(http.StatusNotFound, "There is no such ID.")
	case errors.Is(err, auth.ErrExists):
		return says(http.StatusConflict, "This name is already in use; names are case-insensitive.")
	case errors.Is(err, auth.ErrLastAdmin):
		return says(http.StatusConflict, "This is the last administrator; create another one first.")
	case errors.Is(err, auth.ErrUnavailable):
		return says(http.StatusServiceUnavailable, sentence(err.Error()))
	case errors.Is(err, auth.ErrSetupDone):
		return says(http.StatusConflict, "There already is an administrator; log in.")
	case errors.Is(err, auth.ErrBusy):
		return huma.ErrorWithHeaders(says(http.StatusServiceUnavailable, "Too many logins at once; try again in a moment."), http.Header{"Retry-After": {"2"}})
	}
	return err
}

// challenged adds WWW-Authenticate to a 401. The client is a form or a program with
// a password, so HTTP basic is not offered.
func challenged(err error) error {
	return huma.ErrorWithHeaders(err, http.Header{"WWW-Authenticate": {`Bearer realm="sysotel"`}})
}

// sentence capitalizes a text and ends it with a full stop.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
