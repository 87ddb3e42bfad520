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

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/atomicfile"
	"sysotel/agent/query"
	"sysotel/agent/sqlite"
)

// apiRulesFile is the file of the rules from the API.
const apiRulesFile = "rules.json"

// apiRulesFormat is the format of that file.
const apiRulesFormat = 1

// apiRules are the changes made through the API.
type apiRules struct {
	Format     int         `json:"format"`
	Thresholds []Threshold `json:"thresholds"`
	// Disabled are the names of disabled rules from files and the configuration.
	Disabled []string `json:"disabled"`
}

// readAPIRules reads the file. One that cannot be read, or that is damaged, does not
// keep the agent from starting: the other rules are evaluated, and Health has the error.
// A damaged file is set aside. One of a newer version is an error.
func (a *Alerting) readAPIRules() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fromAPI, a.rulesErr, a.unread = apiRules{Format: apiRulesFormat}, nil, false
	stored := a.fromAPI
	text, err := os.ReadFile(a.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		a.rulesErr, a.unread = fmt.Errorf("cannot read the rules of the API, which are not evaluated: %w", err), true
	default:
		if err = json.Unmarshal(text, &stored); err == nil {
			break
		}
		aside := a.path + sqlite.BrokenSuffix + a.options.Clock.Now().UTC().Format("20060102T150405")
		if wrong := os.Rename(a.path, aside); wrong != nil {
			a.rulesErr, a.unread = fmt.Errorf("the rules of the API are damaged, and not evaluated: %s: %w", a.path, err), true
			break
		}
		a.rulesErr = fmt.Errorf("the rules of the API were damaged, and are not evaluated; the file is now %s: %w", aside, err)
	}
	if a.rulesErr != nil {
		a.log.Error("cannot use the rules of the API", "err", a.rulesErr)
		return nil
	}
	if stored.Format > apiRulesFormat {
		return fmt.Errorf("%s: %w (its format is %d, this version knows formats up to %d)", a.path, sqlite.ErrNewer, stored.Format, apiRulesFormat)
	}
	a.fromAPI = stored
	return nil
}

// disables reports whether a rule from elsewhere is disabled. A built-in rule that
// was renamed stays disabled.
func (f apiRules) disables(r *rule) bool {
	former := formerNames[r.Name()]
	return slices.Contains(f.Disabled, r.Name()) || former != "" && r.source == FromDefaults && slices.Contains(f.Disabled, former)
}

// write replaces the file.
func (f apiRules) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, append(text, '\n'), 0o600)
}

// maxFiles bounds the rule files, maxThresholds the thresholds from the API.
const maxFiles, maxThresholds = 100, 500

// load loads all rules.
func (a *Alerting) load(fromAPI apiRules) (active, disabled []*rule, err error) {
	c := a.options.Config
	l := &loader{parser: a.parser, querier: a.options.Querier, channels: a.channels, interval: a.interval, log: a.log}
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
func (a *Alerting) install(ctx context.Context, active, disabled []*rule) {
	defer a.judge(active)
	a.mu.Lock()
	defer a.mu.Unlock()
	var fresh []*rule
	for i, r := range active {
		if old := a.same(r); old != nil {
			old.source, old.file, old.where, old.threshold, old.limit, old.interval = r.source, r.file, r.where, r.threshold, r.limit, r.interval
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
	a.rules, a.disabled, a.byName = active, disabled, byName
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

// apply reloads all rules with other rules from the API. On an error nothing changes.
func (a *Alerting) apply(ctx context.Context, next apiRules) error {
	if a.unread {
		return a.rulesErr
	}
	active, disabled, err := a.load(next)
	if err != nil {
		return ValidationErrors{{Field: "expr", Rule: err.Error()}}
	}
	if err := next.write(a.path); err != nil {
		return fmt.Errorf("write the rules: %w", err)
	}
	a.install(ctx, active, disabled)
	a.observe(ctx, a.options.Clock.Now().UTC().Truncate(time.Second))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fromAPI, a.invalid, a.rulesErr = next, nil, nil
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
	active, disabled, err := a.loadValid()
	if err != nil {
		a.options.Config = before
		return err
	}
	a.pardon() // An administrator asks for it.
	a.install(ctx, active, disabled)
	return nil
}

// Check reports the validation errors of the rules of a configuration.
func (c Config) Check(q Querier, channels []string, metrics func(string) (Metric, bool), wrong func(path string, value any, rule string)) {
	a := &Alerting{options: Options{Config: c, Querier: q, Metrics: metrics}, channels: channels, interval: c.Interval, log: discard(), parser: query.NewParser()}
	l := &loader{parser: a.parser, querier: q, channels: channels, interval: c.Interval, log: a.log}
	if _, errs := l.thresholdDocument(FromConfig, "", c.Thresholds, metrics); len(errs) > 0 {
		for _, m := range errs {
			var value any
			if m.Value != "" {
				value = m.Value
			}
			wrong("thresholds"+m.Field, value, m.Rule)
		}
		return
	}
	if _, _, err := a.load(apiRules{}); err != nil {
		for line := range strings.Lines(err.Error()) {
			wrong("rules", nil, strings.TrimSpace(line))
		}
	}
}

// Unmeasured returns a warning for each rule of a configuration that cannot have a result
// for want of a metric, because no metric of the catalogue has its name and no rule
// records it. The built-in rules are left out.
func (c Config) Unmeasured(q Querier, channels []string, metrics func(string) (Metric, bool), all Catalogue) (warnings []string) {
	c.Defaults = false
	a := &Alerting{options: Options{Config: c, Querier: q, Metrics: metrics}, channels: channels, interval: c.Interval, log: discard(), parser: query.NewParser(), byName: map[string][]*rule{}}
	active, _, err := a.load(apiRules{})
	if err != nil {
		return nil // Check reports it.
	}
	for _, r := range active {
		a.byName[r.Name()] = append(a.byName[r.Name()], r)
	}
	a.sight(active)
	known := newNames(slices.Clone(all.Metrics), all.REST)
	for _, s := range a.sightings {
		switch name := nameOf(s.matchers, model.MetricNameLabel); {
		case isOwn(s.matchers):
			s.seen = name == silentName // Whether there are other machines is not known here.
		default:
			s.seen = name == "" || known.has[name]
		}
	}
	for _, r := range active {
		var missing []NoSeries
		for _, s := range r.need.missing() {
			missing = append(missing, a.explainName(s, known))
		}
		if len(missing) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s: rule %s cannot have a result: %s", r.where, shown(r.Name()), textOfAll(missing)))
		}
	}
	return warnings
}

// checkThreshold validates one threshold.
func (a *Alerting) checkThreshold(t Threshold) error {
	c, errs := t.check(a.options.Metrics, a.channels, a.interval)
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
	if a.find(t.Name) != nil {
		return RuleStatus{}, ErrExists
	}
	if len(a.fromAPI.Thresholds) >= maxThresholds {
		return RuleStatus{}, ValidationErrors{{Field: "name", Value: shown(t.Name), Rule: fmt.Sprintf("there are already %d rules from the API, the maximum; delete some", maxThresholds)}}
	}
	next := a.fromAPI
	next.Thresholds = append(slices.Clone(next.Thresholds), t)
	if err := a.apply(ctx, next); err != nil {
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
	if t.Name != name && a.find(t.Name) != nil {
		return RuleStatus{}, ErrExists
	}
	next := a.fromAPI
	next.Thresholds = slices.Clone(next.Thresholds)
	next.Thresholds[i] = t
	if err := a.apply(ctx, next); err != nil {
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
	return a.apply(ctx, next)
}

// EnableRule enables or disables a rule.
func (a *Alerting) EnableRule(ctx context.Context, name string, enabled bool) (RuleStatus, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	r := a.find(name)
	if r == nil {
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
	if err := a.apply(ctx, next); err != nil {
		return RuleStatus{}, err
	}
	return a.ruleStatus(name)
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

// Export returns all enabled rules as a Prometheus rule file.
func (a *Alerting) Export() ([]byte, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	var file rulefmt.RuleGroups
	groups := map[[2]string]int{} // by file and name; in the export names are unique
	names := map[string]int{}
	for _, r := range a.rules {
		i, ok := groups[[2]string{r.file, r.group}]
		if !ok {
			i = len(file.Groups)
			groups[[2]string{r.file, r.group}] = i
			name := r.group
			if names[name]++; names[name] > 1 {
				name = fmt.Sprintf("%s (%d)", name, names[name])
			}
			g := rulefmt.RuleGroup{Name: name, Limit: r.limit}
			if r.interval != a.interval {
				g.Interval = model.Duration(r.interval)
			}
			if r.offset != 0 {
				g.QueryOffset = new(model.Duration(r.offset))
			}
			file.Groups = append(file.Groups, g)
		}
		// String returns the rule as YAML.
		var one rulefmt.Rule
		if err := yaml.Unmarshal([]byte(r.String()), &one); err != nil {
			return nil, fmt.Errorf("export rule %s: %w", r.Name(), err)
		}
		file.Groups[i].Rules = append(file.Groups[i].Rules, one)
	}
	return yaml.Marshal(file)
}
