package alerting

import (
	"errors"
	"fmt"
	"slices"

	"sysotel/agent/jsonfile"
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
	// Adjusted are other thresholds and durations of built-in rules, by their names.
	Adjusted map[string]Adjustment `json:"adjusted,omitempty"`
}

// readAPIRules reads the file. One that cannot be used does not keep the agent from
// starting: the other rules are evaluated, and Health has the error. One of a newer
// version is an error.
func (a *Alerting) readAPIRules() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fromAPI, a.rulesErr, a.unread = apiRules{Format: apiRulesFormat}, nil, false
	stored := a.fromAPI
	err := jsonfile.Read(a.path, apiRulesFormat, a.options.Clock.Now(), &stored)
	switch {
	case errors.Is(err, sqlite.ErrNewer):
		return err
	case err != nil:
		a.rulesErr, a.unread = fmt.Errorf("the rules of the API are not evaluated: %w", err), errors.Is(err, jsonfile.ErrStands)
		a.log.Error("cannot use the rules of the API", "err", err)
	default:
		a.fromAPI = stored
	}
	return nil
}

// disables reports whether a rule from elsewhere is disabled. A built-in rule that
// was renamed stays disabled.
func (f apiRules) disables(r *rule) bool {
	former := formerNames[r.Name()]
	return slices.Contains(f.Disabled, r.Name()) || former != "" && r.source == FromDefaults && slices.Contains(f.Disabled, former)
}
