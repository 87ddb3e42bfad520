package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config"
	amnotify "github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"sysotel/agent/secret"
	"sysotel/agent/template"
)

// Receiver is a receiver of the Alertmanager's configuration as YAML, verbatim.
type Receiver string

var _ channelKind = Receiver("")

func (r Receiver) isSet() bool { return r != "" }

func (r Receiver) validate(s site, report reportFunc) {
	if _, _, err := r.build(s.channel, "", discard()); err != nil {
		report("", "", err.Error())
	}
}

func (r Receiver) newSender(s site) (sender, error) {
	hello := s.host
	if !isDomain(hello) {
		ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
		defer cancel()
		hello = fullName(ctx)
	}
	return newReceiver(s.channel, r, hello, discard())
}

// UnmarshalYAML keeps the block as it is; validate examines it.
func (r *Receiver) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return errors.New("must be a receiver of the Alertmanager, such as {pagerduty_configs: [{routing_key_file: /etc/sysotel/key}]}")
	}
	text, err := yaml.Marshal(n)
	*r = Receiver(text)
	return err
}

// StartFrom makes relative paths, those of keys that end in _file as in the Alertmanager,
// start from a directory.
func (r *Receiver) StartFrom(dir string) {
	var block yaml.Node
	if yaml.Unmarshal([]byte(*r), &block) != nil {
		return // validate says so.
	}
	var locate func(*yaml.Node)
	locate = func(n *yaml.Node) {
		for i, inner := range n.Content {
			isFile := n.Kind == yaml.MappingNode && i%2 == 1 && strings.HasSuffix(n.Content[i-1].Value, "_file")
			if isFile && inner.Kind == yaml.ScalarNode && inner.Value != "" && !filepath.IsAbs(inner.Value) {
				inner.SetString(filepath.Join(dir, inner.Value))
			}
			locate(inner)
		}
	}
	locate(&block)
	if text, err := yaml.Marshal(&block); err == nil {
		*r = Receiver(text)
	}
}

// MarshalYAML shows which receivers it has and nothing else: nearly every value is
// or contains a secret.
func (r Receiver) MarshalYAML() (any, error) {
	if r == "" {
		return "", nil
	}
	var block map[string]any
	if err := yaml.Unmarshal([]byte(r), &block); err != nil {
		return secret.Hidden, nil //nolint:nilerr // Invalid YAML is not shown.
	}
	for key := range block {
		block[key] = secret.Hidden
	}
	return block, nil
}

// yamlPlace matches the positions in errors of the library, which refer to the
// block and not to the file.
var yamlPlace = regexp.MustCompile(`line \d+: |yaml: (unmarshal errors:\s*)?| in type \S+`)

// build creates the integrations of a receiver with the Alertmanager project's own
// code. Errors name keys and rules, not values. hello is the default of its mails'
// greeting, "" for the library's own.
func (r Receiver) build(name, hello string, log *slog.Logger) ([]amnotify.Integration, *template.Budget, error) {
	var block yaml.Node
	if err := yaml.Unmarshal([]byte(r), &block); err != nil || len(block.Content) != 1 {
		return nil, nil, errors.New("is not valid YAML")
	}
	receiver := block.Content[0]
	receiver.Content = append([]*yaml.Node{{Kind: yaml.ScalarNode, Value: "name"}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: name}}, receiver.Content...)
	if err := boundTemplates(receiver); err != nil {
		return nil, nil, err
	}
	file := map[string]any{
		"route":     map[string]any{"receiver": name},
		"receivers": []*yaml.Node{receiver},
	}
	if hello != "" {
		file["global"] = map[string]any{"smtp_hello": hello}
	}
	whole, err := yaml.Marshal(file)
	if err != nil {
		return nil, nil, err
	}
	config, err := amconfig.Load(string(whole))
	if err != nil {
		return nil, nil, errors.New(clean(yamlPlace.ReplaceAllString(err.Error(), "")))
	}
	templates, err := newTemplate()
	if err != nil {
		return nil, nil, err
	}
	all, err := integrations(config.Receivers[0], templates.Template, log)
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, errors.New("contains no receiver, such as pagerduty_configs")
	}
	return all, templates.budget, nil
}

// receiver sends notices through the Alertmanager project's notifiers.
type receiver struct {
	name         string
	integrations []amnotify.Integration
	budget       *template.Budget // of the templates of one message
	// busy is set for each integration while an attempt has not returned. The
	// library's e-mail waits forever for a server that does not respond.
	busy []atomic.Bool

	mu sync.Mutex
	// sent are the steps of the current message that succeeded; they are not
	// repeated when the others are retried.
	message string
	sent    map[string]bool
}

func newReceiver(name string, r Receiver, hello string, log *slog.Logger) (*receiver, error) {
	integrations, budget, err := r.build(name, hello, log)
	return &receiver{name: name, integrations: integrations, budget: budget, busy: make([]atomic.Bool, len(integrations))}, err
}

// send sends each notice by itself: PagerDuty and others close an incident by the
// key that opened it, so a recovery must carry only the key of its own alert.
func (r *receiver) send(ctx context.Context, m message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.message != m.id {
		r.message, r.sent = m.id, map[string]bool{}
	}
	all := m.notices
	if listed, more := m.listed(); more > 0 && !m.resolved() {
		all = append(slices.Clip(listed), Notice{
			ID: m.id, Fingerprint: m.id, Rule: "more alerts", Host: listed[0].Host, State: Firing,
			Summary: m.more(), Since: listed[0].At, At: listed[0].At,
		})
	}
	var errs []error
	for _, n := range all {
		for i, integration := range r.integrations {
			step := n.ID + " " + integration.String()
			if r.sent[step] || n.resolved() && !integration.SendResolved() && !m.test {
				continue
			}
			if err := r.notify(ctx, i, n); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", integration.Name(), err))
				continue
			}
			r.sent[step] = true
		}
	}
	return worst(errs)
}

// notify sends one notice through one integration. The library takes its
// parameters from the context.
func (r *receiver) notify(ctx context.Context, i int, n Notice) error {
	a := n.alert(harmless)
	ctx = amnotify.WithReceiverName(ctx, r.name)
	ctx = amnotify.WithGroupKey(ctx, "sysotel/"+r.name+"/"+n.Fingerprint)
	ctx = amnotify.WithGroupLabels(ctx, model.LabelSet{model.AlertNameLabel: a.Labels[model.AlertNameLabel]})
	ctx = amnotify.WithNow(ctx, time.Now())
	ctx = amnotify.WithRepeatInterval(ctx, maxAge)
	ctx = amnotify.WithNotificationReason(ctx, reason(n))
	if n.resolved() {
		ctx = amnotify.WithFiringAlerts(ctx, nil)
		ctx = amnotify.WithResolvedAlerts(ctx, []uint64{uint64(a.Fingerprint())})
	} else {
		ctx = amnotify.WithFiringAlerts(ctx, []uint64{uint64(a.Fingerprint())})
		ctx = amnotify.WithResolvedAlerts(ctx, nil)
	}
	again, err := r.await(ctx, i, a)
	if err == nil || again {
		return err
	}
	if r, ok := errors.AsType[*amnotify.ErrorWithReason](err); ok && r.Reason == amnotify.RateLimitedReason {
		return &refusal{err: err} // The library does not retry after 429; we do.
	}
	return &refusal{err: err, final: true}
}

// await runs an integration and waits for it no longer than ctx allows.
func (r *receiver) await(ctx context.Context, i int, a *alert.Alert) (again bool, err error) {
	if !r.busy[i].CompareAndSwap(false, true) {
		return true, errors.New("an earlier attempt is still waiting for a response")
	}
	type outcome struct {
		again bool
		err   error
	}
	ended := make(chan outcome, 1)
	r.budget.Refill(templateWork)
	go func() {
		again, err := r.integrations[i].Notify(ctx, a)
		r.busy[i].Store(false)
		ended <- outcome{again, err}
	}()
	select {
	case o := <-ended:
		return o.again, o.err
	case <-ctx.Done():
		return true, ctx.Err()
	}
}

// reason is why a notice is sent, in the library's terms.
func reason(n Notice) amnotify.NotifyReason {
	switch {
	case n.resolved():
		return amnotify.ReasonAllAlertsResolved
	case n.State == Reminder:
		return amnotify.ReasonRepeatIntervalElapsed
	}
	return amnotify.ReasonFirstNotification
}

// worst joins errors: final only if all are.
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

// harmless defuses markup and mentions of the media that the Alertmanager's
// receivers write to. Their templates do not escape.
func harmless(s string) string {
	return strings.NewReplacer("@", "@"+zeroWidth, "<", "‹", "[", "["+zeroWidth, "](", "]"+zeroWidth+"(").Replace(s)
}

// discard is a log that discards everything.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
