package notify

import (
	"context"
	"net/http"

	amwebhook "github.com/prometheus/alertmanager/notify/webhook"
)

// webhook posts what the Alertmanager's webhook posts (version 4), so that
// whatever takes that takes this, and beside it the notices themselves. The
// Alertmanager project's own notifier does not try again after 429.
type webhook struct {
	name   string
	config WebhookConfig
	poster *poster
}

func newWebhook(name string, c WebhookConfig) (*webhook, error) {
	p, err := newPoster(c.CA)
	return &webhook{name: name, config: c, poster: p}, err
}

// webhookMessage is the body.
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
	data, err := m.templateData(w.name)
	if err != nil {
		return err
	}
	body := webhookMessage{
		Message: amwebhook.Message{Data: data, Version: "4", GroupKey: m.groupKey(w.name)},
		Notices: m.notices,
	}
	return w.poster.post(ctx, address, body, func(r *http.Request) {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
		// The same for each try, so that a receiver can know one it has seen.
		r.Header.Set("Idempotency-Key", m.id)
	})
}
