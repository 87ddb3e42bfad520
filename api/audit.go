package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sysotel/agent/auth"
	"sysotel/instruments/sanitize"
)

// auditEntry is one line of the audit log: what a caller did or tried to do.
type auditEntry struct {
	// Action is such as "log-in" or "add user". Outcome is "done" or "refused".
	Action, Outcome string
	// Kind and Name identify the caller: a user, a token, the socket or nobody.
	Kind, Name string
	// Address is the caller's address, Target what was acted on.
	Address, Target string
	// Count is how many identical entries the line stands for.
	Count int
}

// The outcomes.
const (
	done    = "done"
	refused = "refused"
)

// audit writes a line of the audit log. It is the only function that does, so
// that every untrusted name is sanitized here.
func (s *Server) audit(e auditEntry) {
	s.options.Audit.LogAttrs(context.Background(), slog.LevelInfo, "audit",
		slog.String("action", e.Action), slog.String("outcome", e.Outcome),
		slog.String("kind", e.Kind), slog.String("name", auditable(e.Name)),
		slog.String("client", auditable(e.Address)), slog.String("target", auditable(e.Target)), slog.Int("count", max(1, e.Count)))
}

// did is the audit entry of something the caller did.
func (c Caller) did(action, target string) auditEntry {
	e := c.auditEntry()
	e.Action, e.Outcome, e.Target = action, done, target
	return e
}

// auditEntry is an entry with only the caller filled in.
func (c Caller) auditEntry() auditEntry {
	e := auditEntry{Address: c.Address, Kind: string(c.Identity.Kind), Name: c.Identity.Name}
	switch {
	case c.Socket:
		e.Kind = "socket"
	case c.Local:
		e.Kind = "local"
		if c.holder.administers() {
			e.Name = "uid " + strconv.Itoa(int(c.holder.uid))
		}
	case c.Identity.Kind == "":
		e.Kind = "nobody"
	}
	return e
}

// auditable shortens an untrusted name and makes it one printable line.
func auditable(s string) string { return sanitize.ReplaceUnprintable(echo(s)) }

const (
	// refusalTime is the time over which equal refusals are combined into one line.
	refusalTime = time.Minute
	// maxRefusals bounds the clients distinguished in that time, and so the memory
	// that attackers can use.
	maxRefusals = 1000
)

// refusals combines refused requests, so that a client with a thousand requests a
// second causes one line a minute.
type refusals struct {
	mu   sync.Mutex
	seen map[refusal]*refusalCount
}

// refusal identifies refusals that share a line.
type refusal struct{ address, action string }

// refusalCount is the line written first and the number of refusals since.
type refusalCount struct {
	first auditEntry
	at    time.Time
	more  int
}

// refuse audits a refusal: the first one immediately, equal ones within a minute
// in one line at its end.
func (s *Server) refuse(e auditEntry) {
	e.Outcome = refused
	now := time.Now()
	s.refused.mu.Lock()
	if s.refused.seen == nil {
		s.refused.seen = map[refusal]*refusalCount{}
	}
	key := refusal{e.Address, e.Action}
	seen := s.refused.seen[key]
	if seen == nil && len(s.refused.seen) >= maxRefusals {
		e.Address, e.Kind, e.Name = "others", "", ""
		key = refusal{e.Address, e.Action}
		seen = s.refused.seen[key]
	}
	if seen != nil {
		seen.more++
		s.refused.mu.Unlock()
		return
	}
	s.refused.seen[key] = &refusalCount{first: e, at: now}
	s.refused.mu.Unlock()
	s.audit(e)
}

// writeRefusals writes a line for each repeated refusal whose minute is over, or
// for all of them, and forgets them.
func (s *Server) writeRefusals(all bool) {
	var lines []auditEntry
	now := time.Now()
	s.refused.mu.Lock()
	for key, seen := range s.refused.seen {
		if !all && now.Sub(seen.at) < refusalTime {
			continue
		}
		if seen.more == 0 || all {
			delete(s.refused.seen, key)
		}
		if seen.more > 0 {
			line := seen.first
			line.Count = seen.more
			lines = append(lines, line)
			seen.at, seen.more = now, 0 // The line starts the next minute.
		}
	}
	s.refused.mu.Unlock()
	for _, line := range lines {
		s.audit(line)
	}
}

// auditRefusals audits every response with status 401, 403 or 429, except those
// that the operation audits itself.
func (s *Server) auditRefusals(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		response, ok := w.(*responseWriter)
		if !ok || response.status != http.StatusUnauthorized && response.status != http.StatusForbidden && response.status != http.StatusTooManyRequests {
			return
		}
		if response.status == http.StatusUnauthorized && auditsItself(r.URL.Path) {
			return
		}
		caller := response.caller
		if caller == (Caller{}) {
			caller = callerOf(r.Context())
		}
		e := caller.auditEntry()
		e.Action, e.Target = "request "+strconv.Itoa(response.status), r.Method+" "+r.URL.Path
		s.refuse(e)
	})
}

// refuseLogin audits a failed login for a user name.
func (s *Server) refuseLogin(ctx context.Context, action, name string) {
	e := callerOf(ctx).auditEntry()
	e.Action, e.Target, e.Kind, e.Name = action, name, string(auth.KindUser), ""
	s.refuse(e)
}
