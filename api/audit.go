package api

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"sysotel/agent/auth"
)

// deed is one line of the audit log: what somebody did or wanted to do.
type deed struct {
	// Action is what: "log-in", "add user". Outcome is "done" or "refused".
	Action, Outcome string
	// Kind and Name say who: a user, a token, the socket or nobody.
	Kind, Name string
	// Address is where from, Target what it was done to.
	Address, Target string
	// Count is how many such deeds the line stands for.
	Count int
}

// The outcomes.
const (
	done    = "done"
	refused = "refused"
)

// audit writes a line of the audit log. It is the only function that does, so
// that every name in it, which anybody may have chosen, is made printable here.
func (s *Server) audit(d deed) {
	s.options.Audit.LogAttrs(context.Background(), slog.LevelInfo, "audit",
		slog.String("action", d.Action), slog.String("outcome", d.Outcome),
		slog.String("kind", d.Kind), slog.String("name", auditable(d.Name)),
		slog.String("client", auditable(d.Address)), slog.String("target", auditable(d.Target)), slog.Int("count", max(1, d.Count)))
}

// did is what the caller did, for the audit log.
func (c Caller) did(action, target string) deed {
	d := c.deed()
	d.Action, d.Outcome, d.Target = action, done, target
	return d
}

// deed begins a line with who and where from.
func (c Caller) deed() deed {
	d := deed{Address: c.Address, Kind: string(c.Identity.Kind), Name: c.Identity.Name}
	switch {
	case c.Socket:
		d.Kind = "socket"
	case c.Local:
		d.Kind = "local"
	case c.Identity.Kind == "":
		d.Kind = "nobody"
	}
	return d
}

// auditable cuts a name and replaces what could hide or turn a part of the line,
// such as the signs that change the direction of writing.
func auditable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(echo(s), "?"))
}

const (
	// refusalTime is the time in which refusals of one kind make one line.
	refusalTime = time.Minute
	// maxRefusals bounds the clients that are told apart in that time; a network of
	// attackers must take no memory.
	maxRefusals = 1000
)

// refusals counts what was refused, so that who asks a thousand times a second
// makes a line a minute and no more.
type refusals struct {
	mu   sync.Mutex
	seen map[refusal]*refusalCount
}

// refusal is what one line stands for.
type refusal struct{ address, action string }

// refusalCount is the line that was written and how many came after it.
type refusalCount struct {
	first deed
	at    time.Time
	more  int
}

// refuse writes that something was refused: the first time at once, more of the
// same within a minute in one line at its end.
func (s *Server) refuse(d deed) {
	d.Outcome = refused
	now := time.Now()
	s.refused.mu.Lock()
	if s.refused.seen == nil {
		s.refused.seen = map[refusal]*refusalCount{}
	}
	key := refusal{d.Address, d.Action}
	seen := s.refused.seen[key]
	if seen == nil && len(s.refused.seen) >= maxRefusals {
		d.Address, d.Kind, d.Name = "others", "", ""
		key = refusal{d.Address, d.Action}
		seen = s.refused.seen[key]
	}
	if seen != nil {
		seen.more++
		s.refused.mu.Unlock()
		return
	}
	s.refused.seen[key] = &refusalCount{first: d, at: now}
	s.refused.mu.Unlock()
	s.audit(d)
}

// writeRefusals writes a line for each kind of refusal that came more than once,
// and forgets those whose minute is over, or all.
func (s *Server) writeRefusals(all bool) {
	var lines []deed
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
			seen.at, seen.more = now, 0 // The line opens the next minute.
		}
	}
	s.refused.mu.Unlock()
	for _, line := range lines {
		s.audit(line)
	}
}

// noteRefusals has every answer that refuses somebody in the audit log. What an
// operation has written itself is left to it.
func (s *Server) noteRefusals(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		a, ok := w.(*answer)
		if !ok || a.status != http.StatusUnauthorized && a.status != http.StatusForbidden && a.status != http.StatusTooManyRequests {
			return
		}
		if a.status == http.StatusUnauthorized && auditsItself(r.URL.Path) {
			return
		}
		caller := a.caller
		if caller == (Caller{}) {
			caller = callerOf(r.Context())
		}
		d := caller.deed()
		d.Action, d.Target = "request "+strconv.Itoa(a.status), r.Method+" "+r.URL.Path
		s.refuse(d)
	})
}

// refuseLogin is refuse for who wanted to be somebody.
func (s *Server) refuseLogin(ctx context.Context, action, name string) {
	d := callerOf(ctx).deed()
	d.Action, d.Target, d.Kind, d.Name = action, name, string(auth.KindUser), ""
	s.refuse(d)
}
