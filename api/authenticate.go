package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sysotel/agent/auth"
)

// authenticate finds out who sent a request, before anything looks at it.
//
// Credentials that are shown are checked, and wrong ones are refused: whoever
// shows them means to be somebody, and an answer to nobody in particular would
// hide the mistake. Only a browser's cookie that has run out is taken for none,
// because the browser sends it without being asked to and must still reach the
// page to log in; what needs a role then refuses it as it refuses nobody.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller := callerOf(r.Context())
		if caller.Socket || s.options.Auth == nil {
			next.ServeHTTP(w, r)
			return
		}
		before := caller
		if client := s.proxies.client(r); client != peerOf(r) {
			// A proxy on this machine brings people who are not on it.
			caller = Caller{Address: client.String()}
		}
		if caller.Local && s.gate.isForeign(r) {
			caller.Role = min(caller.Role, Viewer) // A page of http.cors is not the person at the machine.
		}
		var ok bool
		switch header := r.Header["Authorization"]; {
		case len(header) > 0:
			caller, ok = s.bearer(w, r, caller, header)
		case s.options.Authenticate:
			caller, ok = s.visitor(w, r, caller)
		default:
			ok = true
		}
		if a, is := w.(*answer); is {
			a.caller = caller
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

// bearer judges the header Authorization: a token of a log-in or an API token,
// or one of these as the password of HTTP basic, which Prometheus, Grafana and
// curl know, under any user name. It has answered itself where ok is false.
func (s *Server) bearer(w http.ResponseWriter, r *http.Request, caller Caller, header []string) (_ Caller, ok bool) {
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

// visitor judges the cookie of a browser.
func (s *Server) visitor(w http.ResponseWriter, r *http.Request, caller Caller) (_ Caller, ok bool) {
	// A page of another origin may call with a token, never with our cookie.
	token := cookie(r, s.accessCookie(r))
	if token == "" || s.gate.isForeign(r) {
		return caller, true
	}
	identity, err := s.options.Auth.Verify(token)
	if err != nil {
		return caller, true
	}
	if isUnsafe(r.Method) && !s.gate.isOwn(r) {
		writeProblem(w, http.StatusForbidden, "A request with a cookie that makes changes must come from a page of this server, according to its Origin. Programs: send a token in the Authorization header.")
		return caller.as(identity, token), false
	}
	return caller.as(identity, token), true
}

// as is the caller after a log-in, which counts for more than where he is.
func (c Caller) as(identity auth.Identity, token string) Caller {
	return Caller{Role: identity.Role, Identity: identity, Address: c.Address, shown: credential(token)}
}

// isStill tells whether what a caller showed is still taken. An answer that lasts
// asks again and again, so that it ends with a log-out, with the token, and with
// a role that is taken away.
func (s *Server) isStill(c Caller) bool {
	if c.shown == "" {
		return true
	}
	identity, err := s.options.Auth.Verify(string(c.shown))
	return err == nil && identity.Role >= c.Role
}

// cutScheme cuts the scheme of an Authorization header, in any case of letters.
func cutScheme(header, scheme string) (rest string, ok bool) {
	if len(header) < len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	return strings.TrimSpace(header[len(scheme):]), true
}

// isUnsafe tells whether a method may change something.
func isUnsafe(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// whyDenied says why a token is not taken.
func whyDenied(err error) string {
	if errors.Is(err, auth.ErrExpired) {
		return "The token has expired; log in again or use another API token."
	}
	return "The token is invalid; log in again or use another API token."
}

// unauthorized answers 401. HTTP basic is not offered to a browser: it would put
// its own box before the page, and there is a page to log in.
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

// admit lets through who may come in by a way with this access, and answers the
// others itself.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, a Access) bool {
	caller := callerOf(r.Context())
	if s.awaitsSetup() && !a.BeforeSetup && !caller.Socket && caller.Identity.Kind != auth.KindToken {
		s.refuseBeforeSetup(w, r)
		return false
	}
	if caller.roleFor(a) >= a.Role {
		return true
	}
	switch {
	case caller.Role == Public && s.options.Authenticate && isNavigation(r):
		redirectTo(loginPath+"?next="+url.QueryEscape(r.URL.RequestURI()))(w, r)
	case caller.Role == Public && s.options.Authenticate:
		unauthorized(w, r, "This requires the role "+a.Role.String()+"; log in, or send an API token created with sysotel token add.")
	case caller.Role == Public:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+", which only requests from the machine itself (loopback) have.")
	case caller.Local:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+" through a login, an API token or the Unix socket in the agent's data directory; being on the machine is not enough.")
	default:
		writeProblem(w, http.StatusForbidden, "This requires the role "+a.Role.String()+", but you are "+caller.Role.String()+"; the Unix socket in the agent's data directory grants it.")
	}
	return false
}

// awaitsSetup tells whether there is no administrator where one is needed.
func (s *Server) awaitsSetup() bool {
	return s.options.Authenticate && s.options.Auth != nil && s.options.Auth.NeedsSetup()
}

// refuseBeforeSetup says how the first administrator is made, a browser by the page for it.
func (s *Server) refuseBeforeSetup(w http.ResponseWriter, r *http.Request) {
	if isNavigation(r) {
		s.writeSetupPage(w, http.StatusUnauthorized)
		return
	}
	unauthorized(w, r, "There is no administrator yet. Open the setup link the agent printed at its start, or run sysotel user add NAME --role admin on the machine. API tokens created with sysotel token add already work.")
}

// isNavigation tells whether a person opens a page in a browser.
func isNavigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && len(r.Header["Authorization"]) == 0 &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}
