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

// unbuilt are exporters that only the image named in the README has. The bundled
// Collector validates the rest of such a recipe without them.
var unbuilt = map[string]bool{"prometheusremotewrite": true, "kafka": true, "awsemf": true, "azuremonitor": true}

// recipe is the part of a Collector's configuration that the test checks.
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

// TestRecipes: every recipe uses exactly what it defines, documents its variables and is
// listed in the README, and a real Collector accepts it.
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
			// A variable without a default must be set, so it must be documented.
			for _, m := range regexp.MustCompile(`\$\{env:(\w+)\}`).FindAllStringSubmatch(string(text), -1) {
				if !strings.Contains(about, "#   "+m[1]+" ") {
					t.Errorf("the first comment does not mention the variable %s", m[1])
				}
				value := "https://backend.example.com"
				if m[1] == "OTLP_HEADERS" {
					value = "{authorization: Bearer key}"
				}
				set = append(set, m[1]+"="+value)
			}
			if !strings.Contains(string(readme), "`"+filepath.Base(file)+"`") {
				t.Error("the README does not list it")
			}
			validate(t, string(text), set)
		})
	}
}

// uses checks that exactly the defined components are used.
func uses(t *testing.T, kind string, defined map[string]any, used []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, name := range used {
		if seen[name] = true; defined[name] == nil {
			t.Errorf("the %s %s is used but not defined", kind, name)
		}
	}
	for name := range defined {
		if !seen[name] {
			t.Errorf("the %s %s is defined but not used", kind, name)
		}
	}
}

// validate has the bundled Collector validate a recipe. An exporter that it lacks is
// replaced.
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
