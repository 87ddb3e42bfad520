package notify

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"sysotel/agent/loopback"
	"sysotel/agent/secret"
)

// AlertmanagerConfig is a cluster of external Alertmanagers.
type AlertmanagerConfig struct {
	URLs     []string    `yaml:"urls" help:"Base URLs, http://HOST:PORT or https://HOST:PORT, with the path before /api/v2 if there is one; for a cluster, those of all members."`
	Username string      `yaml:"username" help:"User name for basic authentication; empty for none."`
	Password secret.Text `yaml:"password" help:"Password for basic authentication, ${file:PATH} or ${env:NAME}."`
	CA       string      `yaml:"ca" path:"file" help:"File with the CA certificates to trust instead of the system's."`
}

func (c AlertmanagerConfig) validate(report reportFunc) {
	for i, text := range c.URLs {
		path := fmt.Sprintf("urls[%d]", i)
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
			report(path, secret.WithoutPassword(text), "must be http://HOST:PORT or https://HOST:PORT, such as http://localhost:9093")
		case u.User != nil:
			report(path, secret.WithoutPassword(text), "must not contain a password; use alerting.external_alertmanager.password")
		case c.Password != "" && u.Scheme != "https" && !loopback.Host(u.Hostname()):
			report(path, text, "must begin with https:// if there is a password; http:// is allowed to this machine only")
		}
		if slices.Index(c.URLs, text) < i {
			report(path, secret.WithoutPassword(text), "is there twice")
		}
	}
	checkLogin(c.Username, c.Password, report)
	checkCA(c.CA, "ca", report)
}

// kindAlertmanager is the kind of the channels of external Alertmanagers, one for
// each member of the cluster.
const kindAlertmanager = "alertmanager"

// alertmanager posts to an Alertmanager's API v2.
type alertmanager struct {
	config AlertmanagerConfig
	url    string
	poster *poster
	now    func() time.Time
}

func newAlertmanager(c AlertmanagerConfig, base string) (*alertmanager, error) {
	p, err := newPoster(c.CA, "")
	return &alertmanager{c, strings.TrimSuffix(base, "/") + "/api/v2/alerts", p, time.Now}, err
}

const (
	// resendEvery is how often active alerts are sent again, as Prometheus does;
	// without that the Alertmanager resolves an alert after resolveAfter.
	resendEvery  = time.Minute
	resolveAfter = 5 * time.Minute
)

// postableAlert is an alert in the Alertmanager's API.
type postableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt,omitzero"`
	EndsAt       time.Time         `json:"endsAt,omitzero"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

func (a *alertmanager) send(ctx context.Context, m message) error {
	password, err := a.config.Password.Reveal()
	if err != nil {
		return err
	}
	alerts := []postableAlert{}
	for _, n := range m.notices {
		ends := n.Ended
		if !n.resolved() {
			ends = a.now().Add(resolveAfter)
		}
		alerts = append(alerts, postableAlert{n.labels(), n.annotations(), n.Since, ends, n.Link})
	}
	return a.poster.post(ctx, a.url, alerts, func(r *http.Request) {
		if a.config.Username != "" {
			r.SetBasicAuth(a.config.Username, password)
		}
	})
}

// resend sends active alerts again until ctx is done.
func (q *channelQueue) resend(ctx context.Context) {
	tick := time.NewTicker(resendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			q.resendOnce(ctx)
		}
	}
}

// resendOnce sends active alerts again. Errors show in the channel's status.
func (q *channelQueue) resendOnce(ctx context.Context) {
	all, err := q.file.active(ctx)
	if err == nil && len(all) > 0 {
		_ = q.sendNow(ctx, message{id: "repeat", notices: all})
	}
}
