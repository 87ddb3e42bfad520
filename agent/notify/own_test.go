package notify

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOwnChannels adds, changes and removes channels while notices are sent, over a restart.
func TestOwnChannels(t *testing.T) {
	got := make(chan string, 10)
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := r.URL.Path
		if strings.Contains(string(body), "busy") {
			text += " busy"
		}
		got <- text
	}))
	defer web.Close()
	received := func(what, want string) {
		t.Helper()
		select {
		case text := <-got:
			if text != want {
				t.Errorf("%s: %q, want %q", what, text, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nothing came", what)
		}
	}
	dir := t.TempDir()
	change := func(c *Config) {
		c.GroupWait, c.Channels = 0, []ChannelConfig{{Name: "fixed", MaxPerHour: 60, Log: LogConfig{File: "a.log"}}}
	}
	n := openReal(t, dir, change)
	stop := start(t, n)
	if err := n.AddChannel(t.Context(), "ops", `{"slack": {"url": "`+web.URL+`/first", "channel": "#ops"}}`); err != nil {
		t.Fatal(err)
	}
	if err := n.Test(t.Context(), "ops"); err != nil {
		t.Error(err)
	}
	received("the test", "/first")
	one := firing("a")
	one.Channels = []string{"ops"}
	deliver(t, n, one)
	received("an alert", "/first busy")

	options, err := n.ChannelOptions("ops")
	want(t, "the options", options, map[string]any{"slack": map[string]any{"url": "<secret>", "channel": "#ops"}})
	if err != nil || strings.Join(n.ChannelNames(), " ") != "fixed ops" || n.Channels()[1].Source != FromAPI || n.Channels()[0].Source != FromConfig {
		t.Errorf("%v, %v, %v", err, n.ChannelNames(), n.Channels())
	}
	// The secret is kept, and is not where others could read it.
	if err := n.ChangeChannel(t.Context(), "ops", "slack:\n  url: <secret>\n  channel: '#other'\n"); err != nil {
		t.Error(err)
	}
	if err := n.Test(t.Context(), "ops"); err != nil {
		t.Error(err)
	}
	received("after a change", "/first")
	info, err := os.Stat(filepath.Join(dir, "alerting", ownFile))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the file is %v, %v", info, err)
	}

	for options, rule := range map[string]string{
		"slack: {url: '${file:/etc/shadow}'}":                                                                                 "slack.url must not have ${",
		"webhook: {url: 'https://h.example', headers: {A: '${env:HOME}'}}":                                                    "webhook.headers.A must not have ${",
		"webhook: {url: 'https://h.example', ca: /etc/ssl/x.pem}":                                                             "webhook.ca can be set in the configuration file only",
		"receiver: {webhook_configs: [{url_file: /etc/shadow}]}":                                                              "receiver.webhook_configs[0].url_file can be set in the configuration file only",
		"receiver: {webhook_configs: [{url: 'https://h.example', http_config: {http_headers: {X: {files: [/etc/shadow]}}}}]}": "files[0] can be set in the configuration file only",
		"email: {server: 'm.example:25', from: a@example.org, to: [b@example.org], tls: no}":                                  "email.tls must be one of starttls, tls, none",
		"slack: {url: 'http://elsewhere.example/'}":                                                                           "slack.url must begin with https://",
		"slack: {url: <secret>}":           "slack.url is <secret>, and there is none to keep",
		"slack: {adress: x}":               "field adress not found",
		"a: &a [x]\nslack: {url: *a}":      "slack.url must not have ${",
		"log: {file: ../../x}":             "log.file ",
		"{}":                               "needs one of",
		"[]":                               "must be the options of a channel",
		"slack: [":                         "must be YAML",
		strings.Repeat("#", maxOwnBytes+1): "must be the options of a channel",
	} {
		err := n.AddChannel(t.Context(), "other", options)
		if _, ok := errors.AsType[Invalid](err); !ok || !strings.Contains(err.Error(), rule) {
			t.Errorf("%.60s: %v, want %s", options, err, rule)
		}
	}
	for name, want := range map[string]error{"fixed": ErrExists, "ops": ErrExists} {
		if err := n.AddChannel(t.Context(), name, "log: {file: b.log}"); !errors.Is(err, want) {
			t.Errorf("add %s: %v", name, err)
		}
	}
	if _, ok := errors.AsType[Invalid](n.AddChannel(t.Context(), "a/b", "log: {file: b.log}")); !ok {
		t.Error("a name with a slash is accepted")
	}
	if err := n.RemoveChannel(t.Context(), "fixed"); !errors.Is(err, ErrFixed) {
		t.Errorf("remove the configuration's: %v", err)
	}
	if err := n.ChangeChannel(t.Context(), "nobody", "log: {file: b.log}"); !errors.Is(err, ErrUnknownChannel) {
		t.Errorf("change nobody's: %v", err)
	}
	stop()

	// The channel is there after a restart, and shadowed once the configuration has its name.
	n = openReal(t, dir, change)
	stop = start(t, n)
	if err := n.Test(t.Context(), "ops"); err != nil {
		t.Error(err)
	}
	received("after a restart", "/first")
	if err := n.RemoveChannel(t.Context(), "ops"); err != nil {
		t.Error(err)
	}
	if err := n.Test(t.Context(), "ops"); !errors.Is(err, ErrUnknownChannel) {
		t.Errorf("after its end: %v", err)
	}
	if err := n.AddChannel(t.Context(), "twice", "log: {file: b.log}"); err != nil {
		t.Error(err)
	}
	stop()
	n = openReal(t, dir, func(c *Config) {
		change(c)
		c.Channels = append(c.Channels, ChannelConfig{Name: "twice", MaxPerHour: 60, Log: LogConfig{File: "c.log"}})
	})
	if h := n.Health(); !strings.Contains(h.Reason, "the channel twice of the API is not used: another channel has that name") {
		t.Errorf("health says %+v", h)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}

	// A backup has it, and an agent starts on the backup.
	n = openReal(t, dir, change)
	restored := t.TempDir()
	if err := errors.Join(n.BackupChannels(filepath.Join(restored, "alerting")), n.Close()); err != nil {
		t.Error(err)
	}
	n = openReal(t, restored, change)
	want(t, "the restored channels", n.ChannelNames(), []string{"fixed", "twice"})
	if err := n.Close(); err != nil {
		t.Error(err)
	}

	// A damaged file keeps nothing else from working.
	if err := os.WriteFile(filepath.Join(dir, "alerting", ownFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	n = openReal(t, dir, change)
	if h := n.Health(); !strings.Contains(h.Reason, "the channels of the API are not used") || strings.Join(n.ChannelNames(), " ") != "fixed" {
		t.Errorf("health says %+v of %v", h, n.ChannelNames())
	}
	// A change that succeeds ends it.
	if err := n.AddChannel(t.Context(), "again", "log: {file: b.log}"); err != nil || strings.Contains(n.Health().Reason, "damaged") {
		t.Errorf("%v, health says %+v", err, n.Health())
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}

	// One that cannot be read is not overwritten.
	path := filepath.Join(dir, "alerting", ownFile)
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	n = openReal(t, dir, change)
	if err := n.AddChannel(t.Context(), "ops", "log: {file: b.log}"); err == nil || !strings.Contains(n.Health().Reason, "the file is left as it is") {
		t.Errorf("%v, health says %+v", err, n.Health())
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() || len(n.ChannelNames()) != 1 {
		t.Errorf("after the change the file is %v, %v, the channels %v", info, err, n.ChannelNames())
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
