package notify

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	amwebhook "github.com/prometheus/alertmanager/notify/webhook"

	"sysotel/agent/loopback"
	"sysotel/agent/secret"
)

// WebhookConfig is a URL to post to.
type WebhookConfig struct {
	URL        secret.Text            `yaml:"url" help:"URL to post to, ${file:PATH} or ${env:NAME}."`
	Headers    map[string]secret.Text `yaml:"headers" help:"Request headers, such as Authorization; values may be ${file:PATH} or ${env:NAME}."`
	CA         string                 `yaml:"ca" path:"file" help:"File with the CA certificates to trust instead of the system's."`
	ServerName string                 `yaml:"server_name" help:"Name in the server's certificate if it is not the host in url."`
}

var _ channelKind = WebhookConfig{}

func (c WebhookConfig) isSet() bool {
	return c.URL != "" || len(c.Headers) > 0 || c.CA != "" || c.ServerName != ""
}

func (c WebhookConfig) validate(_ site, report reportFunc) {
	u := checkURL(c.URL, "url", report)
	if u != nil && u.Scheme != "https" && len(c.Headers) > 0 && !loopback.Host(u.Hostname()) {
		report("url", c.URL, "must begin with https:// if there are webhook.headers, which may be credentials; http:// is allowed to this machine only")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			report("headers."+name, name, "names of headers consist of letters, digits, - and _")
		}
		checkSecret(c.Headers[name], "headers."+name, report)
	}
	if c.ServerName != "" && !isDomain(c.ServerName) {
		report("server_name", c.ServerName, "must be a name, such as hooks.example.org")
	}
	checkCA(c.CA, "ca", report)
}

func (c WebhookConfig) newSender(s site) (sender, error) { return newWebhook(c, s) }

// webhook posts the Alertmanager's webhook format (version 4) and the notices
// themselves. The Alertmanager project's own notifier does not retry after 429.
type webhook struct {
	config WebhookConfig
	site   site
	poster *poster
}

func newWebhook(c WebhookConfig, s site) (*webhook, error) {
	p, err := newPoster(c.CA, c.ServerName)
	return &webhook{config: c, site: s, poster: p}, err
}

// webhookMessage is the request body.
type webhookMessage struct {
	amwebhook.Message
	Notices []Notice `json:"notices"`
}

func (w *webhook) send(ctx context.Context, m message) error {
	address, err := w.config.URL.Reveal()
	if err != nil {
		return err
	}
	headers := map[string]string{}
	for name, value := range w.config.Headers {
		if headers[name], err = value.Reveal(); err != nil {
			return err
		}
	}
	data, err := m.templateData(w.site.channel, w.site.url())
	if err != nil {
		return err
	}
	body := webhookMessage{
		Message: amwebhook.Message{Data: data, Version: "4", GroupKey: m.groupKey(w.site.channel)},
		Notices: m.notices,
	}
	return w.poster.post(ctx, address, body, func(r *http.Request) {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		// The same on each attempt, so that a receiver can detect duplicates.
		r.Header.Set("Idempotency-Key", m.id)
	})
}
