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
