package notify

import (
	"cmp"
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
)

// Receiver is a receiver of the Alertmanager's configuration as YAML, verbatim.
type Receiver string

var _ channelKind = Receiver("")

func (r Receiver) isSet() bool { return r != "" }

func (r Receiver) validate(s site, report reportFunc) {
	if _, _, err := r.build(s.global, s.channel, "", discard()); err != nil {
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
	return newReceiver(r, s, hello, discard())
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
// and those of references, start from a directory.
func (r *Receiver) StartFrom(dir string) { startFrom((*string)(r), dir) }

// MarshalYAML shows which receivers it has and nothing else: nearly every value is
// or contains a secret.
func (r Receiver) MarshalYAML() (any, error) { return hideValues(string(r)) }

// Global is the block global of the Alertmanager's configuration as YAML, verbatim: what
// receivers have in common.
type Global string

// UnmarshalYAML keeps the block as it is; Validate examines it.
func (g *Global) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return errors.New("must be the block global of the Alertmanager's configuration, such as {slack_api_url_file: /etc/sysotel/slack}")
	}
	*g = ""
	if len(n.Content) == 0 {
		return nil
	}
	text, err := yaml.Marshal(n)
	*g = Global(text)
	return err
}

// StartFrom makes relative paths start from a directory, as for a Receiver.
func (g *Global) StartFrom(dir string) { startFrom((*string)(g), dir) }

// MarshalYAML shows which keys it has.
func (g Global) MarshalYAML() (any, error) { return hideValues(cmp.Or(string(g), "{}")) }

// validate reports why the block cannot be used.
func (g Global) validate(report reportFunc) {
	if g == "" {
		return
	}
	if _, err := load(Receiver("{}"), g, "nobody", ""); err != nil {
		report("", "", err.Error())
	}
}

// startFrom makes relative paths in a block start from a directory.
func startFrom(block *string, dir string) {
	var whole yaml.Node
	if *block == "" || yaml.Unmarshal([]byte(*block), &whole) != nil {
		return // It is refused later.
	}
	_ = scalars(&whole, func(key string, n *yaml.Node) error { // It has none.
		text := secret.Text(n.Value)
		text.StartFrom(dir)
		path := string(text)
		if strings.HasSuffix(key, "_file") && path != "" && !strings.HasPrefix(path, "${") && !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if path != n.Value {
			n.SetString(path)
		}
		return nil
	})
	if text, err := yaml.Marshal(&whole); err == nil {
		*block = string(text)
	}
}

// blockWarnings names the files in a block, by keys that end in _file, that cannot be read:
// the library reads most when it sends, and the first alert would say so. It names what
// looks like a reference and is none, too.
func blockWarnings(block string) (all []string) {
	var whole yaml.Node
	if block == "" || yaml.Unmarshal([]byte(block), &whole) != nil {
		return nil // It is refused.
	}
	_ = scalars(&whole, func(key string, n *yaml.Node) error { // It has none.
		if warning := secret.Unexpanded(n.Value); warning != "" && !strings.Contains(n.Value, "{{") {
			all = append(all, key+" "+warning)
		}
		if !strings.HasSuffix(key, "_file") || n.Value == "" {
			return nil
		}
		path, err := secret.Text(n.Value).Reveal()
		if err == nil && !strings.Contains(path, "}") { // Else it is no reference.
			_, err = secret.Text("${file:" + path + "}").Reveal()
		}
		if err != nil {
			all = append(all, key+": "+err.Error()+"; without the file it cannot send")
		}
		return nil
	})
	return all
}

// reveal resolves the references to variables and files in a block.
func reveal(block *yaml.Node) error {
	return scalars(block, func(key string, n *yaml.Node) error {
		if !strings.Contains(n.Value, "${") {
			return nil
		}
		text, err := secret.Text(n.Value).Reveal()
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		n.Tag, n.Value = "", text
		if n.Style == 0 { // Not quoted: it may be a number.
			return nil
		}
		n.Tag = "!!str"
		return nil
	})
}

// scalars calls visit for each single value of a block with the key that it is under.
func scalars(n *yaml.Node, visit func(key string, n *yaml.Node) error) error {
	var walk func(key string, n *yaml.Node) error
	walk = func(key string, n *yaml.Node) error {
		if n.Kind == yaml.ScalarNode {
			return visit(key, n)
		}
		for i, inner := range n.Content {
			if n.Kind == yaml.MappingNode {
				if i%2 == 0 {
					continue
				}
				key = n.Content[i-1].Value
			}
			if err := walk(key, inner); err != nil {
				return err
			}
		}
		return nil
	}
	return walk("", n)
}

// hideValues returns a block with all values hidden.
func hideValues(text string) (any, error) {
	if text == "" {
		return "", nil
	}
	var block map[string]any
	if err := yaml.Unmarshal([]byte(text), &block); err != nil {
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

// load reads a receiver, with what all have in common, by the Alertmanager project's own
// code. Errors name keys and rules, not values. hello is the default of its mails'
// greeting, "" for the library's own.
func load(r Receiver, g Global, name, hello string) (amconfig.Receiver, error) {
	receiver, err := blockOf(string(r))
	if err != nil {
		return amconfig.Receiver{}, err
	}
	receiver.Content = append([]*yaml.Node{{Kind: yaml.ScalarNode, Value: "name"}, {Kind: yaml.ScalarNode, Tag: "!!str", Value: name}}, receiver.Content...)
	if err := boundTemplates(receiver); err != nil {
		return amconfig.Receiver{}, err
	}
	global, err := blockOf(cmp.Or(string(g), "{}"))
	if err != nil {
		return amconfig.Receiver{}, err
	}
	if hello != "" && !hasKey(global, "smtp_hello") {
		global.Content = append(global.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "smtp_hello"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: hello})
	}
	file := map[string]any{
		"route":     map[string]any{"receiver": name},
		"receivers": []*yaml.Node{receiver},
	}
	if len(global.Content) > 0 {
		file["global"] = global
	}
	whole, err := yaml.Marshal(file)
	if err != nil {
		return amconfig.Receiver{}, err
	}
	config, err := amconfig.Load(string(whole))
	if err != nil {
		text := clean(yamlPlace.ReplaceAllString(err.Error(), ""))
		if strings.HasPrefix(text, "no global ") || strings.HasPrefix(text, "no Slack API URL") {
			text += "; it may stand in the receiver, or in alerting.global for all"
		}
		return amconfig.Receiver{}, errors.New(text)
	}
	return config.Receivers[0], nil
}

// blockOf is the mapping in a block with its references resolved.
func blockOf(text string) (*yaml.Node, error) {
	var whole yaml.Node
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil || len(whole.Content) != 1 || whole.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("is not valid YAML")
	}
	block := whole.Content[0]
	block.Style = 0
	return block, reveal(block)
}

// hasKey reports whether a mapping has a key.
func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}

// build creates the integrations of a receiver. As in the Alertmanager there may be none.
func (r Receiver) build(g Global, name, hello string, log *slog.Logger) ([]amnotify.Integration, *templates, error) {
	config, err := load(r, g, name, hello)
	if err != nil {
		return nil, nil, err
	}
	t, err := newTemplate("")
	if err != nil {
		return nil, nil, err
	}
	all, err := integrations(config, t.Template, log)
	if err != nil {
		return nil, nil, err
	}
	return all, t, nil
}

// receiver sends notices through the Alertmanager project's notifiers.
type receiver struct {
	site         site
	integrations []amnotify.Integration
	templates    *templates
	// linked is done once the templates have the URL of the agent's page, which is known
	// when it listens.
	linked sync.Once
	// busy is set for each integration while an attempt has not returned. The
	// library's e-mail waits forever for a server that does not respond.
	busy []atomic.Bool

	mu sync.Mutex
	// sent are the steps of the current message that succeeded; they are not
	// repeated when the others are retried.
	message string
	sent    map[string]bool
}

func newReceiver(r Receiver, s site, hello string, log *slog.Logger) (*receiver, error) {
	all, t, err := r.build(s.global, s.channel, hello, log)
	return &receiver{site: s, integrations: all, templates: t, busy: make([]atomic.Bool, len(all))}, err
}

// send sends each notice by itself: PagerDuty and others close an incident by the
// key that opened it, so a recovery must carry only the key of its own alert.
func (r *receiver) send(ctx context.Context, m message) error {
	if len(r.integrations) == 0 && m.test {
		return &refusal{err: errors.New("the receiver has no integration, such as pagerduty_configs: it sends nothing"), final: true}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.linked.Do(func() {
		if page, err := pageURL(r.site.url()); err == nil { // Without it links are relative.
			r.templates.ExternalURL = page
		}
	})
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
	ctx = amnotify.WithReceiverName(ctx, r.site.channel)
	ctx = amnotify.WithGroupKey(ctx, "sysotel/"+r.site.channel+"/"+n.Fingerprint)
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
	r.templates.budget.Refill(templateWork)
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
