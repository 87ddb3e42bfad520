package config

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		changed := Diff(load(t, Options{Env: home()}), load(t, Options{Env: home(), Args: args}))
		if got := strings.Join(changed, " "); got != want {
			t.Errorf("%v changes %q, want %q", args, got, want)
		}
	}
	f("")
	f("", "--otlp.headers=")
	f("log.level", "--log.level=debug")
	f("otlp.headers instruments.disk.interval", "--instruments.disk.interval=5s", "--otlp.headers=a=b")
}

// TestDiffOfAnEmptyConfig: a Config built by hand may lack collectors.
func TestDiffOfAnEmptyConfig(t *testing.T) {
	if changed := Diff(Config{}, Defaults()); len(changed) == 0 {
		t.Error("nothing differs from an empty configuration")
	}
}
