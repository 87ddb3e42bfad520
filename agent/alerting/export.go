package alerting

import (
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"
)

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
