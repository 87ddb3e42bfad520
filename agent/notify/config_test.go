package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// mistakes lists what Validate says of a configuration.
func mistakes(t *testing.T, c Config) (all []string) {
	t.Helper()
	c.Validate(t.TempDir(), func(path string, value any, rule string) {
		all = append(all, fmt.Sprintf("%s: %v: %s", path, value, rule))
	})
	return all
}

func TestDefaultsAreRight(t *testing.T) {
	if all := mistakes(t, Defaults()); len(all) > 0 {
		t.Error(all)
	}
}

// TestWrongConfig: each mistake is told with its place and what is allowed, and
// none shows a secret.
func TestWrongConfig(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(change func(*Config), wanted ...string) {
		t.Helper()
		c := Defaults()
		change(&c)
		all := mistakes(t, c)
		if len(all) != len(wanted) {
			t.Errorf("there are the mistakes\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(wanted, "\n"))
			return
		}
		for i := range all {
			if !strings.HasPrefix(all[i], wanted[i]) || strings.Contains(all[i], "topsecret") {
				t.Errorf("the mistake is\n%s\nwant\n%s", all[i], wanted[i])
			}
		}
	}
	channel := func(change func(*ChannelConfig)) func(*Config) {
		return func(c *Config) {
			c.Channels = []ChannelConfig{{Name: "ops", MaxPerHour: 60}}
			change(&c.Channels[0])
		}
	}
	email := func(change func(*EmailConfig)) func(*Config) {
		return channel(func(c *ChannelConfig) {
			c.Email = EmailConfig{Server: "mail:25", From: "a@example.org", To: []string{"b@example.org"}}
			change(&c.Email)
		})
	}
	f(channel(func(*ChannelConfig) {}), "channels[0]: ops: needs one of email, slack, webhook, log and receiver, and what it asks for; none of them is there")
	f(channel(func(c *ChannelConfig) { c.Slack.URL, c.Log.File = "https://x", "a" }), "channels[0]: ops: needs one of email, slack, webhook, log and receiver, and what it asks for; [slack log] are there")
	f(channel(func(c *ChannelConfig) { c.Name, c.Log.File = "a/b", "a" }), "channels[0].name: a/b: must be from 1 to 64 letters, digits, -, _ and .")
	f(channel(func(c *ChannelConfig) { c.MaxPerHour, c.Log.File = 0, "a" }), "channels[0].max_per_hour: 0: must be from 1 to 3600")
	f(func(c *Config) { c.Channels = append(c.Channels, c.Channels[0]) }, "channels[1].name: log: is there twice")
	f(channel(func(c *ChannelConfig) { c.Log.File = "/etc/cron.d/x" }), "channels[0].log.file: /etc/cron.d/x: must be in one of ")
	f(func(c *Config) { c.LogDirs = []string{"log", "/"} }, "log_directories[0]: log: must be an absolute path", "log_directories[1]: /: must be")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "http://hooks.example.org/topsecret" }), "channels[0].slack.url: <secret>: must begin with https://; over http:// anybody on the way could read and use the address (http:// is allowed to this machine only)")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "http://127.0.0.1:1/topsecret" }))
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "topsecret" }), "channels[0].slack.url: <secret>: must be an address that begins with https:// or http://")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "https://h/%topsecret" }), "channels[0].slack.url: <secret>: must be an address")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "${env:SYSOTEL_TEST_NO_SECRET}" }), "channels[0].slack.url: <secret>: the variable SYSOTEL_TEST_NO_SECRET is not set")
	f(channel(func(c *ChannelConfig) { c.Webhook.URL = "http://hooks.example.org/" }))
	f(channel(func(c *ChannelConfig) {
		c.Webhook = WebhookConfig{URL: "http://hooks.example.org/", CA: notPEM, Headers: map[string]Secret{"A b": "topsecret"}}
	}), "channels[0].webhook.url: <secret>: must begin with https:// where webhook.headers holds secrets", "channels[0].webhook.headers.A b: A b: the name of a header", "channels[0].webhook.ca: "+notPEM+": the file holds no certificate")
	f(email(func(*EmailConfig) {}))
	f(email(func(c *EmailConfig) { c.Server = "mail" }), "channels[0].email.server: mail: must be HOST:PORT")
	f(email(func(c *EmailConfig) { c.TLS, c.Username, c.Password = "none", "me", "topsecret" }), "channels[0].email.tls: none: would send the password for all to read")
	f(email(func(c *EmailConfig) { c.Password = "topsecret" }), "channels[0].email.username: : must be there with the password")
	f(email(func(c *EmailConfig) { c.Username = "me" }), "channels[0].email.password: : must be there with the user name")
	f(email(func(c *EmailConfig) { c.From, c.To = "me", []string{"a@example.org", "x\r\nBcc: y@example.org"} }), "channels[0].email.from: me: must be an address", "channels[0].email.to[1]: x\r\nBcc: y@example.org: must be an address")
	f(email(func(c *EmailConfig) { c.To = nil }), "channels[0].email.to: : must name who gets it")
	f(func(c *Config) { c.GroupWait = time.Hour }, "group_wait: 1h0m0s: must be from 0s to 10m")
	f(func(c *Config) { c.Heartbeat = HeartbeatConfig{URL: "topsecret", Interval: time.Second} }, "heartbeat.interval: 1s: must be from 10s to 24h", "heartbeat.url: <secret>: must be an address")
	f(func(c *Config) {
		c.Alertmanagers.URLs = []string{"am:9093", "http://me:topsecret@am:9093", "http://am", "http://am"}
	}, "external_alertmanager.urls[0]: am:9093: must be", "external_alertmanager.urls[1]: http://<secret>@am:9093: a password goes into alerting.external_alertmanager.password", "external_alertmanager.urls[3]: http://am: is there twice")
	f(func(c *Config) {
		c.Alertmanagers.URLs, c.Alertmanagers.Password = []string{"http://am"}, "topsecret"
	}, "external_alertmanager.urls[0]: http://am: must begin with https:// where there is a password", "external_alertmanager.username: : must be there with the password")
}

// receiverOf reads a block as the configuration file does.
func receiverOf(t *testing.T, text string) Receiver {
	t.Helper()
	var r struct{ Receiver Receiver }
	if err := yaml.Unmarshal([]byte("receiver:\n"+text), &r); err != nil {
		t.Fatal(err)
	}
	return r.Receiver
}

func TestReceiverBlocks(t *testing.T) {
	f := func(text, wantErr string) {
		t.Helper()
		_, err := receiverOf(t, text).build("ops", discard())
		switch {
		case wantErr == "" && err != nil:
			t.Errorf("%s\n%v", text, err)
		case wantErr != "" && (err == nil || !strings.Contains(err.Error(), wantErr) || strings.Contains(err.Error(), "topsecret")):
			t.Errorf("%s\nthe error is %v, want %q in it", text, err, wantErr)
		}
	}
	f("  pagerduty_configs: [{routing_key: topsecret}]", "")
	f("  telegram_configs:\n  - bot_token: topsecret\n    chat_id: -100123", "")
	f("  discord_configs: [{webhook_url: https://discord.com/api/webhooks/1/topsecret}]\n  msteamsv2_configs: [{webhook_url: https://example.org/topsecret}]", "")
	f("  sns_configs: [{topic_arn: arn, sigv4: {region: eu-west-1, access_key: a, secret_key: topsecret}}]", "")
	f("  {}", "has no receiver in it, such as pagerduty_configs")
	f("  pagerduty_config: [{routing_key: topsecret}]", "field pagerduty_config not found")
	f("  pagerduty_configs: [{routing_key: topsecret, colour: red}]", "field colour not found")
	f("  pagerduty_configs: [{}]", "missing service or routing key")
	f("  webhook_configs: [{url_file: /x, max_alerts: many}]", "cannot unmarshal")
	template := func(text string) string {
		return "  slack_configs:\n  - api_url: http://localhost:1/topsecret\n    title: '" + text + "'"
	}
	f(template("{{ .CommonLabels.alertname }} {{ template \"slack.default.title\" . }}"), "")
	f(template("{{ range .Alerts }}{{ .Labels.device }}{{ end }}"), "")
	f(template("{{ .CommonLabels"), "a template is wrong: ")
	f(template("{{ .Nothing }}"), "a template is wrong: ")
	f(template("{{ template \"none\" . }}"), "a template is wrong: ")
	f(template(`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`), "a template would never end: a calls a")
	f(template(`{{ define "a" }}{{ if .Alerts }}{{ template "b" . }}{{ end }}{{ end }}{{ define "b" }}{{ template "a" . }}{{ end }}x`), "a template would never end: a calls b calls a")
	f(template(`{{ define "__alertmanager" }}{{ template "slack.default.footer" . }}{{ template "__subject" . }}{{ end }}{{ define "__subject" }}{{ template "__alertmanager" . }}{{ end }}`), "a template would never end: ")
	f(template(`{{ range 1000000000 }}x{{ end }}`), "a template is wrong: ")
}

// TestReceiverIsNotShown: a block shows its kinds and nothing else.
func TestReceiverIsNotShown(t *testing.T) {
	text, err := yaml.Marshal(ChannelConfig{Receiver: receiverOf(t, "  pagerduty_configs: [{routing_key: topsecret}]")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "pagerduty_configs: <secret>") || strings.Contains(string(text), "topsecret") {
		t.Errorf("it is shown as\n%s", text)
	}
}
