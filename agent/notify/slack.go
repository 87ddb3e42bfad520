package notify

import (
	"context"
	"net/http"
	"strings"

	"sysotel/agent/loopback"
	"sysotel/agent/secret"
)

// SlackConfig is an incoming webhook of Slack.
type SlackConfig struct {
	URL     secret.Text `yaml:"url" help:"URL of the incoming webhook, ${file:PATH} or ${env:NAME}; https, or http on this machine."`
	Channel string      `yaml:"channel" help:"Channel to post to instead of the webhook's own."`
}

var _ channelKind = SlackConfig{}

func (c SlackConfig) isSet() bool { return c != SlackConfig{} }

func (c SlackConfig) validate(_ site, report reportFunc) {
	u := checkURL(c.URL, "url", report)
	if u != nil && u.Scheme != "https" && !loopback.Host(u.Hostname()) {
		report("url", c.URL, "must begin with https://, because the URL is a credential; http:// is allowed to this machine only")
	}
}

func (c SlackConfig) newSender(site) (sender, error) { return newSlack(c) }

// slack posts to an incoming webhook. The Alertmanager project's notifier never
// retries after 429 and hides Retry-After.
type slack struct {
	config SlackConfig
	poster *poster
}

func newSlack(c SlackConfig) (*slack, error) {
	p, err := newPoster("", "")
	return &slack{c, p}, err
}

// slackMessage is accepted by Slack, Mattermost and Rocket.Chat. Markup is disabled
// where it can be, and escaped elsewhere.
type slackMessage struct {
	Channel     string            `json:"channel,omitempty"`
	Text        string            `json:"text"`
	Markdown    bool              `json:"mrkdwn"`
	Parse       string            `json:"parse"`
	LinkNames   bool              `json:"link_names"`
	UnfurlLinks bool              `json:"unfurl_links"`
	Attachments []slackAttachment `json:"attachments,omitempty"`
}

type slackAttachment struct {
	Fallback   string   `json:"fallback"`
	Color      string   `json:"color,omitempty"`
	Title      string   `json:"title,omitempty"`
	TitleLink  string   `json:"title_link,omitempty"`
	Text       string   `json:"text"`
	MarkdownIn []string `json:"mrkdwn_in"`
}

func (s *slack) send(ctx context.Context, m message) error {
	address, err := s.config.URL.Reveal()
	if err != nil {
		return err
	}
	body := slackMessage{Channel: s.config.Channel, Text: slackText(m.headline()), Parse: "none"}
	if m.test {
		return s.poster.post(ctx, address, body, func(*http.Request) {})
	}
	listed, _ := m.listed()
	for _, n := range listed {
		var lines []string
		for _, f := range n.facts() {
			lines = append(lines, slackText(f.Name+": "+f.Text))
		}
		body.Attachments = append(body.Attachments, slackAttachment{
			Fallback: slackText(n.headline()), Color: n.color(), Title: slackText(n.headline()), TitleLink: n.Link,
			Text: strings.Join(lines, "\n"), MarkdownIn: []string{},
		})
	}
	if more := m.more(); more != "" {
		body.Attachments = append(body.Attachments, slackAttachment{Fallback: slackText(more), Text: slackText(more), MarkdownIn: []string{}})
	}
	return s.poster.post(ctx, address, body, func(*http.Request) {})
}

// slackText escapes a text for Slack: https://api.slack.com/reference/surfaces/formatting#escaping.
func slackText(s string) string {
	s = strings.ReplaceAll(s, "@", "@"+zeroWidth)
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// color is the color of the bar beside a notice.
func (n Notice) color() string {
	switch {
	case n.resolved():
		return "#2e9e44"
	case n.State == NoData:
		return "#808080"
	case n.Severity == "critical":
		return "#d32f2f"
	}
	return "#e08a00"
}
