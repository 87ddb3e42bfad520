package notify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newFile(t *testing.T, dataDir, file string, dirs ...string) (*logFile, error) {
	t.Helper()
	l, err := newLogFile(LogConfig{File: file}, site{"log", dataDir, dirs, "", "", sendTimeout, nil})
	if err == nil {
		t.Cleanup(func() { _ = l.close() })
	}
	return l, err
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	l, err := newFile(t, dir, "alerts.log")
	if err != nil {
		t.Fatal(err)
	}
	if err := sendBy(t, l, firing("HighCPU"), hostileNotice()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log", "alerts.log")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	want(t, "the number of lines", len(lines), 2)
	var got logLine
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	want(t, "the message", got.Message, "FIRING HighCPU on web1: 93.4 %")
	want(t, "the state", got.State, Firing)
	want(t, "the process", got.Processes[0].Name, "stress")
	if err := json.Unmarshal([]byte(lines[1]), &got); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(lines[1], "\x1b\u202e\r") || strings.ContainsAny(got.Host, "\x1b\u202e\r\n") {
		t.Errorf("the line holds what it should not: %q", lines[1])
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others can read the file: %v, %v", info, err)
	}
}

// TestLogFileAfterKill: after a kill during or after a write no line is written twice
// or appended to a partial one.
func TestLogFileAfterKill(t *testing.T) {
	dir := t.TempDir()
	l, err := newFile(t, dir, "alerts.log")
	if err != nil {
		t.Fatal(err)
	}
	if err := sendBy(t, l, firing("a")); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log", "alerts.log")
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"time":"2026`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = newFile(t, dir, "alerts.log"); err != nil {
		t.Fatal(err)
	}
	if err := sendBy(t, l, firing("a"), firing("b")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], `"id":"a 1"`) || lines[1] != `{"time":"2026` || !strings.Contains(lines[2], `"id":"b 1"`) {
		t.Errorf("the file is\n%s", text)
	}
}

func TestLogPath(t *testing.T) {
	root := t.TempDir()
	data, other := filepath.Join(root, "data"), filepath.Join(root, "other")
	for _, dir := range []string{data, other, filepath.Join(data, "log"), filepath.Join(root, "cron.d")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{
		filepath.Join(data, "log", "link"):    filepath.Join(root, "cron.d"),
		filepath.Join(data, "log", "nowhere"): filepath.Join(root, "cron.d", "evil"),
		filepath.Join(data, "log", "inside"):  filepath.Join(other),
	}
	for link, target := range links {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	f := func(file, wantErr string) {
		t.Helper()
		_, err := logPath(file, data, []string{other})
		switch {
		case wantErr == "" && err != nil:
			t.Errorf("%s: %v", file, err)
		case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr)):
			t.Errorf("%s: the error is %v, want %q in it", file, err, wantErr)
		}
	}
	f("alerts.log", "")
	f("sub/alerts.log", "")
	f(filepath.Join(data, "log", "alerts.log"), "")
	f(filepath.Join(other, "alerts.log"), "")
	f("inside/alerts.log", "")
	f("../x.log", "must be in one of "+filepath.Join(data, "log")+", "+other+"; alerting.log_directories names more")
	f(filepath.Join(root, "cron.d", "x"), "must be in one of")
	f(filepath.Join(root, "otherwise", "x"), "must be in one of")
	f(filepath.Join(data, "log"), "must be in one of")
	f("link/x", "is a link to")
	f("nowhere", "dangling link")
	if _, err := newFile(t, data, "link/x"); err == nil {
		t.Error("a file beyond a link is opened")
	}
}
