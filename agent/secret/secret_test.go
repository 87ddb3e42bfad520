package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestTextIsNotShown(t *testing.T) {
	s := Text("topsecret")
	var logged strings.Builder
	slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "secret", s)
	asJSON, err := json.Marshal([]Text{s})
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(map[string]Text{"url": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%q %#v %x", s, s, s), logged.String(), string(asJSON), string(asYAML)} {
		if strings.Contains(shown, "topsecret") || strings.Contains(shown, "746f70") || !strings.Contains(shown, "<secret>") && !strings.Contains(shown, `\u003csecret`) {
			t.Errorf("it is shown as %s", shown)
		}
	}
}

func TestWithoutPassword(t *testing.T) {
	f := func(url, want string) {
		t.Helper()
		if got := WithoutPassword(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
	f("http://localhost:9093", "http://localhost:9093")
	f("http://me:topsecret@localhost:9093/path", "http://<secret>@localhost:9093/path")
	f("me:top@secret@localhost", "<secret>@localhost")
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
	f := func(s Text, wantText, wantErr string) {
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
	f(Text("${file:"+write("a", " from a file\r\n\n")+"}"), " from a file", "")
	f(Text("${file:"+write("b", "\n")+"}"), "", "is empty")
	f(Text("${file:"+dir+"}"), "", "cannot read the file "+dir)
	f(Text("${file:"+dir+"/none}"), "", "cannot read the file "+dir+"/none: no such file or directory")
	f(Text("${file:"+write("c", strings.Repeat("x", 100_000))+"}"), "", "larger than 64 KiB")
	f("Bearer ${env:SYSOTEL_TEST_SECRET}!", "Bearer from the environment!", "")
	f(Text("${env:SYSOTEL_TEST_SECRET}:${file:"+dir+"/a}:${env:SYSOTEL_TEST_SECRET}"), "from the environment: from a file:from the environment", "")
	f("a $${other} $b $$ }", "a ${other} $b $$ }", "")
	for _, text := range []Text{"a ${other}", "Bearer ${TOKEN}", "a ${env", "${ENV:SYSOTEL_TEST_SECRET}", "${}"} {
		f(text, "", "must be ${file:PATH} or ${env:NAME}")
	}
	f("Bearer ${env:SYSOTEL_TEST_NO_SECRET}", "", "the variable SYSOTEL_TEST_NO_SECRET is not set")
	f("${SECRET}", "", "must be ${file:PATH} or ${env:NAME}")
}

// TestUnexpanded: what other programs would expand is found, if there is such a variable.
func TestUnexpanded(t *testing.T) {
	t.Setenv("SYSOTEL_TEST_SECRET", "x")
	const name = "SYSOTEL_TEST_SECRET"
	for text, want := range map[string]string{
		"Bearer $SYSOTEL_TEST_SECRET": name, "a $(SYSOTEL_TEST_SECRET) b": name, "%SYSOTEL_TEST_SECRET%": name, "$env:SYSOTEL_TEST_SECRET": name,
		"$SYSOTEL_TEST_NONE $SYSOTEL_TEST_SECRET!": name,
		"${env:SYSOTEL_TEST_SECRET}":               "", "$SYSOTEL_TEST_SECRETS": "", "pa$$w0rd 100% $ $1 %d%": "", "SYSOTEL_TEST_SECRET": "", "": "",
	} {
		got := Unexpanded(text)
		if want == "" && got != "" || want != "" && !strings.HasSuffix(got, "write ${env:"+want+"} for its value") {
			t.Errorf("%s gives %q, want %q", text, got, want)
		}
	}
}

// TestOpen: a file that is replaced is in use at once, one that cannot be used is not.
func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	s, err := Text("Bearer ${file:"+path+"}").Open(func(text string) error {
		if strings.Contains(text, "bad") {
			return errors.New("it is bad")
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ text, want string }{{"one", "Bearer one"}, {"two\n", "Bearer two"}, {"", "Bearer two"}, {"bad", "Bearer two"}, {"three", "Bearer three"}} {
		write(step.text)
		if got := s.Get(); got != step.want {
			t.Errorf("after %q was written: %s, want %s", step.text, got, step.want)
		}
	}
}
