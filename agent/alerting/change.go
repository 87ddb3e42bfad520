package alerting

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"sysotel/agent/jsonfile"
)

// maxFiles bounds the rule files, maxThresholds the thresholds from the API.
const maxFiles, maxThresholds = 100, 500

// load loads all rules.
func (a *Alerting) load(fromAPI apiRules) (active, disabled []*rule, err error) {
	c := a.options.Config
	l := &loader{parser: a.parser, querier: a.options.Querier, channels: a.channelNames(), interval: a.interval, fromAPI: fromAPI, log: a.log}
	var documents []document
	if c.Defaults {
		documents = append(documents, document{source: FromDefaults, file: defaultFile, text: defaultRules})
	}
	files := 0
	for _, pattern := range c.Rules {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, nil, fmt.Errorf("alerting.rules: %s: %w", pattern, err)
		}
		if len(paths) == 0 {
			a.log.Warn("no rule file matches", "pattern", pattern)
		}
		if files += len(paths); files > maxFiles {
			return nil, nil, fmt.Errorf("alerting.rules: there are %d files; at most %d are allowed", files, maxFiles)
		}
		for _, path := range paths {
			d, err := readFile(path)
			if err != nil {
				return nil, nil, fmt.Errorf("alerting.rules: %w", err)
			}
			documents = append(documents, d)
		}
	}
	for _, some := range []struct {
		source, file string
		thresholds   []Threshold
	}{{FromConfig, "alerting.thresholds", c.Thresholds}, {FromAPI, apiRulesFile, fromAPI.Thresholds}} {
		d, errs := l.thresholdDocument(some.source, some.file, some.thresholds, a.options.Metrics)
		if len(errs) > 0 {
			return nil, nil, fmt.Errorf("%s%w", some.file, errs)
		}
		documents = append(documents, d)
	}
	all, err := l.load(documents)
	if err != nil {
		return nil, nil, err
	}
	named := map[string]*rule{}
	for _, r := range all {
		if r.threshold != nil || named[r.Name()] != nil && named[r.Name()].threshold != nil {
			if first := named[r.Name()]; first != nil {
				return nil, nil, fmt.Errorf("%s: duplicate rule %s, first defined in %s: names of thresholds must be unique", r.where, r.Name(), first.where)
			}
		}
		named[r.Name()] = r
		if r.threshold != nil && !r.threshold.Enabled || fromAPI.disables(r) {
			disabled = append(disabled, r)
			continue
		}
		active = append(active, r)
	}
	return active, disabled, nil
}

// install replaces the rules. Rules that did not change keep their state. The caller
// holds turn.
func (a *Alerting) install(ctx context.Context, active, disabled []*rule, misfits []misfit) {
	defer a.judge(active)
	a.mu.Lock()
	defer a.mu.Unlock()
	var fresh []*rule
	for i, r := range active {
		if old := a.same(r); old != nil {
			old.source, old.file, old.where, old.threshold, old.builtin, old.limit, old.interval = r.source, r.file, r.where, r.threshold, r.builtin, r.limit, r.interval
			active[i] = old
			continue
		}
		fresh = append(fresh, r)
	}
	a.adopt(active, fresh)
	for _, r := range fresh {
		a.rebuild(ctx, r)
	}
	known := map[string]bool{}
	for _, r := range active {
		known[r.key] = true
	}
	byName := map[string][]*rule{}
	for _, r := range active {
		byName[r.Name()] = append(byName[r.Name()], r)
	}
	for _, old := range a.rules {
		if !slices.Contains(active, old) {
			for _, s := range old.made {
				a.leaving = append(a.leaving, s.Metric)
			}
		}
	}
	a.rules, a.disabled, a.byName, a.misfits = active, disabled, byName, misfits
	for _, r := range active {
		r.selectors = a.inputs(r.expr, maxChain)
	}
	a.sight(active)
	for _, t := range a.states {
		if !known[t.Owner] {
			a.end(t, a.options.Clock.Now().UTC().Truncate(time.Second), "the rule was changed, disabled or deleted")
		}
	}
}

// maxChain is how many recording rules that read each other are followed to what they
// measure.
const maxChain = 8

// same returns the running rule that equals r, or nil.
func (a *Alerting) same(r *rule) *rule {
	for _, old := range a.byName[r.Name()] {
		if old.key == r.key && old.String() == r.String() && old.offset == r.offset {
			return old
		}
	}
	return nil
}

// apply reloads all rules with other rules from the API, of which the one of a name was
// added or changed. On an error nothing changes.
func (a *Alerting) apply(ctx context.Context, next apiRules, name string) error {
	if a.unread {
		return a.rulesErr
	}
	active, disabled, misfits, err := a.loadValid(next)
	if i := slices.IndexFunc(misfits, func(m misfit) bool { return m.threshold.Name == name }); i >= 0 {
		err = misfits[i].err
	}
	if err != nil {
		return ValidationErrors{{Field: "expr", Rule: err.Error()}}
	}
	if err := jsonfile.Write(a.path, next); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	a.install(ctx, active, disabled, misfits)
	a.observe(ctx, a.options.Clock.Now().UTC().Truncate(time.Second))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fromAPI, a.rulesErr = next, nil
	return nil
}

// Reload applies another configuration, except its interval. On an error nothing
// changes.
func (a *Alerting) Reload(ctx context.Context, c Config) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	before := a.options.Config
	if a.unread {
		if err := a.readAPIRules(); err != nil {
			return err
		}
	}
	a.options.Config = c
	active, disabled, misfits, err := a.loadValid(a.fromAPI)
	if err != nil {
		a.options.Config = before
		return err
	}
	a.pardon() // An administrator asks for it.
	a.install(ctx, active, disabled, misfits)
	return nil
}

// checkThreshold validates one threshold.
func (a *Alerting) checkThreshold(t Threshold) error {
	c, errs := t.check(a.options.Metrics, a.channelNames(), a.interval)
	if len(errs) > 0 {
		return errs
	}
	if err := c.parse(a.options.Querier); err != nil {
		return ValidationErrors{{Field: fieldOf(t), Value: shown(t.Metric + t.Expr), Rule: err.Error()}}
	}
	return nil
}

// AddThreshold adds a rule.
func (a *Alerting) AddThreshold(ctx context.Context, t Threshold) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	if err := a.checkThreshold(t); err != nil {
		return RuleStatus{}, err
	}
	if a.taken(t.Name) {
		return RuleStatus{}, ErrExists
	}
	if len(a.fromAPI.Thresholds) >= maxThresholds {
		return RuleStatus{}, ValidationErrors{{Field: "name", Value: shown(t.Name), Rule: fmt.Sprintf("there are already %d rules from the API, the maximum; delete some", maxThresholds)}}
	}
	next := a.fromAPI
	next.Thresholds = append(slices.Clone(next.Thresholds), t)
	if err := a.apply(ctx, next, t.Name); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(t.Name)
}

// ChangeThreshold replaces a threshold that was added through the API.
func (a *Alerting) ChangeThreshold(ctx context.Context, name string, t Threshold) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	i, err := a.apiIndex(name)
	if err != nil {
		return RuleStatus{}, err
	}
	if err := a.checkThreshold(t); err != nil {
		return RuleStatus{}, err
	}
	if t.Name != name && a.taken(t.Name) {
		return RuleStatus{}, ErrExists
	}
	next := a.fromAPI
	next.Thresholds = slices.Clone(next.Thresholds)
	next.Thresholds[i] = t
	if err := a.apply(ctx, next, t.Name); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(t.Name)
}

// RemoveThreshold deletes a threshold that was added through the API.
func (a *Alerting) RemoveThreshold(ctx context.Context, name string) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	i, err := a.apiIndex(name)
	if err != nil {
		return err
	}
	next := a.fromAPI
	next.Thresholds = slices.Delete(slices.Clone(next.Thresholds), i, i+1)
	return a.apply(ctx, next, "")
}

// EnableRule enables or disables a rule.
func (a *Alerting) EnableRule(ctx context.Context, name string, enabled bool) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	r := a.find(name)
	if r == nil && !a.taken(name) {
		return RuleStatus{}, ErrUnknown
	}
	next := a.fromAPI
	if i, err := a.apiIndex(name); err == nil {
		next.Thresholds = slices.Clone(next.Thresholds)
		next.Thresholds[i].Enabled = enabled
	} else {
		if enabled && r.threshold != nil && !r.threshold.Enabled {
			return RuleStatus{}, ErrFixed // Disabled in the configuration.
		}
		next.Disabled = slices.DeleteFunc(slices.Clone(next.Disabled), func(n string) bool { return n == name || n == formerNames[name] })
		if !enabled {
			next.Disabled = append(next.Disabled, name)
		}
	}
	if err := a.apply(ctx, next, ""); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(name)
}

// taken reports whether a rule has a name, be it one that is not evaluated.
func (a *Alerting) taken(name string) bool {
	return a.find(name) != nil || slices.ContainsFunc(a.fromAPI.Thresholds, func(t Threshold) bool { return t.Name == name })
}

// find returns the rule with a name, enabled or disabled, or nil.
func (a *Alerting) find(name string) *rule {
	for _, r := range slices.Concat(a.rules, a.disabled) {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// apiIndex is the index of a threshold that was added through the API.
func (a *Alerting) apiIndex(name string) (int, error) {
	i := slices.IndexFunc(a.fromAPI.Thresholds, func(t Threshold) bool { return t.Name == name })
	switch {
	case i >= 0:
		return i, nil
	case a.find(name) != nil:
		return 0, ErrFixed
	}
	return 0, ErrUnknown
}
