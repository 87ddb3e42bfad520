package notify

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestSecretIsNotShown(t *testing.T) {
	s := Secret("topsecret")
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", s)
	asJSON, err := json.Marshal([]Secret{s})
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(SlackConfig{URL: s})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%q %#v %x", s, s, s), logged.String(), string(asJSON), string(asYAML)} {
		if strings.Contains(shown, "topsecret") || strings.Contains(shown, "746f70") || !strings.Contains(shown, "<secret>") && !strings.Contains(shown, `\u003csecret`) {
			t.Errorf("it is shown as %s", shown)
		}
	}
}

func TestReveal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("SYSOTEL_TEST_SECRET", "from the environment")
	f := func(s Secret, wantText, wantErr string) {
		t.Helper()
		text, err := s.Reveal()
		if text != wantText || wantErr == "" && err != nil || wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)) {
			t.Errorf("%s reveals %q, %v", string(s), text, err)
		}
	}
	f("plain", "plain", "")
	f("with $ and }", "with $ and }", "")
	f("${env:SYSOTEL_TEST_SECRET}", "from the environment", "")
	f("${env:SYSOTEL_TEST_NO_SECRET}", "", "the variable SYSOTEL_TEST_NO_SECRET is not set")
	f(Secret("${file:"+write("a", " from a file\r\n\n")+"}"), " from a file", "")
	f(Secret("${file:"+write("b", "\n")+"}"), "", "is empty")
	f(Secret("${file:"+dir+"}"), "", "cannot read the file "+dir)
	f(Secret("${file:"+dir+"/none}"), "", "cannot read the file "+dir+"/none: no such file or directory")
	f(Secret("${file:"+write("c", strings.Repeat("x", 100_000))+"}"), "", "larger than 64 KiB")
	f("${SECRET}", "", "must be ${file:PATH} or ${env:NAME}")
}
