package notify

import (
	"context"
	"net/http"
	"strings"
)

// slack writes to an incoming webhook. The Alertmanager project's notifier never
// tries again after 429 and hides how long Slack wants to be left alone.
type slack struct {
	config SlackConfig
	poster *poster
}

func newSlack(c SlackConfig) (*slack, error) {
	p, err := newPoster("")
	return &slack{c, p}, err
}

// slackMessage is what Slack, Mattermost and Rocket.Chat take. Mark-up is off, and
// what is not off is escaped.
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

// slackText makes a text harmless in Slack: https://api.slack.com/reference/surfaces/formatting#escaping.
func slackText(s string) string {
	s = strings.ReplaceAll(s, "@", "@"+zeroWidth)
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// color is that of the bar beside a notice.
func (n Notice) color() string {
	switch {
	case n.over():
		return "#2e9e44"
	case n.State == NoData:
		return "#808080"
	case n.Severity == "critical":
		return "#d32f2f"
	}
	return "#e08a00"
}
