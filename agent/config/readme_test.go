package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeConfigurations loads every configuration in the README and the guides,
// and the options of every sysotel run.
func TestReadmeConfigurations(t *testing.T) {
	var text []byte
	for _, document := range []string{"README.md", "agent/store/HISTORY.md", "agent/alerting/ALERTS.md", "api/NETWORK.md", "api/PROXIES.md", "otel-collector/STACK.md", "agent/app/TROUBLESHOOTING.md", "agent/command/WINDOWS.md"} {
		content, err := os.ReadFile("../../" + document)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, content...)
	}
	secrets := t.TempDir()
	for _, name := range []string{"smtp", "pagerduty"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SLACK_WEBHOOK", "https://hooks.slack.com/services/T/B/X")

	files := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if strings.HasPrefix(m[1], "scrape_configs:") {
			continue // Prometheus' configuration; agent/app tests it.
		}
		files++
		path := filepath.Join(t.TempDir(), "sysotel.yaml")
		content := strings.ReplaceAll(m[1], "/etc/sysotel", secrets)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, invalid := Load(Options{Path: path, Env: home()}); len(invalid) > 0 {
			t.Errorf("the documents'\n%s\n%s", m[1], lines(invalid))
		}
	}

	commands := 0
	for _, m := range regexp.MustCompile("(?:bin/)?sysotel run (--[^\n`]*)").FindAllStringSubmatch(string(text), -1) {
		commands++
		if _, invalid := Load(Options{Args: strings.Fields(m[1]), Env: home()}); len(invalid) > 0 {
			t.Errorf("the documents' sysotel run %s\n%s", m[1], lines(invalid))
		}
	}
	if files < 3 || commands < 3 {
		t.Errorf("the documents show %d configurations and %d command lines; is the pattern of this test still right?", files, commands)
	}
}
