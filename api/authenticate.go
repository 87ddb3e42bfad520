package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sysotel/agent/auth"
)

// authenticate identifies the caller before any handler sees the request.
//
// Wrong credentials are rejected: a client that sends credentials expects to be
// authenticated; answering anonymously would hide the error. An expired cookie counts
// as no credentials, because browsers send it automatically and must still reach the
// login page; so does an Authorization header that is meant for a proxy, beside a valid
// cookie or where nobody must log in to view. Whom a trusted proxy names is believed
// before a cookie: it asked later.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := callerOf(r.Context())
		if caller.Socket {
			next.ServeHTTP(w, r)
			return
		}
		before := caller
		if client := s.proxies.client(r); client != peerOf(r) {
			// A proxy on this machine forwards clients that are elsewhere.
			caller = Caller{Address: client.String()}
		}
		switch {
		case caller.Local && s.origin.isForeign(r):
			caller.holder = &holder{barred: "this request comes from a page of another site"}
		case caller.Local && s.proxies.forwards(r):
			caller.holder = &holder{barred: "this request came through a proxy"}
		}
		ok := true
		switch header := r.Header["Authorization"]; {
		case s.options.Auth == nil:
		case len(header) > 0 && !s.isForProxy(r, header):
			caller, ok = s.authenticateHeader(w, r, caller, header)
		case s.proxyLogin.names(r):
			caller, ok = s.proxyLogin.identify(w, r, caller)
		case len(header) > 0:
			caller, ok = s.authenticateBeside(w, r, caller, header)
		default:
			caller, ok = s.authenticateCookie(w, r, caller)
		}
		if response, ok := w.(*responseWriter); ok {
			response.caller = caller
		}
		if !ok {
			return
		}
		if caller.Identity.ID != "" {
			markKnown(r.Context())
		}
		if caller != before {
			r = r.WithContext(withCaller(r.Context(), caller))
		}
		next.ServeHTTP(w, r)
	})
}

// isForProxy reports whether an Authorization header is of another server than ours.
func (s *Server) isForProxy(r *http.Request, header []string) bool {
	if len(header) > 1 || header[0] == "" || strings.EqualFold(header[0], "Bearer") {
		return false
	}
	token, isBearer := cutScheme(header[0], "Bearer ")
	if _, password, isBasic := r.BasicAuth(); isBasic {
		token = password
	} else if !isBearer {
		return true
	}
	return token != "" && !s.options.Auth.Issued(token)
}

// authenticateBeside identifies a caller whose Authorization header is meant for a proxy:
// by the cookie, or as one who needs no login to view. Such a caller comes through the
// proxy and administers nothing without a login. Others are rejected; it has already
// responded if ok is false.
func (s *Server) authenticateBeside(w http.ResponseWriter, r *http.Request, caller Caller, header []string) (_ Caller, ok bool) {
	known, ok := s.authenticateCookie(w, r, caller)
	switch {
	case !ok || known.Identity.ID != "":
		return known, ok
	case caller.Role >= Viewer:
		caller.holder = &holder{barred: "this request has credentials for a proxy"}
		return caller, true
	}
	return s.authenticateHeader(w, r, caller, header)
}

// authenticateHeader checks the Authorization header: the access token of a login
// or an API token, or one of these as the password of HTTP basic authentication
// with any user name. It has already responded if ok is false.
func (s *Server) authenticateHeader(w http.ResponseWriter, r *http.Request, caller Caller, header []string) (_ Caller, ok bool) {
	token, isBearer := cutScheme(header[0], "Bearer ")
	if !isBearer {
		_, token, isBearer = r.BasicAuth()
	}
	if !isBearer || len(header) > 1 {
		unauthorized(w, r, "The Authorization header must be Bearer with a token, or Basic with an API token as the password.")
		return caller, false
	}
	identity, err := s.options.Auth.Verify(token)
	if err != nil {
		if !s.routes.rates.failed(w, r) {
			unauthorized(w, r, whyDenied(err))
		}
		return caller, false
	}
	return caller.as(identity, token), true
}

// authenticateCookie checks the cookie of a browser. It has already responded if ok is false.
func (s *Server) authenticateCookie(w http.ResponseWriter, r *http.Request, caller Caller) (_ Caller, ok bool) {
	if len(r.Header["Cookie"]) == 0 {
		return caller, true
	}
	// A page of another origin may use a token, never our cookie.
	token := cookie(r, s.accessCookie(r))
	if token == "" || s.origin.isForeign(r) {
		return caller, true
	}
	identity, err := s.options.Auth.Verify(token)
	if err != nil {
		return caller, true
	}
	if isUnsafe(r.Method) && !s.origin.isOwn(r) {
		writeProblem(w, http.StatusForbidden, "A request with a cookie that makes changes must come from a page of this server, according to its Origin. Programs: send a token in the Authorization header.")
		return caller.as(identity, token), false
	}
	return caller.as(identity, token), true
}

// as is the caller with an identity, which replaces the role of its location.
func (c Caller) as(identity auth.Identity, token string) Caller {
	return Caller{Role: identity.Role, Identity: identity, Address: c.Address, shown: credential(token)}
}

// isStill reports whether the caller's token is still valid with the same role.
// Streams check it repeatedly, so that they end on logout, when the token expires
// and when the role is taken away; those of a proxy's user end after a while.
func (s *Server) isStill(c Caller) bool {
	if !c.until.IsZero() {
		return s.now().Before(c.until)
	}
	if c.shown == "" {
		return true
	}
	identity, err := s.options.Auth.Verify(string(c.shown))
	return err == nil && identity.Role >= c.Role
}

// cutScheme cuts the scheme off an Authorization header, ignoring case.
func cutScheme(header, scheme string) (rest string, ok bool) {
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimSpace(header[len(scheme):]), true
}

// isUnsafe reports whether a method may change state.
func isUnsafe(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// whyDenied explains why a token is rejected.
func whyDenied(err error) string {
	if errors.Is(err, auth.ErrExpired) {
		return "The token has expired; log in again or use another API token."
	}
	return "The token is invalid; log in again or use another API token."
}

// unauthorized responds with 401. HTTP basic is not offered to browsers: they would
// show their own dialog instead of the login page.
func unauthorized(w http.ResponseWriter, r *http.Request, detail string) {
	challenge := `Bearer realm="sysotel"`
	if len(r.Header["Authorization"]) > 0 {
		challenge += `, error="invalid_token"`
	}
	w.Header().Add("WWW-Authenticate", challenge)
	if r.Header.Get("Sec-Fetch-Mode") == "" {
		w.Header().Add("WWW-Authenticate", `Basic realm="sysotel", charset="UTF-8"`)
	}
	writeProblem(w, http.StatusUnauthorized, detail)
}

// authorize reports whether the caller has the required access; if not, it has
// already responded.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, a Access) bool {
	caller := callerOf(r.Context())
	if s.awaitsSetup() && !a.BeforeSetup && !caller.Socket && caller.Identity.Kind != auth.KindToken && caller.Identity.Kind != auth.KindProxy {
		s.refuseBeforeSetup(w, r)
		return false
	}
	if caller.roleFor(a) >= a.Role {
		return true
	}
	switch {
	case caller.Role == Public && caller.Identity.Kind == auth.KindProxy:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+", and none of the groups that the proxy gives you has one here; see auth.proxy.viewers and auth.proxy.admins.")
	case caller.Role == Public && s.options.Authenticate && isNavigation(r):
		redirectTo(loginPath+"?next="+url.QueryEscape(r.URL.RequestURI()))(w, r)
	case caller.Role == Public && s.options.Authenticate:
		unauthorized(w, r, "This requires the role "+a.Role.String()+"; log in, or send an API token created with sysotel token add.")
	case caller.Role == Public:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+", which without a login or an API token only requests from the machine itself (loopback) can have.")
	case caller.Local && a.Guarded:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+" through a login, an API token or the Unix socket in the agent's data directory; being on the machine is not enough.")
	case caller.Local:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+", which without a login only root and the agent's user have, and "+caller.holder.why()+
			"; log in, send an API token, or use the Unix socket in the agent's data directory.")
	default:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+", but you are "+caller.Role.String()+"; the Unix socket in the agent's data directory grants it.")
	}
	return false
}

// awaitsSetup reports whether the first administrator is still missing.
func (s *Server) awaitsSetup() bool {
	return s.options.Authenticate && s.options.Auth != nil && s.options.Auth.NeedsSetup()
}

// refuseBeforeSetup explains how to create the first administrator; browsers get the setup page.
func (s *Server) refuseBeforeSetup(w http.ResponseWriter, r *http.Request) {
	if isNavigation(r) {
		s.writeSetupPage(w, http.StatusUnauthorized)
		return
	}
	unauthorized(w, r, "There is no administrator yet. Open the setup link the agent printed at its start, or run sysotel user add NAME --role admin on the machine. API tokens created with sysotel token add already work.")
}

// isNavigation reports whether a browser is opening a page.
func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && len(r.Header["Authorization"]) == 0 &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}
