package alerting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"

	"sysotel/agent/notify"
	"sysotel/agent/query"
	"sysotel/agent/records"
)

const (
	// suspectsFile has a mark of the rule that is being evaluated, and the rules that
	// harmed. It has a fixed size and is written in place, which a full disk allows.
	suspectsFile  = "suspects"
	suspectsBytes = 16 << 10
	markBytes     = 64
	// maxSuspects bounds the rules that are remembered.
	maxSuspects = 32
	// maxDeaths is how often the agent may die within deathsFor while it evaluates a
	// rule. A kill that has nothing to do with the rule hits it seldom: the evaluations of
	// all rules take some milliseconds of 15 s.
	maxDeaths = 2
	deathsFor = 24 * time.Hour
	// maxStrikes is how often in a row a rule may exceed the memory of an evaluation,
	// maxSlow how often its time, which may be the machine's fault.
	maxStrikes, maxSlow = 3, 20
	suspectsRetry       = time.Minute
)

// suspect is a rule that harmed.
type suspect struct {
	// Content identifies the rule as it is written: another text is another rule.
	Content string `json:"content"`
	Name    string `json:"name"`
	Group   string `json:"group"`
	// Deaths are when the agent was found to have died while it evaluated the rule.
	Deaths []time.Time `json:"deaths,omitempty"`
	// Aside is why the rule is no longer evaluated, since Since; empty if it still is.
	Aside string    `json:"aside,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// suspects are the rules that harmed. It belongs to the holder of turn.
type suspects struct {
	path  string
	file  *os.File // nil while it cannot be opened
	tried time.Time
	all   []suspect
}

// openSuspects reads the file. If it has a mark the agent died while it evaluated that
// rule.
func openSuspects(path string, now time.Time) *suspects {
	s := &suspects{path: path}
	text, err := os.ReadFile(path)
	mark := ""
	if err == nil && len(text) >= markBytes {
		mark = string(bytes.TrimSpace(text[:markBytes]))
		_ = json.Unmarshal(bytes.TrimSpace(text[markBytes:]), &s.all) // A damaged file begins anew.
	}
	s.all = slices.DeleteFunc(s.all, func(one suspect) bool {
		return one.Content == "" || one.Aside == "" && !slices.ContainsFunc(one.Deaths, func(d time.Time) bool { return now.Sub(d) < deathsFor })
	})
	if content, rest, ok := parseMark(mark); ok {
		one := s.of(content, rest[0], rest[1])
		one.Deaths = append(slices.DeleteFunc(one.Deaths, func(d time.Time) bool { return now.Sub(d) >= deathsFor }), now)
		if len(one.Deaths) >= maxDeaths && one.Aside == "" {
			one.Aside, one.Since = fmt.Sprintf("the agent died %d times within a day while it evaluated this rule", len(one.Deaths)), now
		}
	}
	s.write(now)
	return s
}

// parseMark splits a mark: the content of a rule, its name and its group, both shortened.
func parseMark(mark string) (content string, rest [2]string, ok bool) {
	var read [3]string
	if json.Unmarshal([]byte(mark), &read) != nil || read[0] == "" {
		return "", rest, false
	}
	return read[0], [2]string{read[1], read[2]}, true
}

// of returns the entry of a rule, a new one if there is none.
func (s *suspects) of(content, name, group string) *suspect {
	i := slices.IndexFunc(s.all, func(one suspect) bool { return one.Content == content })
	if i < 0 {
		s.all = append(s.all, suspect{Content: content, Name: name, Group: group})
		s.all = s.all[max(0, len(s.all)-maxSuspects):]
		i = len(s.all) - 1
	}
	return &s.all[i]
}

// aside returns the entry of a rule that is not evaluated, nil if it is.
func (s *suspects) aside(r *rule) *suspect {
	for i := range s.all {
		if s.all[i].Content == r.content && s.all[i].Aside != "" {
			return &s.all[i]
		}
	}
	return nil
}

// open opens the file for writing, if it is time to try.
func (s *suspects) open(now time.Time) bool {
	if s.file == nil && now.Sub(s.tried).Abs() >= suspectsRetry {
		s.tried = now
		if os.MkdirAll(filepath.Dir(s.path), 0o700) == nil {
			s.file, _ = os.OpenFile(s.path, os.O_CREATE|os.O_RDWR, 0o600) // Without it, only a crash is not noticed.
		}
	}
	return s.file != nil
}

// write writes everything, without a mark.
func (s *suspects) write(now time.Time) {
	if !s.open(now) {
		return
	}
	text, err := json.Marshal(s.all)
	for err == nil && len(text) > suspectsBytes-markBytes && len(s.all) > 0 {
		s.all = s.all[1:]
		text, err = json.Marshal(s.all)
	}
	whole := bytes.Repeat([]byte(" "), suspectsBytes)
	copy(whole[markBytes:], text)
	if err == nil {
		_, err = s.file.WriteAt(whole, 0)
	}
	s.close(err)
}

// close closes the file after an error.
func (s *suspects) close(err error) {
	if err != nil && s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

// mark notes which rule is evaluated; it stands in the file if the agent dies.
func (s *suspects) mark(r *rule, now time.Time) {
	if !s.open(now) {
		return
	}
	for n := 16; n >= 0; n -= 8 { // The names are only shown.
		text, err := json.Marshal([]string{r.content, short(r.Name(), n), short(r.group, n/2)})
		if err == nil && len(text) <= markBytes {
			_, err = s.file.WriteAt(append(text, bytes.Repeat([]byte(" "), markBytes-len(text))...), 0)
			s.close(err)
			return
		}
	}
}

// short is the beginning of a text.
func short(text string, n int) string {
	runes := []rune(text)
	return string(runes[:min(n, len(runes))])
}

// unmark notes that the evaluation ended.
func (s *suspects) unmark() {
	if s.file != nil {
		_, err := s.file.WriteAt(bytes.Repeat([]byte(" "), markBytes), 0)
		s.close(err)
	}
}

// exceeded reports whether an evaluation exceeded its memory or its time.
func exceeded(err error) (memory, slow bool) {
	var many promql.ErrTooManySamples
	if errors.Is(err, query.ErrMemory) || errors.As(err, &many) {
		return true, false
	}
	var wrong *query.Error
	return false, errors.As(err, &wrong) && wrong.Type == query.Timeout
}

// strike counts what a rule exceeds, and sets it aside if that goes on. The built-in
// rules are not: they harm nobody, and a machine that is too slow for them needs them.
func (a *Alerting) strike(r *rule, err error, at time.Time) {
	memory, slow := exceeded(err)
	switch {
	case memory:
		r.strikes++
	case slow:
		r.slow++
	default:
		r.strikes, r.slow = 0, 0
	}
	if r.source == FromDefaults || r.strikes < maxStrikes && r.slow < maxSlow {
		return
	}
	one := a.suspects.of(r.content, r.Name(), r.group)
	one.Aside, one.Since = fmt.Sprintf("it failed %d times in a row: %s", max(r.strikes, r.slow), short(err.Error(), 300)), at
	a.suspects.write(at)
	r.strikes, r.slow = 0, 0
	a.setAside(r, one)
}

// setAside notes and reports that a rule is not evaluated any more.
func (a *Alerting) setAside(r *rule, one *suspect) {
	one.Name, one.Group = r.Name(), r.group
	err := fmt.Errorf("set aside since %s, until it is changed or the configuration is loaded again: %s", one.Since.UTC().Format(time.RFC3339), one.Aside)
	r.SetHealth("err")
	r.SetLastError(err)
	a.log.Error("a rule is set aside", "rule", r.Name(), "group", r.group, "file", r.file, "reason", one.Aside)
	a.tellAside(one, notify.Firing, "the rule "+one.Name+" is not evaluated any more: "+one.Aside+". Change it, or load the configuration again to try once more.")
}

// rulesAside is the name under which it is told that a rule is set aside.
const rulesAside = "RuleSetAside"

// tellAside makes an event and a notice about a rule that is or was set aside.
func (a *Alerting) tellAside(one *suspect, state notify.State, summary string) {
	now := a.options.Clock.Now().UTC().Truncate(time.Second)
	fingerprint := "aside-" + one.Content
	n := notify.Notice{
		ID: fmt.Sprintf("%s-%d-%s", fingerprint, one.Since.Unix(), state), Fingerprint: fingerprint, Rule: rulesAside, Host: a.options.Host,
		State: state, Severity: "warning", Summary: summary, Since: one.Since, At: now,
		Labels: map[string]string{"rule": one.Name, "rule_group": one.Group},
	}
	if state == notify.Resolved {
		n.Ended = now
	}
	a.mu.Lock()
	a.undelivered = append(a.undelivered, n)
	if a.status.aside == nil {
		a.status.aside = map[string]string{}
	}
	if a.status.aside[one.Content] = one.Aside; state == notify.Resolved {
		delete(a.status.aside, one.Content)
	}
	a.mu.Unlock()
	if a.options.Events == nil {
		return
	}
	e := records.Event{Time: now, Kind: records.Alert, Cause: summary, Subject: one.Name, Detail: map[string]string{"label_rule_group": one.Group}}
	if err := a.options.Events(e); err != nil {
		a.log.Warn("cannot record alert event", "err", err)
	}
}

// judge sets aside those of the rules that harmed before, and forgets rules that are
// no longer there. The caller holds turn.
func (a *Alerting) judge(active []*rule) {
	there := map[string]*rule{}
	for _, r := range active {
		there[r.content] = r
	}
	changed := false
	a.suspects.all = slices.DeleteFunc(a.suspects.all, func(one suspect) bool {
		r := there[one.Content]
		switch {
		case one.Aside == "":
			return false
		case r == nil:
			changed = true
			a.tellAside(&one, notify.Resolved, "the rule "+one.Name+" was changed, disabled or deleted, or is evaluated again")
			return true
		case r.LastError() == nil || r.Health() != "err":
			a.setAside(r, &one)
		}
		return false
	})
	if changed {
		a.suspects.write(a.options.Clock.Now())
	}
}

// pardon lets all rules be evaluated again.
func (a *Alerting) pardon() {
	for i := range a.suspects.all {
		if one := &a.suspects.all[i]; one.Aside != "" {
			a.tellAside(one, notify.Resolved, "the rule "+one.Name+" is evaluated again")
		}
	}
	a.suspects.all = nil
	a.suspects.write(a.options.Clock.Now())
}
