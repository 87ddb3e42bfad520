package alerting

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Silence keeps alerts from being told for a time. They are evaluated and shown
// all the same.
type Silence struct {
	ID       string    `json:"id" doc:"Id of the silence."`
	Start    time.Time `json:"start" doc:"From when on it holds."`
	End      time.Time `json:"end" doc:"Until when it holds."`
	Matchers []Matcher `json:"matchers" nullable:"false" doc:"What an alert's labels must be; all of them."`
	Author   string    `json:"author" doc:"Who made it."`
	Comment  string    `json:"comment" doc:"Why."`
	Created  time.Time `json:"created" doc:"When it was made."`
	State    string    `json:"state" enum:"pending,active,expired" doc:"Whether it holds now. Expired ones are forgotten after 5 days."`
}

// Matcher is what a label must be. Of the labels, alertname is the rule and
// host_name the machine.
type Matcher struct {
	Name  string `json:"name" minLength:"1" maxLength:"255" doc:"Label, such as alertname, host_name or severity." example:"alertname"`
	Op    string `json:"op,omitempty" enum:"=,!=,=~,!~" default:"=" doc:"How it is held against the value; ~ is a regular expression."`
	Value string `json:"value" maxLength:"1024" doc:"The value, or the regular expression for all of it." example:"HighCPUUsage"`
}

const (
	// expiredFor is how long silences that are over are shown.
	expiredFor = 5 * 24 * time.Hour
	// longestSilence bounds a silence: what is silenced for longer is a rule to
	// disable.
	longestSilence = 366 * 24 * time.Hour
	maxSilences    = 1000
)

// The states of a silence.
const (
	silencePending = "pending"
	silenceActive  = "active"
	silenceExpired = "expired"
)

// state is what a silence is in at a time.
func (s *Silence) state(at time.Time) string {
	switch {
	case !at.Before(s.End):
		return silenceExpired
	case at.Before(s.Start):
		return silencePending
	}
	return silenceActive
}

// matches tells whether a silence is about an alert.
func (s *Silence) matches(alert map[string]string) bool {
	for _, m := range s.Matchers {
		compiled, err := m.compile()
		if err != nil || !compiled.Matches(alert[m.Name]) {
			return false
		}
	}
	return len(s.Matchers) > 0
}

// compile makes a matcher of Prometheus.
func (m Matcher) compile() (*labels.Matcher, error) {
	kind, ok := map[string]labels.MatchType{"": labels.MatchEqual, "=": labels.MatchEqual, "!=": labels.MatchNotEqual, "=~": labels.MatchRegexp, "!~": labels.MatchNotRegexp}[m.Op]
	if !ok {
		return nil, fmt.Errorf("%s is none of =, !=, =~, !~", m.Op)
	}
	return labels.NewMatcher(kind, m.Name, m.Value)
}

// silencedBy lists the silences that are about an alert at a time.
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

// Silences lists the silences, the newest first.
func (a *Alerting) Silences() []Silence {
	a.mu.RLock()
	defer a.mu.RUnlock()
	all := slices.Clone(a.silences)
	now := a.options.Now()
	for i := range all {
		all[i].State = all[i].state(now)
	}
	slices.SortStableFunc(all, func(a, b Silence) int { return b.Created.Compare(a.Created) })
	return all
}

// AddSilence makes a silence. It gets its id here.
func (a *Alerting) AddSilence(ctx context.Context, s Silence) (Silence, error) {
	now := a.options.Now().UTC().Truncate(time.Second)
	var mistakes Mistakes
	wrong := func(field, value, rule string) { mistakes = append(mistakes, Mistake{field, value, rule}) }
	if s.Start.Before(now) {
		s.Start = now
	}
	switch {
	case !s.End.After(s.Start):
		wrong("end", s.End.UTC().Format(time.RFC3339), "must be after now and after the start, "+s.Start.UTC().Format(time.RFC3339))
	case s.End.Sub(now) > longestSilence:
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
	if all && len(mistakes) == 0 {
		wrong("matchers", "", "must name something that an alert has; these are met by every alert")
	}
	if strings.TrimSpace(s.Comment) == "" {
		wrong("comment", "", "must say why, for those who come after")
	}
	if len(mistakes) > 0 {
		return Silence{}, mistakes
	}
	a.turn.Lock()
	defer a.turn.Unlock()
	if len(a.silences) >= maxSilences {
		return Silence{}, Mistakes{{Field: "matchers", Rule: fmt.Sprintf("there are %d silences, and there may be no more; end some", maxSilences)}}
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
	now := a.options.Now().UTC()
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

// purgeSilences forgets those that were over long ago.
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
