package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sysotel/api"
	"sysotel/otel-collector/programs"
)

// hostileNames are program names that attack viewers of the process table. A name
// cannot contain a slash or a 0 byte.
var hostileNames = map[string]string{
	"html":      `<img src=x onerror=alert(1)>`,
	"sql":       `"; DROP TABLE process_record;--`,
	"lines":     "x\r\ntime=2026 level=ERROR msg=forged\n",
	"screen":    "x\x1b[2J\x1b]52;c;aGk=\x07",
	"c1":        "x\u009b2Jy",
	"not utf-8": "x\xff\xfe\xc3(",
	"formula":   `=cmd|' C calc'!A0`,
	"plus":      "+1+1",
	"minus":     "-1",
	"at":        "@SUM(1)",
	"tab":       "\t=1+1",
	"direction": "x\u202egpj.exe",
	"channel":   "<!channel> @channel",
	"label":     `x"} 1 {y="`,
	"template":  "{{ $labels }} %s%n ${x} `id`",
}

// harmless reports whether a text is valid UTF-8 without control characters, except
// for the line ends of its format.
func harmless(text string, lines bool) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && unicode.IsControl(r) || r == '\n' && !lines || unicode.Is(unicode.Bidi_Control, r)
	})
}

// TestHostileNames runs real programs under hostile names and looks for them wherever
// the agent outputs names.
func TestHostileNames(t *testing.T) {
	c := configure(t, "--processes.top=200", "--processes.command-line", "--custom.textfile="+t.TempDir(), "--prometheus.listen=127.0.0.1:0")
	a := run(t, c)
	a.ticks(2)
	children := map[string]*child{}
	for what, name := range hostileNames {
		children[what] = spawn(t, "burn", name, nil)
	}
	for _, child := range children {
		child.send("0.05 10")
	}
	for _, child := range children {
		child.answer(nil)
	}
	a.ticks(2)

	// The current process table, in JSON.
	present := map[string]*api.ProcessRow{}
	for what, child := range children {
		row := row(t, a.socket, child.PID())
		present[what] = row
		for _, text := range []string{row.Name, row.Program, row.CommandLine} {
			if !harmless(text, false) {
				t.Errorf("%s: the table has %q", what, text)
			}
		}
		if what == "html" && row.Name != hostileNames[what] || what == "sql" && row.Name != hostileNames[what] {
			t.Errorf("the name %q became %q, but it is printable", hostileNames[what], row.Name)
		}
		found := processes(t, a.socket, "top=1000&q="+url.QueryEscape(row.Name)).Processes
		if !slices.ContainsFunc(found, func(p api.ProcessRow) bool { return p.PID == row.PID }) {
			t.Errorf("%s: a search for %q does not find it", what, row.Name)
		}
	}
	for _, path := range []string{"/api/v1/metrics/processes?top=1000", "/api/v1/metrics/current", "/api/v1/events", "/api/v1/health"} {
		body := string(get(t, a.socket, path))
		if !harmless(body, true) || strings.Contains(body, "<") || !json.Valid([]byte(body)) {
			t.Errorf("%s is not harmless: %.300q", path, body)
		}
	}

	// The process history, from SQLite, has the same names.
	poll(t, func() error {
		past := processes(t, a.socket, "top=1000&start=-1m").Processes
		for what, now := range present {
			i := slices.IndexFunc(past, func(p api.ProcessRow) bool { return p.PID == now.PID })
			if i < 0 {
				return fmt.Errorf("%s: it is not in the history", what)
			}
			if past[i].Name != now.Name || past[i].Program != now.Program || past[i].CommandLine != now.CommandLine {
				return fmt.Errorf("%s: %q is %q in the history", what, now.Name, past[i].Name)
			}
		}
		return nil
	})

	// The scrape page, which a real promtool reads, and PromQL.
	page := get(t, a.socket, "/metrics")
	if !harmless(string(page), true) {
		t.Error("the scrape page is not harmless")
	}
	promtool := programs.Command(t, "promtool", "check", "metrics")
	promtool.Stdin = bytes.NewReader(page)
	if output, err := promtool.CombinedOutput(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 { // 3: valid, with remarks on names.
			t.Errorf("promtool cannot read the page: %v\n%s", err, output)
		}
	}
	metrics := scrape(t, a.socket)
	for what, now := range present {
		if _, found := metrics.sum("process_threads", "process_executable_name", now.Program); !found {
			t.Errorf("%s: the page has no program %q", what, now.Program)
		}
		poll(t, func() error {
			// PromQL accepts U+FFFD only as the escape \ufffd.
			query := url.Values{"query": {"process_threads{process_executable_name=" + strconv.QuoteToASCII(now.Program) + "}"}}
			body, err := ask(t.Context(), a.socket, "/prometheus/api/v1/query?"+query.Encode())
			if err == nil && (!bytes.Contains(body, []byte(`"process_executable_name"`)) || !harmless(string(body), true)) {
				err = fmt.Errorf("%s: PromQL returns %s", what, body)
			}
			return err
		})
	}

	// The live stream: an empty line in a name must not end an event.
	ctx, first := t.Context(), (*api.Current)(nil)
	select {
	case first = <-stream(ctx, t, a.socket):
	case <-time.After(patience):
	}
	if first == nil {
		t.Error("the stream sends no valid reading")
	}
	// find fails if a line of the journal is not one JSON object.
	a.journal.find(t, map[string]any{"msg": "none"})
}

// TestHostileTextInTheLog has the agent log errors about files with hostile names and
// content, in both formats.
func TestHostileTextInTheLog(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			custom := t.TempDir()
			for i, name := range []string{hostileNames["screen"], "x\nlevel=ERROR msg=forged", hostileNames["direction"], "x\xff"} {
				text := fmt.Sprintf("m%d{l=\"\x1b[2J\u202e\"} \x1b]52;c;aGk=\x07\nlevel=ERROR\n", i)
				if err := os.WriteFile(filepath.Join(custom, name+".prom"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(t.TempDir(), "log")
			c := configure(t, "--custom.textfile="+custom, "--log.format="+format, "--log.file="+file)
			a, err := New(Options{Config: c, Version: "test"})
			if err != nil {
				t.Fatal(err)
			}
			a.Start()
			poll(t, func() error {
				text, err := os.ReadFile(file)
				if err == nil && bytes.Count(text, []byte(".prom")) < 4 {
					err = fmt.Errorf("the log does not mention all files:\n%s", text)
				}
				return err
			})
			body := get(t, unixClient(c), "/api/v1/health")
			if err := a.Stop(); err != nil {
				t.Error(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if !harmless(strings.TrimSuffix(line, "\n"), false) || !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, `{"time":`) {
					t.Errorf("the log has the line %q", line)
				}
			}
			if !json.Valid(body) || !harmless(string(body), true) {
				t.Errorf("health is not harmless: %q", body)
			}
			info, err := os.Stat(file)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the log has the mode %v: %v", info.Mode(), err)
			}
		})
	}
}
