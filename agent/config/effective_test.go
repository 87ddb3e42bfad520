package config

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSettings(t *testing.T) {
	c := load(t, Options{Path: "testdata/everything.good.yaml", Env: home(), Args: []string{"--log.level=debug"}})
	settings := c.Settings()
	found := map[string]string{}
	for _, s := range settings {
		b, err := json.Marshal(s.Value)
		if err != nil {
			t.Fatalf("%s: %v", s.Path, err)
		}
		found[s.Path] = string(b) + " " + s.Where
	}
	for path, want := range map[string]string{
		"log.level":       `"debug" --log.level`,
		"auth.mode":       `"always" testdata/everything.good.yaml line`,
		"auth.access_ttl": `"5m0s" testdata/everything.good.yaml line`,
		"otlp.headers":    `"authorization":"\u003csecret\u003e"`,
	} {
		if !strings.Contains(found[path], want) {
			t.Errorf("%s is %s, want %s", path, found[path], want)
		}
	}
	c.Instruments.Custom.Commands[0].Command = []string{"/usr/local/bin/raid-metrics", "--password", "topsecret"}
	settings = c.Settings()
	if whole, err := json.Marshal(settings); err != nil || strings.Contains(string(whole), "topsecret") {
		t.Errorf("the settings hold a secret: %s, %v", whole, err)
	}
	for _, o := range c.options() {
		if _, ok := found[o.path]; !o.section && !ok {
			t.Errorf("%s is not among the settings", o.path)
		}
	}
}
