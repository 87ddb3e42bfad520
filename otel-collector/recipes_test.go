package otelcollector

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"sysotel/otel-collector/programs"
)

// unbuilt are the exporters that the bundled Collector does not have. The image
// that the recipes name does; here the rest of such a recipe is judged without it.
var unbuilt = map[string]bool{"prometheusremotewrite": true, "kafka": true, "awsemf": true, "azuremonitor": true}

// recipe is what the test looks at in a Collector's configuration.
type recipe struct {
	Extensions map[string]any `yaml:"extensions"`
	Receivers  map[string]any `yaml:"receivers"`
	Processors map[string]any `yaml:"processors"`
	Exporters  map[string]any `yaml:"exporters"`
	Service    struct {
		Extensions []string `yaml:"extensions"`
		Pipelines  map[string]struct {
			Receivers  []string `yaml:"receivers"`
			Processors []string `yaml:"processors"`
			Exporters  []string `yaml:"exporters"`
		} `yaml:"pipelines"`
	} `yaml:"service"`
}

// TestRecipes: every recipe uses what it defines and nothing else, says which
// variables it takes, is in the list of the README, and a real Collector takes it.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("recipes/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("the recipes are %v, %v", files, err)
	}
	readme, err := os.ReadFile("recipes/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var r recipe
			if err := yaml.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			uses(t, "extension", r.Extensions, r.Service.Extensions)
			var receivers, processors, exporters []string
			for _, p := range r.Service.Pipelines {
				receivers, processors, exporters = append(receivers, p.Receivers...), append(processors, p.Processors...), append(exporters, p.Exporters...)
			}
			uses(t, "receiver", r.Receivers, receivers)
			uses(t, "processor", r.Processors, processors)
			uses(t, "exporter", r.Exporters, exporters)

			about, _, _ := strings.Cut(string(text), "\n\n")
			var set []string
			// A variable without a default is one that somebody must set, and so must know of.
			for _, m := range regexp.MustCompile(`\$\{env:(\w+)\}`).FindAllStringSubmatch(string(text), -1) {
				if !strings.Contains(about, "#   "+m[1]+" ") {
					t.Errorf("the first comment does not tell of the variable %s", m[1])
				}
				value := "https://backend.example.com"
				if m[1] == "OTLP_HEADERS" {
					value = "{authorization: Bearer key}"
				}
				set = append(set, m[1]+"="+value)
			}
			if !strings.Contains(string(readme), "`"+filepath.Base(file)+"`") {
				t.Error("the README of the recipes does not name it")
			}
			validate(t, string(text), set)
		})
	}
}

// uses: what is defined is used, and the other way round.
func uses(t *testing.T, kind string, defined map[string]any, used []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, name := range used {
		if seen[name] = true; defined[name] == nil {
			t.Errorf("the %s %s is used and not defined", kind, name)
		}
	}
	for name := range defined {
		if !seen[name] {
			t.Errorf("the %s %s is defined and not used", kind, name)
		}
	}
}

// validate has the bundled Collector judge a recipe. An exporter that it has not
// is left out, with another in its place.
func validate(t *testing.T, text string, variables []string) {
	t.Helper()
	var whole map[string]any
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	exporters, _ := whole["exporters"].(map[string]any)
	for name := range exporters {
		if unbuilt[name] {
			delete(exporters, name)
			exporters["debug"] = map[string]any{}
			text = strings.ReplaceAll(text, "exporters: ["+name+"]", "exporters: [debug]")
		}
	}
	var changed map[string]any
	if err := yaml.Unmarshal([]byte(text), &changed); err != nil {
		t.Fatal(err)
	}
	changed["exporters"] = exporters
	out, err := yaml.Marshal(changed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := programs.Command(t, "otelcol", "validate", "--config="+path)
	cmd.Env = append(append(os.Environ(), "COLLECTOR_QUEUE="+t.TempDir()), variables...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the Collector refuses it: %v\n%s", err, output)
	}
}
