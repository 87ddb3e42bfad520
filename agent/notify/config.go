package notify

import (
	"fmt"
	"slices"
	"time"
)

// Config is who is told, and how. Its keys stand under alerting in sysotel.yaml.
type Config struct {
	Channels      []ChannelConfig    `yaml:"channels" help:"Who is told of alerts. Without an entry of its own an alert is told by all of them."`
	GroupWait     time.Duration      `yaml:"group_wait" help:"Time for which a message waits for others that can go with it, from 0s to 10m."`
	LogDirs       []string           `yaml:"log_directories" help:"Directories in which log channels may write, besides log in the data directory."`
	Alertmanagers AlertmanagerConfig `yaml:"external_alertmanager" help:"An Alertmanager that is told of every alert, whatever channels it has."`
	Heartbeat     HeartbeatConfig    `yaml:"heartbeat" help:"A dead man's switch: an address that is called again and again while alerts are judged. Who is behind it raises the alarm when the calls stop."`
}

// ChannelConfig is one channel: a name and one of the ways.
type ChannelConfig struct {
	Name       string        `yaml:"name" help:"Name of the channel, by which rules choose it: letters, digits, -, _ and ."`
	MaxPerHour int           `yaml:"max_per_hour" help:"Most messages an hour, a sixth of them at once; what is over it waits and is told in one message. Not for log."`
	Email      EmailConfig   `yaml:"email,omitempty" help:"Tell it by e-mail:"`
	Slack      SlackConfig   `yaml:"slack,omitempty" help:"Tell it in Slack, or in what takes Slack's messages:"`
	Webhook    WebhookConfig `yaml:"webhook,omitempty" help:"Post it as JSON, in the form of the Alertmanager's webhook:"`
	Log        LogConfig     `yaml:"log,omitempty" help:"Write it as lines of JSON into a file:"`
	Receiver   Receiver      `yaml:"receiver,omitempty" help:"A receiver as it stands in the configuration of the Alertmanager, without its name: pagerduty_configs, telegram_configs and so on. Secrets stand in files there, as in token_file."`
}

// EmailConfig is a mail server and who gets mail through it.
type EmailConfig struct {
	Server   string   `yaml:"server" help:"The mail server, HOST:PORT, such as smtp.example.org:587."`
	TLS      string   `yaml:"tls" enum:"starttls|tls|none" help:"How the connection is made safe: starttls, tls from the start (port 465), or none, which takes no password. Default starttls."`
	CA       string   `yaml:"ca" help:"File with the certificates to trust, in place of the system's."`
	Username string   `yaml:"username" help:"Name to log in with; empty for no log-in."`
	Password Secret   `yaml:"password" help:"Password to log in with, ${file:PATH} or ${env:NAME}."`
	From     string   `yaml:"from" help:"Address of the sender."`
	To       []string `yaml:"to" help:"Addresses of those who get it."`
}

// SlackConfig is an incoming webhook of Slack.
type SlackConfig struct {
	URL     Secret `yaml:"url" help:"The address of the incoming webhook, ${file:PATH} or ${env:NAME}; https, or http on this machine."`
	Channel string `yaml:"channel" help:"Channel to write to, where it is not that of the webhook."`
}

// WebhookConfig is an address to post to.
type WebhookConfig struct {
	URL     Secret            `yaml:"url" help:"The address to post to, ${file:PATH} or ${env:NAME}."`
	Headers map[string]Secret `yaml:"headers" help:"Headers of the request, such as Authorization; their values may be ${file:PATH} or ${env:NAME}."`
	CA      string            `yaml:"ca" help:"File with the certificates to trust, in place of the system's."`
}

// LogConfig is a file.
type LogConfig struct {
	File string `yaml:"file" help:"The file, rotated at 10 MiB, five are kept; relative ones are in log of the data directory."`
}

// AlertmanagerConfig is an Alertmanager of one's own.
type AlertmanagerConfig struct {
	URLs     []string `yaml:"urls" help:"Its address, http://HOST:PORT or https://HOST:PORT with the path before /api/v2, if there is one; of a cluster every member's."`
	Username string   `yaml:"username" help:"Name for basic authentication; empty for none."`
	Password Secret   `yaml:"password" help:"Password for basic authentication, ${file:PATH} or ${env:NAME}."`
	CA       string   `yaml:"ca" help:"File with the certificates to trust, in place of the system's."`
}

// HeartbeatConfig is an address that wants to hear that all is well.
type HeartbeatConfig struct {
	URL      Secret        `yaml:"url" help:"The address that is called (GET), ${file:PATH} or ${env:NAME}; empty for none."`
	Interval time.Duration `yaml:"interval" help:"Time between two calls, from 10s to 24h."`
}

// Defaults is the configuration of which nothing was said.
func Defaults() Config {
	return Config{
		Channels:  []ChannelConfig{{Name: "log", MaxPerHour: defaultPerHour, Log: LogConfig{File: "alerts.log"}}},
		GroupWait: 10 * time.Second,
		Heartbeat: HeartbeatConfig{Interval: time.Minute},
	}
}

// defaultPerHour is enough for a bad day and little enough to be read.
const defaultPerHour = 60

// SetDefaults fills what an entry of the file leaves out.
func (c *ChannelConfig) SetDefaults() { c.MaxPerHour = defaultPerHour }

// Names lists the channels.
func (c Config) Names() []string {
	var names []string
	for _, one := range c.Channels {
		names = append(names, one.Name)
	}
	return names
}

// The kinds of channels, as the API tells them.
const (
	kindEmail        = "email"
	kindSlack        = "slack"
	kindWebhook      = "webhook"
	kindLog          = "log"
	kindReceiver     = "receiver"
	kindAlertmanager = "alertmanager"
)

// kinds lists the ways that an entry has; it should be one.
func (c ChannelConfig) kinds() (kinds []string) {
	for _, kind := range []struct {
		name string
		set  bool
	}{
		{kindEmail, c.Email.Server != "" || c.Email.From != "" || len(c.Email.To) > 0 || c.Email.Username != "" || c.Email.Password != ""},
		{kindSlack, c.Slack != (SlackConfig{})},
		{kindWebhook, c.Webhook.URL != "" || len(c.Webhook.Headers) > 0 || c.Webhook.CA != ""},
		{kindLog, c.Log != (LogConfig{})},
		{kindReceiver, c.Receiver != ""},
	} {
		if kind.set {
			kinds = append(kinds, kind.name)
		}
	}
	return kinds
}

// sender makes the sender of a channel and tells its kind.
func (c ChannelConfig) sender(o Options) (s sender, kind string, err error) {
	kinds := c.kinds()
	if len(kinds) != 1 {
		return nil, "", fmt.Errorf("it needs one of email, slack, webhook, log and receiver, and has %d", len(kinds))
	}
	switch kind = kinds[0]; kind {
	case kindEmail:
		s, err = newEmail(c.Email, o.Host)
	case kindSlack:
		s, err = newSlack(c.Slack)
	case kindWebhook:
		s, err = newWebhook(c.Name, c.Webhook)
	case kindLog:
		s, err = newLogFile(c.Log, o)
	default:
		s, err = newReceiver(c.Name, c.Receiver, discard())
	}
	return s, kind, err
}

// Validate calls wrong for every mistake with the path of the option below
// alerting, its value and the rule that it breaks. Log channels are judged by
// the data directory.
func (c Config) Validate(dataDir string, wrong func(path string, value any, rule string)) {
	seen := map[string]bool{}
	for i, channel := range c.Channels {
		at := fmt.Sprintf("channels[%d]", i)
		channel.validate(func(path string, value any, rule string) { wrong(at+path, value, rule) })
		if seen[channel.Name] {
			wrong(at+".name", channel.Name, "is there twice; a channel needs a name of its own")
		}
		seen[channel.Name] = true
		if channel.Log.File != "" {
			if _, err := logPath(channel.Log.File, dataDir, c.LogDirs); err != nil {
				wrong(at+".log.file", channel.Log.File, err.Error())
			}
		}
	}
	if c.GroupWait < 0 || c.GroupWait > 10*time.Minute {
		wrong("group_wait", c.GroupWait, "must be from 0s to 10m")
	}
	c.validateLogDirs(wrong)
	c.Alertmanagers.validate(wrong)
	c.Heartbeat.validate(wrong)
}

func (c ChannelConfig) validate(wrong func(path string, value any, rule string)) {
	if !isName(c.Name) {
		wrong(".name", c.Name, "must be from 1 to 64 letters, digits, -, _ and .")
	}
	if c.MaxPerHour < 1 || c.MaxPerHour > 3600 {
		wrong(".max_per_hour", c.MaxPerHour, "must be from 1 to 3600")
	}
	kinds := c.kinds()
	if len(kinds) != 1 {
		found := "none of them is there"
		if len(kinds) > 1 {
			found = fmt.Sprintf("%v are there", kinds)
		}
		wrong("", c.Name, "needs one of email, slack, webhook, log and receiver, and what it asks for; "+found)
		return
	}
	switch kinds[0] {
	case kindEmail:
		c.Email.validate(func(path string, value any, rule string) { wrong(".email."+path, value, rule) })
	case kindSlack:
		c.Slack.validate(func(path string, value any, rule string) { wrong(".slack."+path, value, rule) })
	case kindWebhook:
		c.Webhook.validate(func(path string, value any, rule string) { wrong(".webhook."+path, value, rule) })
	case kindReceiver:
		if _, err := c.Receiver.build(c.Name, discard()); err != nil {
			wrong(".receiver", "", err.Error())
		}
	}
}

// isName tells whether s can be the name of a channel: it stands in addresses of
// the API.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && s != "." && s != ".." && !slices.ContainsFunc([]rune(s), func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}
