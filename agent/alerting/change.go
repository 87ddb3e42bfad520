package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/atomicfile"
	"sysotel/agent/sqlite"
)

// madeFile is the file of what was made over the API.
const madeFile = "rules.json"

// madeFormat is the format of that file.
const madeFormat = 1

// madeRules is what was made over the API.
type madeRules struct {
	Format     int         `json:"format"`
	Thresholds []Threshold `json:"thresholds"`
	// Disabled are the names of the rules of files that are not evaluated.
	Disabled []string `json:"disabled"`
}

// readMade reads the file.
func readMade(path string) (madeRules, error) {
	made := madeRules{Format: madeFormat}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return made, nil
	}
	if err != nil {
		return made, err
	}
	if err := json.Unmarshal(text, &made); err != nil {
		return made, fmt.Errorf("%s is damaged; mend it or move it away: %w", path, err)
	}
	if made.Format > madeFormat {
		return made, fmt.Errorf("%s: %w (its format is %d, this version knows formats up to %d)", path, sqlite.ErrNewer, made.Format, madeFormat)
	}
	return made, nil
}

// write replaces the file.
func (m madeRules) write(path string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(text, '\n'), 0o600)
}

// load makes all rules: those that are evaluated and those that sleep.
func (a *Alerting) load(made madeRules) (active, sleeping []*rule, err error) {
	c := a.options.Config
	l := &loader{parser: a.parser, querier: a.options.Querier, channels: a.channels, interval: a.interval, log: a.log}
	var documents []document
	if c.Defaults {
		documents = append(documents, document{source: FromDefaults, file: defaultFile, text: defaultRules})
	}
	for _, pattern := range c.Rules {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, nil, fmt.Errorf("alerting.rules: %s: %w", pattern, err)
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
	}{{FromConfig, "alerting.thresholds", c.Thresholds}, {FromAPI, madeFile, made.Thresholds}} {
		d, mistakes := l.thresholdDocument(some.source, some.file, some.thresholds, a.options.Metrics)
		if len(mistakes) > 0 {
			return nil, nil, fmt.Errorf("%s%w", some.file, mistakes)
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
				return nil, nil, fmt.Errorf("%s: rule %s is there twice, first in %s: a threshold needs a name of its own", r.where, r.Name(), first.where)
			}
		}
		named[r.Name()] = r
		if r.threshold != nil && !r.threshold.Enabled || slices.Contains(made.Disabled, r.Name()) {
			sleeping = append(sleeping, r)
			continue
		}
		active = append(active, r)
	}
	return active, sleeping, nil
}

// install puts rules in the place of those that are evaluated. What did not change
// goes on as it was; who holds turn calls it.
func (a *Alerting) install(ctx context.Context, active, sleeping []*rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, r := range active {
		if old := a.same(r); old != nil {
			old.source, old.file, old.group, old.where, old.threshold, old.limit, old.interval = r.source, r.file, r.group, r.where, r.threshold, r.limit, r.interval
			active[i] = old
			continue
		}
		a.rebuild(ctx, r)
	}
	byName := map[string][]*rule{}
	for _, r := range active {
		byName[r.Name()] = append(byName[r.Name()], r)
	}
	a.rules, a.sleeping, a.byName = active, sleeping, byName
	for _, t := range a.tracked {
		owned := slices.ContainsFunc(byName[t.Rule], func(r *rule) bool { return r.owns(t) })
		if !owned {
			a.end(t, a.options.Now().UTC().Truncate(time.Second), "the rule was changed, disabled or deleted")
		}
	}
}

// same is the running rule that a new one is the same as.
func (a *Alerting) same(r *rule) *rule {
	for _, old := range a.byName[r.Name()] {
		if old.String() == r.String() && old.offset == r.offset {
			return old
		}
	}
	return nil
}

// apply makes the rules anew with another file; where that does not work nothing
// is changed.
func (a *Alerting) apply(ctx context.Context, made madeRules) error {
	active, sleeping, err := a.load(made)
	if err != nil {
		return Mistakes{{Field: "expr", Rule: err.Error()}}
	}
	if err := made.write(a.path); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	a.install(ctx, active, sleeping)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made, a.unfit = made, nil
	return nil
}

// Reload takes another configuration, but for its interval. Where anything in it is wrong the running
// rules stay as they were.
func (a *Alerting) Reload(ctx context.Context, c Config) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	before := a.options.Config
	a.options.Config = c
	active, sleeping, err := a.loadMost()
	if err != nil {
		a.options.Config = before
		return err
	}
	a.install(ctx, active, sleeping)
	return nil
}

// Check calls wrong for everything that is wrong with the rules of a configuration,
// before it is used.
func (c Config) Check(q Querier, channels []string, metrics func(string) (Metric, bool), wrong func(path string, value any, rule string)) {
	a := &Alerting{options: Options{Config: c, Querier: q, Metrics: metrics}, channels: channels, log: discard(), parser: newParser()}
	l := &loader{parser: a.parser, querier: q, channels: channels, interval: c.Interval, log: a.log}
	if _, mistakes := l.thresholdDocument(FromConfig, "", c.Thresholds, metrics); len(mistakes) > 0 {
		for _, m := range mistakes {
			var value any
			if m.Value != "" {
				value = m.Value
			}
			wrong("thresholds"+m.Field, value, m.Rule)
		}
		return
	}
	if _, _, err := a.load(madeRules{}); err != nil {
		for line := range strings.Lines(err.Error()) {
			wrong("rules", nil, strings.TrimSpace(line))
		}
	}
}

// checkThreshold tells what is wrong with one threshold.
func (a *Alerting) checkThreshold(t Threshold) error {
	c, mistakes := t.check(a.options.Metrics, a.channels)
	if len(mistakes) > 0 {
		return mistakes
	}
	if _, err := a.options.Querier.Parse(c.value); err != nil {
		return Mistakes{{Field: fieldOf(t), Value: shown(t.Metric + t.Expr), Rule: err.Error()}}
	}
	return nil
}

// AddThreshold makes a rule of a threshold.
func (a *Alerting) AddThreshold(ctx context.Context, t Threshold) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	if err := a.checkThreshold(t); err != nil {
		return RuleStatus{}, err
	}
	if a.find(t.Name) != nil {
		return RuleStatus{}, ErrExists
	}
	made := a.made
	made.Thresholds = append(slices.Clone(made.Thresholds), t)
	if err := a.apply(ctx, made); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(t.Name)
}

// ChangeThreshold puts a threshold in the place of another.
func (a *Alerting) ChangeThreshold(ctx context.Context, name string, t Threshold) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	i, err := a.madeIndex(name)
	if err != nil {
		return RuleStatus{}, err
	}
	if err := a.checkThreshold(t); err != nil {
		return RuleStatus{}, err
	}
	if t.Name != name && a.find(t.Name) != nil {
		return RuleStatus{}, ErrExists
	}
	made := a.made
	made.Thresholds = slices.Clone(made.Thresholds)
	made.Thresholds[i] = t
	if err := a.apply(ctx, made); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(t.Name)
}

// RemoveThreshold deletes a threshold that was made over the API.
func (a *Alerting) RemoveThreshold(ctx context.Context, name string) error {
	a.turn.Lock()
	defer a.turn.Unlock()
	i, err := a.madeIndex(name)
	if err != nil {
		return err
	}
	made := a.made
	made.Thresholds = slices.Delete(slices.Clone(made.Thresholds), i, i+1)
	return a.apply(ctx, made)
}

// EnableRule has a rule evaluated or not.
func (a *Alerting) EnableRule(ctx context.Context, name string, enabled bool) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	r := a.find(name)
	if r == nil {
		return RuleStatus{}, ErrUnknown
	}
	made := a.made
	if i, err := a.madeIndex(name); err == nil {
		made.Thresholds = slices.Clone(made.Thresholds)
		made.Thresholds[i].Enabled = enabled
	} else {
		if enabled && r.threshold != nil && !r.threshold.Enabled {
			return RuleStatus{}, ErrFixed // The configuration says no.
		}
		made.Disabled = slices.DeleteFunc(slices.Clone(made.Disabled), func(n string) bool { return n == name })
		if !enabled {
			made.Disabled = append(made.Disabled, name)
		}
	}
	if err := a.apply(ctx, made); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(name)
}

// find is a rule by its name, evaluated or not; nil where there is none.
func (a *Alerting) find(name string) *rule {
	for _, r := range slices.Concat(a.rules, a.sleeping) {
		if r.Name() == name {
			return r
		}
	}
	return nil
}

// madeIndex is where a threshold stands that was made over the API.
func (a *Alerting) madeIndex(name string) (int, error) {
	i := slices.IndexFunc(a.made.Thresholds, func(t Threshold) bool { return t.Name == name })
	switch {
	case i >= 0:
		return i, nil
	case a.find(name) != nil:
		return 0, ErrFixed
	}
	return 0, ErrUnknown
}

// Export is every rule that is evaluated as a rule file of Prometheus.
func (a *Alerting) Export() ([]byte, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var file rulefmt.RuleGroups
	for _, r := range a.rules {
		name := r.group
		i := slices.IndexFunc(file.Groups, func(g rulefmt.RuleGroup) bool { return g.Name == name })
		if i < 0 {
			file.Groups = append(file.Groups, rulefmt.RuleGroup{Name: name})
			i = len(file.Groups) - 1
		}
		// The library writes a rule as it stands in a file.
		var one rulefmt.Rule
		if err := yaml.Unmarshal([]byte(r.String()), &one); err != nil {
			return nil, fmt.Errorf("write rule %s: %w", r.Name(), err)
		}
		file.Groups[i].Rules = append(file.Groups[i].Rules, one)
	}
	return yaml.Marshal(file)
}
