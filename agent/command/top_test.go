package command

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"sysotel/agent/alerting"
	"sysotel/agent/app"
	"sysotel/api"
)

// TestTopEscapesNames: the agent escapes names itself, but top must be safe with any
// server.
func TestTopEscapesNames(t *testing.T) {
	dir, err := os.MkdirTemp("", "so") //nolint:usetesting // A socket's path must be short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	const hostile = "x\x1b[2J\x1b]52;c;aGk=\x07\r\n\u202egpj\u009b2J"
	alert := alerting.Alert{Rule: hostile, Summary: hostile, State: alerting.Firing}
	answers := map[string]any{
		"/api/v1/metrics/current":   api.Current{Hostname: hostile},
		"/api/v1/metrics/processes": api.Processes{Hostname: hostile, Total: 1, Processes: []api.ProcessRow{{Name: hostile, User: hostile, Status: hostile}}},
		"/api/v1/alerts":            api.Alerts{Alerts: []alerting.Alert{alert}},
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(dir, app.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(answers[r.URL.Path])
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })

	var out, complaints bytes.Buffer
	code := Main(Call{Args: []string{"top", "--once", "--data-dir=" + dir}, Out: &out, Err: &complaints, Stop: t.Context()})
	if code != 0 {
		t.Fatalf("top ends with %d: %s", code, &complaints)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 8 {
		t.Errorf("a name added lines: %q", lines)
	}
	if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
		t.Errorf("top shows %q", out.String())
	}
}
