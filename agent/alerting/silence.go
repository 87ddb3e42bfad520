package alerting

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"sysotel/agent/regex"
)

// Silence suppresses the notifications of alerts for a time. They are still evaluated
// and listed.
type Silence struct {
	ID       string    `json:"id" doc:"ID of the silence."`
	Start    time.Time `json:"start" doc:"Start time."`
	End      time.Time `json:"end" doc:"End time."`
	Matchers []Matcher `json:"matchers" nullable:"false" doc:"Matchers for the labels of alerts; all must match."`
	Author   string    `json:"author" doc:"User who created it."`
	Comment  string    `json:"comment" doc:"Reason for the silence."`
	Created  time.Time `json:"created" doc:"When it was created."`
	State    string    `json:"state" enum:"pending,active,expired" doc:"Whether it is in effect now. Expired silences are deleted after 5 days."`
}

// Matcher matches a label. The label alertname is the name of the rule, host_name that
// of the machine.
type Matcher struct {
	Name  string `json:"name" minLength:"1" maxLength:"255" doc:"Label, such as alertname, host_name or severity." example:"alertname"`
	Op    string `json:"op,omitempty" enum:"=,!=,=~,!~" default:"=" doc:"Operator; those with ~ match a regular expression."`
	Value string `json:"value" maxLength:"1024" doc:"Value, or regular expression, which must match the whole value." example:"HighCPUUsage"`
}

const (
	// expiredFor is how long expired silences are kept.
	expiredFor = 5 * 24 * time.Hour
	// maxSilence bounds a silence; for longer, disable the rule.
	maxSilence  = 366 * 24 * time.Hour
	maxSilences = 1000
)

// The states of a silence.
const (
	silencePending = "pending"
	silenceActive  = "active"
	silenceExpired = "expired"
)

// state returns the state at a time.
func (s *Silence) state(at time.Time) string {
	switch {
	case !at.Before(s.End):
		return silenceExpired
	case at.Before(s.Start):
		return silencePending
	}
	return silenceActive
}

// matches reports whether the silence applies to an alert with these labels.
func (s *Silence) matches(alert map[string]string) bool {
	for _, m := range s.Matchers {
		compiled, err := m.compile()
		if err != nil || !m.matches(compiled, alert) {
			return false
		}
	}
	return len(s.Matchers) > 0
}

// matches reports whether m, compiled, matches an alert. The name of a renamed rule
// matches if the former name does.
func (m Matcher) matches(compiled *labels.Matcher, alert map[string]string) bool {
	former := formerNames[alert[model.AlertNameLabel]]
	switch value := alert[m.Name]; {
	case m.Name != model.AlertNameLabel || former == "":
		return compiled.Matches(value)
	case compiled.Type == labels.MatchEqual || compiled.Type == labels.MatchRegexp:
		return compiled.Matches(value) || compiled.Matches(former)
	default:
		return compiled.Matches(value) && compiled.Matches(former)
	}
}

// compile converts m to a Prometheus matcher.
func (m Matcher) compile() (*labels.Matcher, error) {
	kind, ok := map[string]labels.MatchType{"": labels.MatchEqual, "=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp}[m.Op]
	if !ok {
		return nil, fmt.Errorf("%s is not one of =, !=, =~, !~", m.Op)
	}
	if kind == labels.MatchRegexp || kind == labels.MatchNotRegexp {
		if err := regex.Check(m.Value); err != nil {
			return nil, fmt.Errorf("the regular expression of %s %w", m.Name, err)
		}
	}
	return labels.NewMatcher(kind, m.Name, m.Value)
}

// silencedBy lists the active silences that apply to an alert.
func (a *Alerting) silencedBy(alert map[string]string, at time.Time) []string {
	ids := []string{}
	for i := range a.silences {
		s := &a.silences[i]
		if s.state(at) == silenceActive && s.matches(alert) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Silences lists the silences, newest first.
func (a *Alerting) Silences() []Silence {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := slices.Clone(a.silences)
	now := a.options.Clock.Now()
	for i := range all {
		all[i].State = all[i].state(now)
	}
	slices.SortStableFunc(all, func(a, b Silence) int { return b.Created.Compare(a.Created) })
	return all
}

// AddSilence creates a silence and sets its ID.
func (a *Alerting) AddSilence(ctx context.Context, s Silence) (Silence, error) {
	now := a.options.Clock.Now().UTC().Truncate(time.Second)
	var errs ValidationErrors
	wrong := func(field, value, rule string) { errs = append(errs, ValidationError{field, value, rule}) }
	if s.Start = s.Start.Truncate(time.Second); s.Start.Before(now) {
		s.Start = now
	}
	switch {
	case !s.End.After(s.Start):
		wrong("end", s.End.UTC().Format(time.RFC3339), "must be after now and after the start, "+s.Start.UTC().Format(time.RFC3339))
	case s.End.Sub(now) > maxSilence:
		wrong("end", s.End.UTC().Format(time.RFC3339), "must be within a year; disable the rule instead")
	}
	all := true
	for i, m := range s.Matchers {
		compiled, err := m.compile()
		switch {
		case err != nil:
			wrong(fmt.Sprintf("matchers[%d]", i), shown(m.Name+m.Op+m.Value), err.Error())
		case !compiled.Matches(""):
			all = false
		}
		if m.Op == "" {
			s.Matchers[i].Op = "="
		}
	}
	if all && len(errs) == 0 {
		wrong("matchers", "", "must not match every alert")
	}
	if strings.TrimSpace(s.Comment) == "" {
		wrong("comment", "", "must not be empty")
	}
	if len(errs) > 0 {
		return Silence{}, errs
	}
	a.turn.Lock()
	defer a.turn.Unlock()
	if len(a.silences) >= maxSilences {
		return Silence{}, ValidationErrors{{Field: "matchers", Rule: fmt.Sprintf("there are already %d silences, the maximum; end some", maxSilences)}}
	}
	s.ID, s.Start, s.End, s.Created = strings.ToLower(rand.Text()[:16]), s.Start.UTC(), s.End.UTC(), now
	s.State = s.state(now)
	if err := a.file.setSilence(ctx, s); err != nil {
		return Silence{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silences = append(a.silences, s)
	return s, nil
}

// EndSilence ends a silence now.
func (a *Alerting) EndSilence(ctx context.Context, id string) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	now := a.options.Clock.Now().UTC()
	i := slices.IndexFunc(a.silences, func(s Silence) bool { return s.ID == id && s.state(now) != silenceExpired })
	if i < 0 {
		return ErrUnknown
	}
	s := a.silences[i]
	s.End = now
	if s.Start.After(now) {
		s.Start = now
	}
	if err := a.file.setSilence(ctx, s); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.silences[i] = s
	return nil
}

// purgeSilences deletes silences that expired long ago.
func (a *Alerting) purgeSilences(ctx context.Context, at time.Time) error {
	a.mu.Lock()
	var gone []Silence
	a.silences = slices.DeleteFunc(a.silences, func(s Silence) bool {
		old := at.Sub(s.End) > expiredFor
		if old {
			gone = append(gone, s)
		}
		return old
	})
	a.mu.Unlock()
	if len(gone) == 0 {
		return nil
	}
	return a.file.forgetSilences(ctx, gone)
}
