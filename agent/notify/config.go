package notify

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Config is the configuration of notifications. Its keys are below alerting in
// sysotel.yaml.
type Config struct {
	Channels      []ChannelConfig    `yaml:"channels" help:"Notification channels. An alert that names none goes to all."`
	Global        Global             `yaml:"global,omitempty" help:"What receivers have in common, as global in the Alertmanager's configuration: slack_api_url, smtp_smarthost, http_config and so on. Its resolve_timeout does not apply."`
	GroupWait     time.Duration      `yaml:"group_wait" help:"How long a message waits for others that can be sent with it, 0s to 10m."`
	LogDirs       []string           `yaml:"log_directories" path:"absolute" help:"Directories that log channels may write to, besides log in the data directory."`
	Alertmanagers AlertmanagerConfig `yaml:"external_alertmanager" help:"External Alertmanagers. They receive every alert, whatever its channels."`
	Heartbeat     HeartbeatConfig    `yaml:"heartbeat" help:"Dead man's switch: a URL that is called regularly while alert rules are evaluated. The service behind it raises the alarm when the calls stop."`
}

// ChannelConfig is one channel: a name and exactly one of the kinds, which are the
// fields that implement channelKind. A new kind is a file with its configuration
// and its sender, and a field here.
type ChannelConfig struct {
	Name       string        `yaml:"name" help:"Name by which rules refer to the channel: letters, digits, -, _ and ."`
	Timeout    time.Duration `yaml:"timeout" help:"How long one attempt to send may take, 1s to 5m."`
	MaxPerHour int           `yaml:"max_per_hour" help:"Maximum messages per hour, a sixth of them in a burst; alerts beyond that wait and share one message. Does not apply to log."`
	Email      EmailConfig   `yaml:"email,omitempty" help:"Send e-mail."`
	Slack      SlackConfig   `yaml:"slack,omitempty" help:"Send to Slack, or to anything that accepts Slack's incoming webhooks."`
	Webhook    WebhookConfig `yaml:"webhook,omitempty" help:"Post JSON in the format of Alertmanager webhooks."`
	Log        LogConfig     `yaml:"log,omitempty" help:"Append JSON lines to a file."`
	Receiver   Receiver      `yaml:"receiver,omitempty" help:"A receiver as in the Alertmanager's configuration, without its name: pagerduty_configs, telegram_configs and so on. One without any sends nothing. Keep secrets in files there, as with token_file, or as ${file:PATH} or ${env:NAME}."`
}

// channelKind is the configuration of one kind of channel.
type channelKind interface {
	// isSet reports whether the entry configures this kind.
	isSet() bool
	// validate reports all validation errors; paths are below the kind's own key.
	validate(s site, report reportFunc)
	// newSender creates the sender.
	newSender(s site) (sender, error)
}

// site is what a channel needs to know besides its own configuration.
type site struct {
	channel string // its name
	dataDir string
	logDirs []string
	global  Global
	host    string        // name of this machine, empty while validating
	timeout time.Duration // of one attempt
	page    func() string // URL of the agent's page; nil while validating
}

// url is the URL of the agent's page, empty if unknown.
func (s site) url() string {
	if s.page == nil {
		return ""
	}
	return s.page()
}

// reportFunc takes a validation error: the path of the option, its value and the
// rule that the value breaks.
type reportFunc func(path string, value any, rule string)

// below returns a reportFunc for options below path.
func (report reportFunc) below(path string) reportFunc {
	return func(key string, value any, rule string) {
		if key != "" {
			key = "." + key
		}
		report(path+key, value, rule)
	}
}

// Defaults is the configuration without any settings.
func Defaults() Config {
	return Config{
		Channels:  []ChannelConfig{{Name: "log", MaxPerHour: defaultPerHour, Timeout: sendTimeout, Log: LogConfig{File: "alerts.log"}}},
		GroupWait: 10 * time.Second,
		Heartbeat: HeartbeatConfig{Interval: time.Minute},
	}
}

// defaultPerHour is enough for a bad day and few enough to be read.
const defaultPerHour = 60

// SetDefaults sets what a channel in the file omits.
func (c *ChannelConfig) SetDefaults() { c.MaxPerHour, c.Timeout = defaultPerHour, sendTimeout }

// Names lists the channels.
func (c Config) Names() []string {
	var names []string
	for _, one := range c.Channels {
		names = append(names, one.Name)
	}
	return names
}

// kind returns the one kind that the entry configures, with its key.
func (c ChannelConfig) kind() (key string, kind channelKind, err error) {
	var known, found []string
	for field, value := range reflect.ValueOf(c).Fields() {
		k, ok := reflect.TypeAssert[channelKind](value)
		if !ok {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		known = append(known, name)
		if k.isSet() {
			found = append(found, name)
			key, kind = name, k
		}
	}
	switch len(found) {
	case 0:
		return "", nil, fmt.Errorf("needs one of %s with its required options", strings.Join(known, ", "))
	case 1:
		return key, kind, nil
	}
	return "", nil, fmt.Errorf("must have only one of %s", strings.Join(found, ", "))
}

// Validate reports every validation error. Paths are below alerting. dataDir is
// the absolute data directory.
func (c Config) Validate(dataDir string, wrong func(path string, value any, rule string)) {
	report := reportFunc(wrong)
	seen := map[string]bool{}
	for i, channel := range c.Channels {
		at := report.below(fmt.Sprintf("channels[%d]", i))
		channel.validate(c.site(channel, Options{DataDir: dataDir}), at)
		if seen[channel.Name] {
			at("name", channel.Name, "is used twice; names of channels must be unique")
		}
		seen[channel.Name] = true
	}
	if c.GroupWait < 0 || c.GroupWait > 10*time.Minute {
		report("group_wait", c.GroupWait, "must be from 0s to 10m")
	}
	c.Global.validate(report.below("global"))
	c.validateLogDirs(report)
	c.Alertmanagers.validate(report.below("external_alertmanager"))
	c.Heartbeat.validate(report.below("heartbeat"))
}

// Warnings names the channels that send nothing, the files of receivers that cannot be
// read and what looks like a reference in them, of a configuration that is valid.
func (c Config) Warnings() (all []string) {
	for _, wrong := range blockWarnings(string(c.Global)) {
		all = append(all, "alerting.global."+wrong)
	}
	for i, channel := range c.Channels {
		for _, wrong := range blockWarnings(string(channel.Receiver)) {
			all = append(all, fmt.Sprintf("alerting.channels[%d].receiver: %s", i, wrong))
		}
		if !channel.Receiver.isSet() {
			continue
		}
		if made, _, err := channel.Receiver.build(c.Global, channel.Name, "", discard()); err == nil && len(made) == 0 {
			all = append(all, fmt.Sprintf("alerting.channels[%d].receiver: %s sends nothing, because it has no integration such as pagerduty_configs", i, channel.Name))
		}
	}
	return all
}

// site is that of a channel.
func (c Config) site(channel ChannelConfig, o Options) site {
	return site{channel.Name, o.DataDir, c.LogDirs, c.Global, o.Host, cmp.Or(channel.Timeout, sendTimeout), o.Page}
}

func (c ChannelConfig) validate(s site, report reportFunc) {
	if !isName(c.Name) {
		report("name", c.Name, "must be 1 to 64 letters, digits, -, _ and .")
	}
	if c.MaxPerHour < 1 || c.MaxPerHour > 3600 {
		report("max_per_hour", c.MaxPerHour, "must be from 1 to 3600")
	}
	if c.Timeout != 0 && (c.Timeout < time.Second || c.Timeout > 5*time.Minute) {
		report("timeout", c.Timeout, "must be from 1s to 5m")
	}
	key, kind, err := c.kind()
	if err != nil {
		report("", c.Name, err.Error())
		return
	}
	kind.validate(s, report.below(key))
}

// isName reports whether s is a valid name of a channel. It is part of URLs of the
// API.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && s != "." && s != ".." &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}
