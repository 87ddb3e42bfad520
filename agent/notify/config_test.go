package notify

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/secret"
)

// validationErrors lists the errors that Validate reports.
func validationErrors(t *testing.T, c Config) (all []string) {
	t.Helper()
	c.Validate(t.TempDir(), func(path string, value any, rule string) {
		all = append(all, fmt.Sprintf("%s: %v: %s", path, value, rule))
	})
	return all
}

func TestDefaultsAreRight(t *testing.T) {
	if all := validationErrors(t, Defaults()); len(all) > 0 {
		t.Error(all)
	}
}

// TestKinds: every section of a channel is a kind of channel.
func TestKinds(t *testing.T) {
	for field, value := range reflect.ValueOf(ChannelConfig{}).Fields() {
		if _, ok := reflect.TypeAssert[channelKind](value); !ok && !slices.Contains([]string{"Name", "Timeout", "MaxPerHour"}, field.Name) {
			t.Errorf("%s does not implement channelKind", field.Name)
		}
	}
}

// TestWrongConfig: each error has the path and what is allowed, and shows no secret.
func TestWrongConfig(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(notPEM, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(change func(*Config), wanted ...string) {
		t.Helper()
		c := Defaults()
		change(&c)
		all := validationErrors(t, c)
		if len(all) != len(wanted) {
			t.Errorf("the errors are\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(wanted, "\n"))
			return
		}
		for i := range all {
			if !strings.HasPrefix(all[i], wanted[i]) || strings.Contains(all[i], "topsecret") {
				t.Errorf("the error is\n%s\nwant\n%s", all[i], wanted[i])
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
	f(channel(func(*ChannelConfig) {}), "channels[0]: ops: needs one of email, slack, ")
	f(channel(func(c *ChannelConfig) { c.Slack.URL, c.Log.File = "https://x", "a" }), "channels[0]: ops: must have only one of slack, log")
	f(channel(func(c *ChannelConfig) { c.Name, c.Log.File = "a/b", "a" }), "channels[0].name: a/b: must be 1 to 64 letters, digits, -, _ and .")
	f(channel(func(c *ChannelConfig) { c.MaxPerHour, c.Log.File = 0, "a" }), "channels[0].max_per_hour: 0: must be from 1 to 3600")
	f(func(c *Config) { c.Channels = append(c.Channels, c.Channels[0]) }, "channels[1].name: log: is used twice")
	f(channel(func(c *ChannelConfig) { c.Log.File = "/etc/cron.d/x" }), "channels[0].log.file: /etc/cron.d/x: must be in one of ")
	f(func(c *Config) { c.LogDirs = []string{"log", "/"} }, "log_directories[0]: log: must be an absolute path", "log_directories[1]: /: must be")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "http://hooks.example.org/topsecret" }), "channels[0].slack.url: <secret>: must begin with https://, because the URL is a credential; http:// is allowed to this machine only")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "http://127.0.0.1:1/topsecret" }))
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "topsecret" }), "channels[0].slack.url: <secret>: must be a URL that begins with https:// or http://")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "https://h/%topsecret" }), "channels[0].slack.url: <secret>: must be a URL")
	f(channel(func(c *ChannelConfig) { c.Slack.URL = "${env:SYSOTEL_TEST_NO_SECRET}" }), "channels[0].slack.url: <secret>: the variable SYSOTEL_TEST_NO_SECRET is not set")
	f(channel(func(c *ChannelConfig) { c.Webhook.URL = "http://hooks.example.org/" }))
	f(channel(func(c *ChannelConfig) {
		c.Webhook = WebhookConfig{URL: "http://hooks.example.org/", CA: notPEM, Headers: map[string]secret.Text{"A b": "topsecret"}}
	}), "channels[0].webhook.url: <secret>: must begin with https:// if there are webhook.headers", "channels[0].webhook.headers.A b: A b: names of headers", "channels[0].webhook.ca: "+notPEM+": the file contains no certificate")
	f(email(func(*EmailConfig) {}))
	f(email(func(c *EmailConfig) { c.Server = "mail" }), "channels[0].email.server: mail: must be HOST:PORT")
	f(email(func(c *EmailConfig) { c.TLS, c.Username, c.Password = "none", "me", "topsecret" }), "channels[0].email.tls: none: would send the password in clear text")
	f(email(func(c *EmailConfig) { c.Password = "topsecret" }), "channels[0].email.username: : is required with a password")
	f(email(func(c *EmailConfig) { c.Username = "me" }), "channels[0].email.password: : is required with a user name")
	f(email(func(c *EmailConfig) { c.From, c.To = "me", []string{"a@example.org", "x\r\nBcc: y@example.org"} }), "channels[0].email.from: me: must be an address", "channels[0].email.to[1]: x\r\nBcc: y@example.org: must be an address")
	f(email(func(c *EmailConfig) { c.To = nil }), "channels[0].email.to: : must name at least one recipient")
	f(func(c *Config) { c.GroupWait = time.Hour }, "group_wait: 1h0m0s: must be from 0s to 10m")
	f(func(c *Config) { c.Heartbeat = HeartbeatConfig{URL: "topsecret", Interval: time.Second} }, "heartbeat.interval: 1s: must be from 10s to 24h", "heartbeat.url: <secret>: must be a URL")
	f(func(c *Config) {
		c.Alertmanagers.URLs = []string{"am:9093", "http://me:topsecret@am:9093", "http://am", "http://am"}
	}, "external_alertmanager.urls[0]: am:9093: must be", "external_alertmanager.urls[1]: http://<secret>@am:9093: must not contain a password", "external_alertmanager.urls[3]: http://am: is there twice")
	f(func(c *Config) {
		c.Alertmanagers.URLs, c.Alertmanagers.Password = []string{"http://am"}, "topsecret"
	}, "external_alertmanager.urls[0]: http://am: must begin with https:// if there is a password", "external_alertmanager.username: : is required with a password")
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
		_, _, err := receiverOf(t, text).build("", "ops", "", discard())
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
	f("  sns_configs: [{topic_arn: arn, sigv4: {region: eu-west-1, access_key: a, secret_key: topsecret}}]", "sns_configs is not supported")
	f("  {}", "")
	f("  pagerduty_config: [{routing_key: topsecret}]", "field pagerduty_config not found")
	f("  pagerduty_configs: [{routing_key: topsecret, colour: red}]", "field colour not found")
	f("  pagerduty_configs: [{}]", "missing service or routing key")
	f("  webhook_configs: [{url_file: /x, max_alerts: many}]", "cannot unmarshal")
	template := func(text string) string {
		return "  slack_configs:\n  - api_url: http://localhost:1/topsecret\n    title: '" + text + "'"
	}
	f(template("{{ .CommonLabels.alertname }} {{ template \"slack.default.title\" . }}"), "")
	f(template("{{ range .Alerts }}{{ .Labels.device }}{{ end }}"), "")
	f(template("{{ .CommonLabels"), "a template is invalid: ")
	f(template("{{ .Nothing }}"), "a template is invalid: ")
	f(template("{{ template \"none\" . }}"), "a template is invalid: ")
	f(template(`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`), "a template does not terminate: a calls a")
	f(template(`{{ define "a" }}{{ if .Alerts }}{{ template "b" . }}{{ end }}{{ end }}{{ define "b" }}{{ template "a" . }}{{ end }}x`), "a template does not terminate: a calls b calls a")
	f(template(`{{ define "__alertmanager" }}{{ template "slack.default.footer" . }}{{ template "__subject" . }}{{ end }}{{ define "__subject" }}{{ template "__alertmanager" . }}{{ end }}`), "a template does not terminate: ")
	f(template(`{{ range 1000000000 }}x{{ end }}`), "a template is invalid: the template does too much")
	f(template(`{{ range 1000000000 }}{{ end }}`), "a template is invalid: the template does too much")
	f(template(`{{ $x := "0123456789" }}{{ range 40 }}{{ $x = print $x $x }}{{ end }}`), "a template is invalid: the template makes a text of ")
	f(template(`{{ $x := dict "a" "b" }}{{ range 40 }}{{ $x = dict "a" $x "b" $x }}{{ end }}{{ toJson $x }}`), "a template is invalid: the template does too much")
	f(template(`{{ $x := printf "%60000s" "a" }}{{ join $x (stringSlice $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x) }}`), "a template is invalid: the template ")
	f(template(`{{ define "a" }}{{ range 1000 }}{{ template "slack.default.text" $ }}{{ end }}{{ end }}{{ range 100000 }}{{ template "a" $ }}{{ end }}`), "a template is invalid: the template does too much")
	f(template(`{{ define "a" }}<{{ .CommonLabels.alertname | toUpper }}>{{ end }}{{ template "a" . }}{{ "{" }}{{ printf "%5d" 3 | html }}`), "")
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

// TestEveryReceiver: every kind that the library's configuration knows is built in,
// but for SNS.
func TestEveryReceiver(t *testing.T) {
	blocks := map[string]string{
		"discord":    "webhook_url: https://example.org",
		"email":      "to: a@example.org, from: b@example.org, smarthost: mail:25",
		"incidentio": "url: https://example.org, alert_source_token: x",
		"jira":       "api_url: https://example.org, project: a, issue_type: b",
		"mattermost": "webhook_url: https://example.org",
		"msteams":    "webhook_url: https://example.org",
		"msteamsv2":  "webhook_url: https://example.org",
		"opsgenie":   "api_key: x",
		"pagerduty":  "routing_key: x",
		"pushover":   "user_key: x, token: y",
		"rocketchat": "token: x, token_id: y",
		"slack":      "api_url: https://example.org",
		"telegram":   "bot_token: x, chat_id: 1",
		"victorops":  "api_key: x, routing_key: y",
		"webex":      "room_id: x, http_config: {authorization: {credentials: y}}",
		"webhook":    "url: https://example.org",
		"wechat":     "api_secret: x, corp_id: y",
	}
	known := 0
	for field := range reflect.TypeFor[amconfig.Receiver]().Fields() {
		kind, ok := strings.CutSuffix(strings.TrimSuffix(field.Tag.Get("yaml"), ",omitempty"), "_configs")
		if !ok || kind == "sns" {
			continue
		}
		known++
		all, _, err := receiverOf(t, "  "+kind+"_configs: [{"+blocks[kind]+"}]").build("", "ops", "", discard())
		if err != nil || len(all) != 1 || all[0].Name() != kind {
			t.Errorf("%s makes %v, %v", kind, all, err)
		}
	}
	want(t, "the number of kinds", known, len(blocks))
}
