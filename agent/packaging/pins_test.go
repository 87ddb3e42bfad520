package packaging

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// service is the part of a compose service that the tests check.
type service struct {
	Image       string
	Build       map[string]string
	Restart     string
	MemLimit    string `yaml:"mem_limit"`
	CPUs        float64
	CapDrop     []string `yaml:"cap_drop"`
	CapAdd      []string `yaml:"cap_add"`
	SecurityOpt []string `yaml:"security_opt"`
	Ports       []string
	Environment map[string]string
	Healthcheck map[string]any
	Logging     map[string]any
	Privileged  bool
	NetworkMode string `yaml:"network_mode"`
}

// services parses the compose file.
func services(t *testing.T) map[string]service {
	t.Helper()
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal([]byte(read(t, "docker-compose.yml")), &file); err != nil {
		t.Fatal(err)
	}
	return file.Services
}

// read reads a file below the top directory.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServices checks what every service must have, new ones included.
func TestServices(t *testing.T) {
	loopback := regexp.MustCompile(`^\$\{SYSOTEL_[A-Z]+:-127\.0\.0\.1:\d+\}:\d+$`)
	for name, s := range services(t) {
		if s.Restart == "" || s.MemLimit == "" || s.Logging == nil {
			t.Errorf("%s lacks one of restart, mem_limit and logging", name)
		}
		if !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s has more permissions than it needs", name)
		}
		// token exits by itself; the images built here have their own health checks.
		if oneShot := s.Restart == "on-failure"; !oneShot && (s.CPUs == 0 || s.Healthcheck == nil && s.Build == nil) {
			t.Errorf("%s lacks one of cpus and healthcheck", name)
		}
		for _, port := range s.Ports {
			if !loopback.MatchString(port) {
				t.Errorf("%s is published at %s, want only loopback", name, port)
			}
		}
		for key, value := range s.Environment {
			if secret := regexp.MustCompile(`(?i)password|token|secret`); secret.MatchString(key) && !strings.HasSuffix(key, "__FILE") {
				t.Errorf("%s has a secret in the compose file: %s=%s", name, key, value)
			}
		}
	}
}

// TestPins: the images have the versions of the programs in the tests.
func TestPins(t *testing.T) {
	victoria := required(t, "otel-collector/tools/victoriametrics/go.mod", "github.com/VictoriaMetrics/VictoriaMetrics")
	var prometheus string
	var minor, patch int
	if _, err := fmt.Sscanf(required(t, "otel-collector/tools/prometheus/go.mod", "github.com/prometheus/prometheus"), "v0.%d.%d", &minor, &patch); err != nil {
		t.Fatal(err)
	}
	// The module v0.315.0 is the release 3.15.0.
	prometheus = fmt.Sprintf("v%d.%d.%d", minor/100, minor%100, patch)
	var check struct{ DevDependencies map[string]string }
	if err := json.Unmarshal([]byte(read(t, "dashboards/grafana/check/package.json")), &check); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"prom/prometheus": prometheus,
		"grafana/grafana": check.DevDependencies["@grafana/schema"],
		// Built from this checkout.
		"sysotel/agent": "", "sysotel/collector": "",
		"victoriametrics/victoria-metrics": victoria,
	}
	for name, s := range services(t) {
		image, version, _ := strings.Cut(s.Image, ":")
		if pinned, known := want[image]; !known || version != pinned {
			t.Errorf("%s runs %s; the tests have the version %q", name, s.Image, pinned)
		}
	}
	// Base images have exact versions, and both builds the same Go.
	golang := map[string]bool{}
	from := regexp.MustCompile(`(?m)^FROM (\S+?)(?::(\S+))?(?: AS \S+)?$`)
	for _, file := range []string{"agent/packaging/Dockerfile", "otel-collector/Dockerfile"} {
		for _, m := range from.FindAllStringSubmatch(read(t, file), -1) {
			if m[1] != "scratch" && !regexp.MustCompile(`^\d+\.\d+\.\d+`).MatchString(m[2]) {
				t.Errorf("%s starts from %s:%s, which is not an exact version", file, m[1], m[2])
			}
			if m[1] == "golang" {
				golang[m[2]] = true
			}
		}
	}
	if len(golang) != 1 {
		t.Errorf("the images are built with several versions of Go: %v", golang)
	}
}

// required returns the version of a module in a go.mod.
func required(t *testing.T, file, module string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(module) + ` (v\S+)`).FindStringSubmatch(read(t, file))
	if m == nil {
		t.Fatalf("%s does not require %s", file, module)
	}
	return m[1]
}

// targets, prometheusConfig and prometheusOf are the parts of a prometheus.yml that
// tests compare.
type targets struct {
	Targets []string
	Labels  map[string]string
}

type prometheusConfig struct {
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string            `yaml:"job_name"`
		Authorization map[string]string `yaml:"authorization"`
		StaticConfigs []targets         `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func prometheusOf(t *testing.T, file string) (c prometheusConfig) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, file)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSamePrometheus: both configurations have the same jobs, so that every rule
// and every board works with both.
func TestSamePrometheus(t *testing.T) {
	shape := func(file string) string {
		c := prometheusOf(t, file)
		text := fmt.Sprintln(c.RuleFiles)
		for _, job := range c.ScrapeConfigs {
			for _, s := range job.StaticConfigs {
				text += fmt.Sprintln(job.JobName, len(s.Targets), s.Labels)
			}
		}
		return text
	}
	plain, composed := shape("otel-collector/prometheus/prometheus.yml"), shape("otel-collector/prometheus/compose.yml")
	if plain != composed {
		t.Errorf("prometheus.yml has\n%s\ncompose.yml has\n%s", plain, composed)
	}
}
