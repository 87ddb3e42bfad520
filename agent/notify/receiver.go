package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	amconfig "github.com/prometheus/alertmanager/config"
	amreceiver "github.com/prometheus/alertmanager/config/receiver"
	amnotify "github.com/prometheus/alertmanager/notify"
	amtemplate "github.com/prometheus/alertmanager/template"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Receiver is a receiver of the Alertmanager's configuration as YAML, verbatim.
type Receiver string

// UnmarshalYAML keeps the block as it is; Config.Validate looks into it.
func (r *Receiver) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return errors.New("must be a receiver of the Alertmanager, such as {pagerduty_configs: [{routing_key_file: /etc/sysotel/key}]}")
	}
	text, err := yaml.Marshal(n)
	*r = Receiver(text)
	return err
}

// MarshalYAML shows what kinds of receivers it has and nothing of them: nearly
// everything else is or holds a secret.
func (r Receiver) MarshalYAML() (any, error) {
	if r == "" {
		return "", nil
	}
	var block map[string]any
	if err := yaml.Unmarshal([]byte(r), &block); err != nil {
		return secret, nil //nolint:nilerr // What cannot be read is not shown.
	}
	for key := range block {
		block[key] = secret
	}
	return block, nil
}

// yamlPlace is where an error of the library says it is: in the block, not in the file.
var yamlPlace = regexp.MustCompile(`line \d+: |yaml: (unmarshal errors:\s*)?| in type \S+`)

// build makes the integrations of a receiver with the Alertmanager project's own
// code. Its errors name keys and rules, not values.
func (r Receiver) build(name string, log *slog.Logger) ([]amnotify.Integration, error) {
	var block yaml.Node
	if err := yaml.Unmarshal([]byte(r), &block); err != nil || len(block.Content) != 1 {
		return nil, errors.New("is no YAML")
	}
	receiver := block.Content[0]
	receiver.Content = append([]*yaml.Node{{Kind: yaml.ScalarNode, Value: "name"}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: name}}, receiver.Content...)
	whole, err := yaml.Marshal(map[string]any{
		"route":     map[string]any{"receiver": name},
		"receivers": []*yaml.Node{receiver},
	})
	if err != nil {
		return nil, err
	}
	config, err := amconfig.Load(string(whole))
	if err != nil {
		return nil, errors.New(clean(yamlPlace.ReplaceAllString(err.Error(), "")))
	}
	if err := checkTemplates(receiver); err != nil {
		return nil, err
	}
	template, err := newTemplate()
	if err != nil {
		return nil, err
	}
	integrations, err := amreceiver.BuildReceiverIntegrations(config.Receivers[0], template, log)
	if err != nil {
		return nil, err
	}
	if len(integrations) == 0 {
		return nil, errors.New("has no receiver in it, such as pagerduty_configs")
	}
	return integrations, nil
}

// newTemplate has the Alertmanager's default texts.
func newTemplate(options ...amtemplate.Option) (*amtemplate.Template, error) {
	t, err := amtemplate.FromGlobs(nil, options...)
	if err == nil {
		t.ExternalURL = &url.URL{}
	}
	return t, err
}

// receiver tells notices through the Alertmanager project's notifiers.
type receiver struct {
	name         string
	integrations []amnotify.Integration

	mu sync.Mutex
	// told is what of the message that is tried went out; it is not told again when
	// the rest is.
	message string
	told    map[string]bool
}

func newReceiver(name string, r Receiver, log *slog.Logger) (*receiver, error) {
	integrations, err := r.build(name, log)
	return &receiver{name: name, integrations: integrations}, err
}

// send tells each notice by itself: PagerDuty and its like close an incident by
// the key under which it was opened, so that a recovery must carry the key of its
// alert alone.
func (r *receiver) send(ctx context.Context, m message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.message != m.id {
		r.message, r.told = m.id, map[string]bool{}
	}
	all := m.notices
	if listed, more := m.listed(); more > 0 && !m.over() {
		all = append(listed[:len(listed):len(listed)], Notice{
			ID: m.id, Fingerprint: m.id, Rule: "more alerts", Host: listed[0].Host, State: Firing,
			Summary: m.more(), Since: listed[0].At, At: listed[0].At,
		})
	}
	var errs []error
	for _, n := range all {
		for _, integration := range r.integrations {
			step := n.ID + " " + integration.String()
			if r.told[step] || n.over() && !integration.SendResolved() && !m.test {
				continue
			}
			if err := r.notify(ctx, integration, n); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", integration.Name(), err))
				continue
			}
			r.told[step] = true
		}
	}
	return worst(errs)
}

// notify tells one notice by one integration. What the library wants to know
// stands in the context.
func (r *receiver) notify(ctx context.Context, integration amnotify.Integration, n Notice) error {
	a := n.alert(harmless)
	ctx = amnotify.WithReceiverName(ctx, r.name)
	ctx = amnotify.WithGroupKey(ctx, "sysotel/"+r.name+"/"+n.Fingerprint)
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{model.AlertNameLabel: a.Labels[model.AlertNameLabel]})
	ctx = amnotify.WithNow(ctx, time.Now())
	ctx = amnotify.WithRepeatInterval(ctx, maxAge)
	ctx = amnotify.WithNotificationReason(ctx, reason(n))
	if n.over() {
		ctx = amnotify.WithFiringAlerts(ctx, nil)
		ctx = amnotify.WithResolvedAlerts(ctx, []uint64{uint64(a.Fingerprint())})
	} else {
		ctx = amnotify.WithFiringAlerts(ctx, []uint64{uint64(a.Fingerprint())})
		ctx = amnotify.WithResolvedAlerts(ctx, nil)
	}
	again, err := integration.Notify(ctx, a)
	if err == nil || again {
		return err
	}
	if r, ok := errors.AsType[*amnotify.ErrorWithReason](err); ok && r.Reason == amnotify.RateLimitedReason {
		return &refusal{err: err} // The library gives up on 429; we do not.
	}
	return &refusal{err: err, final: true}
}

// reason is why it is told, in the library's words.
func reason(n Notice) amnotify.NotifyReason {
	switch {
	case n.over():
		return amnotify.ReasonAllAlertsResolved
	case n.State == Reminder:
		return amnotify.ReasonRepeatIntervalElapsed
	}
	return amnotify.ReasonFirstNotification
}

// worst makes one error of several: final only where all are.
func worst(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	joined := &refusal{err: errors.Join(errs...), final: true}
	for _, err := range errs {
		r, refused := errors.AsType[*refusal](err)
		if !refused || !r.final {
			joined.final = false
		}
		if refused {
			joined.after = max(joined.after, r.after)
		}
	}
	return joined
}

// harmless takes from a text what the many media of the Alertmanager's receivers
// read as mark-up or as a call to people. Their templates do not escape for chats.
func harmless(s string) string {
	return strings.NewReplacer("@", "@"+zeroWidth, "<", "‹", "[", "["+zeroWidth, "](", "]"+zeroWidth+"(").Replace(s)
}

// discard is a log for what is only tried.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
