package notify

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// alertmanager tells an Alertmanager over its API v2.
type alertmanager struct {
	config  AlertmanagerConfig
	address string
	poster  *poster
}

func newAlertmanager(c AlertmanagerConfig, address string) (*alertmanager, error) {
	p, err := newPoster(c.CA)
	return &alertmanager{c, strings.TrimSuffix(address, "/") + "/api/v2/alerts", p}, err
}

const (
	// repeatEvery is how often an Alertmanager is told of what lasts, as Prometheus
	// does; lastsFor is after how long without that it takes an alert for over.
	repeatEvery = time.Minute
	lastsFor    = 5 * time.Minute
)

// postableAlert is an alert in the API's words.
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
		if !n.over() {
			ends = time.Now().Add(lastsFor)
		}
		link := ""
		if strings.HasPrefix(n.Link, "http://") || strings.HasPrefix(n.Link, "https://") {
			link = n.Link // It refuses everything else.
		}
		alerts = append(alerts, postableAlert{n.labels(), n.annotations(), n.Since, ends, link})
	}
	return a.poster.post(ctx, a.address, alerts, func(r *http.Request) {
		if a.config.Username != "" {
			r.SetBasicAuth(a.config.Username, password)
		}
	})
}

// repeat tells an Alertmanager of the alerts that last, which it would else take
// for over.
func (l *lane) repeat(ctx context.Context) {
	tick := time.NewTicker(repeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all, err := l.file.lasting(ctx)
		if err != nil || len(all) == 0 {
			continue // Health tells when the file fails.
		}
		// What goes wrong is noted in the channel's status.
		_ = l.try(ctx, message{id: "repeat", notices: all})
	}
}
