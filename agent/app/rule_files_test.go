package app

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"sysotel/agent/alerting"
	"sysotel/agent/config"
)

var update = flag.Bool("update", false, "rewrite golden files")

const (
	ruleSources  = "../alerting/public/sources.txt"
	ruleDocument = "../alerting/RULE_FILES.md"
)

// publicSource is a line of sources.txt.
type publicSource struct {
	kind, repository, commit string
	patterns                 []string
}

func publicSources(t *testing.T) (all []publicSource) {
	t.Helper()
	text, err := os.ReadFile(ruleSources)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) > 3 && words[0] != "#" {
			all = append(all, publicSource{words[0], words[1], words[2], words[3:]})
		}
	}
	return all
}

// TestGoldenRuleFiles renews RULE_FILES.md from the files that public/fetch.sh has brought
// to SYSOTEL_RULE_FILES: an agent loads those of one repository after the other. What has
// a series depends on the machine, what loads does not. Without the files it holds the
// document against the list of sources.
func TestGoldenRuleFiles(t *testing.T) {
	sources := publicSources(t)
	document, err := os.ReadFile(ruleDocument)
	if err != nil && !*update {
		t.Fatal(err)
	}
	dir := os.Getenv("SYSOTEL_RULE_FILES")
	if dir == "" {
		rules := 0
		for _, s := range sources {
			if s.kind == "rules" {
				rules++
			}
			if row := "`" + s.repository + "` " + s.commit[:7]; !strings.Contains(string(document), row) {
				t.Errorf("RULE_FILES.md has no row %q; see public/fetch.sh", row)
			}
		}
		if rules < 12 {
			t.Errorf("there are rule files of %d repositories, want 12", rules)
		}
		return
	}
	var out, refusals, receivers, refused bytes.Buffer
	a := run(t, configure(t, "--alerting.interval=1s", "--alerting.defaults=false"))
	a.ticks(3)
	for _, s := range sources {
		switch s.kind {
		case "rules":
			a.rowOfRules(s, dir, &out, &refusals)
		case "receivers":
			rowOfReceivers(t, s, dir, &receivers, &refused)
		}
	}
	if refused.Len() == 0 {
		refused.WriteString("Nothing.\n")
	}
	made := fmt.Sprintf(ruleFilesText, &out, &refusals, &receivers, &refused)
	if *update {
		if err := os.WriteFile(ruleDocument, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	// The first four columns are the same everywhere.
	rows := regexp.MustCompile("(?m)^\\| `[^|]+\\|[^|]+\\|[^|]+\\|[^|]+\\|")
	if got, want := rows.FindAllString(made, -1), rows.FindAllString(string(document), -1); !slices.Equal(got, want) {
		t.Errorf("what loads has changed:\n%s\nRULE_FILES.md has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const ruleFilesText = `# Public rule files and receivers

Rule files and Alertmanager configurations of public repositories, as they are there, each
at the commit in public/sources.txt. public/fetch.sh fetches them; a test loads them into
an agent and writes this page.

## Rules

A rule *fires* here if its condition held when it was evaluated on a machine at rest, even
if it has to hold for longer. *No series*: its selectors matched nothing, so that it cannot
fire; the list of rules names the selector and the nearest name. Such rules are for other
programs, other hardware, or metrics that this agent has under another name.

| Repository, commit | Files | Rules | Loaded | Fire | Quiet | No series |
| --- | --- | --- | --- | --- | --- | --- |
%s
What is refused, with the first reason of each file:

%s
## Receivers

Receivers of Alertmanager configurations, each as the receiver of a channel
(alerting.channels[].receiver), with their global as alerting.global.

| Repository, commit | Files | Receivers | Accepted |
| --- | --- | --- | --- |
%s
What is refused:

%s`

// found returns the files of a source, sorted.
func (s publicSource) found(t testing.TB, dir string) (files []string) {
	t.Helper()
	for _, pattern := range s.patterns {
		some, err := filepath.Glob(filepath.Join(dir, s.repository, pattern))
		if err != nil || len(some) == 0 {
			t.Fatalf("%s has no %s: %v", s.repository, pattern, err)
		}
		files = append(files, some...)
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// rowOfRules loads the rules of a repository into the agent and describes them.
func (a *agent) rowOfRules(s publicSource, dir string, row, refusals *bytes.Buffer) {
	t := a.tb
	t.Helper()
	files := s.found(t, dir)
	rules := 0
	loaded := alerting.Config{Interval: time.Second}
	for i, file := range files {
		groups, n := plainRules(t, file)
		if n == 0 {
			continue
		}
		rules += n
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d-%s", i, filepath.Base(file)))
		if err := os.WriteFile(path, groups, 0o600); err != nil {
			t.Fatal(err)
		}
		with := loaded
		with.Rules = append(slices.Clone(loaded.Rules), path)
		reason := ""
		with.Check(a.history.querier, nil, a.config.AlertMetric, func(_ string, _ any, rule string) {
			if reason == "" || strings.HasSuffix(reason, ":") { // A list follows.
				reason = strings.TrimSpace(reason + " " + strings.ReplaceAll(rule, path, filepath.Base(file)))
			}
		})
		if reason != "" {
			relative, _ := filepath.Rel(filepath.Join(dir, s.repository), file)
			fmt.Fprintf(refusals, "- `%s` %s: %s\n", s.repository, relative, strings.ReplaceAll(reason, "\n", " "))
			continue
		}
		loaded = with
	}
	if err := a.alerts.rules.Reload(t.Context(), loaded); err != nil {
		t.Fatal(err)
	}
	states, before := map[string]int{}, map[string]int{"none yet": 1}
	for start := time.Now(); ; {
		a.ticks(5)
		clear(states)
		waiting := false
		for _, r := range a.alerts.rules.Rules() {
			states[r.State]++
			waiting = waiting || r.Health == "unknown"
		}
		if settled := time.Since(a.started) > 40*time.Second && !waiting && maps.Equal(states, before); settled || time.Since(start) > 3*time.Minute {
			break
		}
		before = maps.Clone(states)
	}
	fire, none := states[alerting.Firing]+states[alerting.Pending], states[alerting.WithoutSeries]
	count := 0
	for _, n := range states {
		count += n
	}
	fmt.Fprintf(row, "| `%s` %s | %d | %d | %d | %d | %d | %d |\n", s.repository, s.commit[:7], len(files), rules, count, fire, count-fire-none, none)
}

// plainRules returns the rules of a file, which may be those of an operator's manifest,
// as a rule file, with their number.
func plainRules(t testing.TB, path string) (text []byte, n int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	type ruleFile struct {
		Groups []struct {
			Rules []yaml.Node
		}
	}
	var manifest struct {
		Spec yaml.Node
	}
	if yaml.Unmarshal(text, &manifest) == nil && !manifest.Spec.IsZero() {
		if text, err = yaml.Marshal(&manifest.Spec); err != nil {
			t.Fatal(err)
		}
	}
	var file ruleFile
	if err := yaml.Unmarshal(text, &file); err != nil {
		return text, 1 // It is refused, with the reason.
	}
	for _, g := range file.Groups {
		n += len(g.Rules)
	}
	return text, n
}

// rowOfReceivers tries the receivers of Alertmanager configurations as channels.
func rowOfReceivers(t *testing.T, s publicSource, dir string, row, refused *bytes.Buffer) {
	t.Helper()
	all, accepted := 0, 0
	files := s.found(t, dir)
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var secret struct {
			StringData map[string]string `yaml:"stringData"`
		}
		if yaml.Unmarshal(text, &secret) == nil && secret.StringData["alertmanager.yaml"] != "" {
			text = []byte(secret.StringData["alertmanager.yaml"])
		}
		var file struct {
			Global    map[string]any
			Receivers []map[string]any
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			fmt.Fprintf(refused, "- `%s`: %v\n", s.repository, err)
			continue
		}
		for _, r := range file.Receivers {
			name := r["name"]
			delete(r, "name")
			all++
			settings := map[string]any{"channels": []any{map[string]any{"name": "public", "receiver": r}}}
			if file.Global != nil {
				settings["global"] = file.Global
			}
			own, err := yaml.Marshal(map[string]any{"alerting": settings})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "sysotel.yaml")
			if err := os.WriteFile(file, own, 0o600); err != nil {
				t.Fatal(err)
			}
			_, invalid := config.Load(config.Options{Args: []string{"--config=" + file, "--data-dir=" + t.TempDir()}})
			if len(invalid) > 0 {
				relative, _ := filepath.Rel(filepath.Join(dir, s.repository), path)
				fmt.Fprintf(refused, "- `%s` %s, %v: %s\n", s.repository, relative, name, strings.ReplaceAll(invalid[0].Rule, "\n", " "))
				continue
			}
			accepted++
		}
	}
	fmt.Fprintf(row, "| `%s` %s | %d | %d | %d |\n", s.repository, s.commit[:7], len(files), all, accepted)
}
