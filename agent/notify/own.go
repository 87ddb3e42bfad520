package notify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sysotel/agent/jsonfile"
	"sysotel/agent/secret"
	"sysotel/agent/sqlite"
)

// Channels that are made through the API are in a file of their own. Those of the
// configuration come first: of two with one name, that of the configuration is used.

const (
	// ownFile is that file, in the directory of the queue.
	ownFile = "channels.json"
	// ownFormat is its format.
	ownFormat = 1
	// maxOwn bounds the channels, maxOwnBytes the options of one.
	maxOwn, maxOwnBytes = 50, 32 << 10
)

// The sources of channels.
const (
	FromConfig = "config"
	FromAPI    = "api"
)

var (
	// ErrExists is returned for a channel whose name is taken.
	ErrExists = errors.New("another channel has that name")
	// ErrFixed is returned for a channel of the configuration.
	ErrFixed = errors.New("the channel is in the configuration")
)

// Invalid are the validation errors of a channel's options.
type Invalid []InvalidOption

// InvalidOption is one of them.
type InvalidOption struct{ Path, Rule string }

// Error implements error.
func (e Invalid) Error() string {
	var all []string
	for _, one := range e {
		all = append(all, strings.TrimSpace(one.Path+" "+one.Rule))
	}
	return strings.Join(all, "; ")
}

// ownChannels is the file.
type ownChannels struct {
	Format   int          `json:"format"`
	Channels []ownChannel `json:"channels"`
}

// ownChannel is a channel with its options as YAML, secrets included.
type ownChannel struct {
	Name    string `json:"name"`
	Options string `json:"options"`
}

// readOwn reads the file. One that cannot be used keeps nothing else from working, and
// Health has the error. One of a newer version is an error.
func (n *Notifier) readOwn() error {
	n.own, n.ownErr, n.unread = ownChannels{Format: ownFormat}, nil, false
	stored := n.own
	err := jsonfile.Read(n.ownPath, ownFormat, n.options.Clock.Now(), &stored)
	switch {
	case errors.Is(err, sqlite.ErrNewer):
		return err
	case err != nil:
		n.ownErr, n.unread = fmt.Errorf("the channels of the API are not used: %w", err), errors.Is(err, jsonfile.ErrStands)
		n.options.Log.Error("cannot use the channels of the API", "err", err)
	default:
		n.own = stored
	}
	return nil
}

// openOwn creates the queues of the channels in the file. One that cannot be used keeps
// nothing else from working.
func (n *Notifier) openOwn(ctx context.Context) error {
	n.ownPath, n.unused = filepath.Join(n.options.DataDir, "alerting", ownFile), map[string]error{}
	if err := n.readOwn(); err != nil {
		return err
	}
	for _, own := range n.own.Channels {
		err := error(ErrExists)
		if n.queueOf(own.Name) == nil {
			err = n.addOwn(ctx, own)
		}
		if err != nil {
			n.unused[own.Name] = err
			n.options.Log.Error("a channel of the API is not used", "channel", own.Name, "err", err)
		}
	}
	return nil
}

// addOwn creates the queue of a channel.
func (n *Notifier) addOwn(ctx context.Context, own ownChannel) error {
	q, err := n.ownQueue(ctx, own)
	if err == nil {
		n.queues = append(n.queues, q)
	}
	return err
}

// ownQueue creates the queue of a channel, which is not in use yet.
func (n *Notifier) ownQueue(ctx context.Context, own ownChannel) (*channelQueue, error) {
	channel, err := n.parseOwn(own)
	if err != nil {
		return nil, err
	}
	q, err := n.newQueue(channel)
	if err != nil {
		return nil, err
	}
	q.source = FromAPI
	return q, n.prepare(ctx, q)
}

// parseOwn validates the options of a channel. They have no references to files and
// variables: a user who may change channels need not be allowed to read those.
func (n *Notifier) parseOwn(own ownChannel) (ChannelConfig, error) {
	c := ChannelConfig{}
	c.SetDefaults()
	if len(own.Options) > maxOwnBytes {
		return c, Invalid{{"options", fmt.Sprintf("must have at most %d bytes", maxOwnBytes)}}
	}
	root, err := optionsOf(own.Options)
	if err != nil {
		return c, err
	}
	var invalid Invalid
	walkOptions(root, func(path string, n *yaml.Node, is optionType) {
		switch {
		case strings.Contains(n.Value, "${"):
			invalid = append(invalid, InvalidOption{path, "must not have ${: files and variables can be named in the configuration file only"})
		case is.file && n.Value != "":
			invalid = append(invalid, InvalidOption{path, "can be set in the configuration file only, because it names a file"})
		case is.enum != "" && n.Value != "" && !slices.Contains(strings.Split(is.enum, "|"), n.Value):
			invalid = append(invalid, InvalidOption{path, "must be one of " + strings.ReplaceAll(is.enum, "|", ", ")})
		}
	})
	if len(invalid) > 0 {
		return c, invalid
	}
	decoder := yaml.NewDecoder(strings.NewReader(own.Options))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil {
		return c, Invalid{{"options", clean(yamlPlace.ReplaceAllString(err.Error(), ""))}}
	}
	c.Name = own.Name
	c.validate(n.options.Config.site(c, Options{DataDir: n.options.DataDir}), func(path string, _ any, rule string) {
		invalid = append(invalid, InvalidOption{strings.TrimPrefix(path, "."), rule})
	})
	if len(invalid) > 0 {
		return c, invalid
	}
	return c, nil
}

// optionsOf is the mapping in a text.
func optionsOf(text string) (*yaml.Node, error) {
	var whole yaml.Node
	if err := yaml.Unmarshal([]byte(text), &whole); err != nil {
		return nil, Invalid{{"options", "must be YAML: " + clean(strings.TrimPrefix(err.Error(), "yaml: "))}}
	}
	if len(whole.Content) != 1 || whole.Content[0].Kind != yaml.MappingNode {
		return nil, Invalid{{"options", "must be the options of a channel as under alerting.channels, without its name, such as slack: {url: https://…}"}}
	}
	return whole.Content[0], nil
}

// optionType is what is known of an option.
type optionType struct {
	// receiver is set within a receiver, whose types are the library's.
	secret, file, receiver bool
	enum                   string
}

// walkOptions calls visit for each single value of a channel's options with its path.
func walkOptions(n *yaml.Node, visit func(path string, n *yaml.Node, is optionType)) {
	var walk func(n *yaml.Node, path string, t reflect.Type, is optionType)
	walk = func(n *yaml.Node, path string, t reflect.Type, is optionType) {
		if t == reflect.TypeFor[Receiver]() {
			is.secret, is.receiver = true, true // Nearly every value is or contains one.
		}
		if t == reflect.TypeFor[secret.Text]() {
			is.secret = true
		}
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				key := n.Content[i].Value
				below, next := is, reflect.Type(nil)
				switch {
				case t != nil && t.Kind() == reflect.Struct:
					for f := range t.NumField() {
						field := t.Field(f)
						if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name == key {
							next, below.file, below.enum = field.Type, field.Tag.Get("path") != "", field.Tag.Get("enum")
						}
					}
				case t != nil && t.Kind() == reflect.Map:
					next = t.Elem()
				}
				if is.receiver && (strings.HasSuffix(key, "_file") || key == "files") {
					below.file = true
				}
				walk(n.Content[i+1], strings.TrimPrefix(path+"."+key, "."), next, below)
			}
		case yaml.SequenceNode:
			for i, inner := range n.Content {
				next := reflect.Type(nil)
				if t != nil && t.Kind() == reflect.Slice {
					next = t.Elem()
				}
				walk(inner, fmt.Sprintf("%s[%d]", path, i), next, is)
			}
		case yaml.ScalarNode:
			visit(path, n, is)
		case yaml.AliasNode: // It would be walked again and again.
			visit(path, &yaml.Node{Kind: yaml.ScalarNode, Value: "${"}, is)
		}
	}
	walk(n, "", reflect.TypeFor[ChannelConfig](), optionType{})
}

// keepSecrets puts the secrets of the options before into the places of the new ones that
// have <secret>.
func keepSecrets(options, before string) (string, error) {
	root, err := optionsOf(options)
	if err != nil {
		return "", err
	}
	old := map[string]*yaml.Node{}
	if was, err := optionsOf(before); err == nil {
		walkOptions(was, func(path string, n *yaml.Node, _ optionType) { old[path] = n })
	}
	var invalid Invalid
	kept := false
	walkOptions(root, func(path string, n *yaml.Node, _ optionType) {
		if n.Value != secret.Hidden {
			return
		}
		if old[path] == nil {
			invalid = append(invalid, InvalidOption{path, "is " + secret.Hidden + ", and there is none to keep: write the secret itself"})
			return
		}
		n.Value, n.Tag, n.Style = old[path].Value, old[path].Tag, old[path].Style
		kept = true
	})
	if len(invalid) > 0 {
		return "", invalid
	}
	if !kept {
		return options, nil
	}
	text, err := yaml.Marshal(root)
	return string(text), err
}

// writeOwn replaces the file, in which a channel was changed. What could not be read is not
// overwritten.
func (n *Notifier) writeOwn(next []ownChannel, changed string) error {
	if n.unread {
		return n.ownErr
	}
	if err := jsonfile.Write(n.ownPath, ownChannels{ownFormat, next}); err != nil {
		return fmt.Errorf("write the channels: %w", err)
	}
	n.own.Channels, n.ownErr = next, nil
	delete(n.unused, changed)
	return nil
}

// BackupChannels copies the channels of the API, with their secrets, into a directory.
func (n *Notifier) BackupChannels(dir string) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if len(n.own.Channels) == 0 {
		return nil
	}
	if err := jsonfile.Write(filepath.Join(dir, ownFile), n.own); err != nil {
		return fmt.Errorf("copy the channels: %w", err)
	}
	return nil
}

// ownIndex is the place of a channel that was made through the API. The caller holds mu.
func (n *Notifier) ownIndex(name string) (int, error) {
	q := n.queueOf(name)
	i := slices.IndexFunc(n.own.Channels, func(c ownChannel) bool { return c.Name == name })
	switch {
	case q != nil && q.source != FromAPI:
		return 0, ErrFixed
	case i < 0:
		return 0, fmt.Errorf("%w: %s", ErrUnknownChannel, clean(name))
	}
	return i, nil
}

// AddChannel adds a channel with options as under alerting.channels, in YAML. Errors of
// the caller are of type Invalid, or ErrExists.
func (n *Notifier) AddChannel(ctx context.Context, name, options string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.queueOf(name) != nil || slices.ContainsFunc(n.own.Channels, func(c ownChannel) bool { return c.Name == name }) {
		return ErrExists
	}
	if len(n.own.Channels) >= maxOwn {
		return Invalid{{"name", fmt.Sprintf("there are already %d channels of the API, the maximum; delete some", maxOwn)}}
	}
	options, err := keepSecrets(options, "{}")
	if err != nil {
		return err
	}
	own := ownChannel{name, options}
	q, err := n.ownQueue(ctx, own)
	if err != nil {
		return err
	}
	if err := n.writeOwn(append(slices.Clone(n.own.Channels), own), name); err != nil {
		return errors.Join(err, q.close())
	}
	n.queues = append(n.queues, q)
	n.startQueue(q)
	return nil
}

// ChangeChannel replaces the options of a channel that was made through the API. A secret
// that is <secret> is kept. What waits is sent through the new one.
func (n *Notifier) ChangeChannel(ctx context.Context, name, options string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, err := n.ownIndex(name)
	if err != nil {
		return err
	}
	if options, err = keepSecrets(options, n.own.Channels[i].Options); err != nil {
		return err
	}
	own := ownChannel{name, options}
	q, err := n.ownQueue(ctx, own)
	if err != nil {
		return err
	}
	next := slices.Clone(n.own.Channels)
	next[i] = own
	if err := n.writeOwn(next, name); err != nil {
		return errors.Join(err, q.close())
	}
	err = n.stopQueue(name)
	n.queues = append(n.queues, q)
	n.startQueue(q)
	return err
}

// RemoveChannel removes a channel that was made through the API. What waits for it is not
// sent.
func (n *Notifier) RemoveChannel(ctx context.Context, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	i, err := n.ownIndex(name)
	if err != nil {
		return err
	}
	if err := n.writeOwn(slices.Delete(slices.Clone(n.own.Channels), i, i+1), name); err != nil {
		return err
	}
	err = n.stopQueue(name)
	_, wrong := n.file.forget(ctx, n.names(), n.file.now(ctx))
	return errors.Join(err, wrong)
}

// ChannelOptions returns the options of a channel that was made through the API, with
// <secret> in place of secrets.
func (n *Notifier) ChannelOptions(name string) (map[string]any, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	i, err := n.ownIndex(name)
	if err != nil {
		return nil, err
	}
	root, err := optionsOf(n.own.Channels[i].Options)
	if err != nil {
		return nil, err
	}
	walkOptions(root, func(_ string, n *yaml.Node, is optionType) {
		if is.secret {
			n.SetString(secret.Hidden)
		}
	})
	all := map[string]any{}
	err = root.Decode(&all)
	return all, err
}

// queueOf is the queue of a channel, nil if there is none. The caller holds mu.
func (n *Notifier) queueOf(name string) *channelQueue {
	for _, q := range n.queues {
		if q.name == name {
			return q
		}
	}
	return nil
}

// startQueue lets a queue send, once Run does. The caller holds mu.
func (n *Notifier) startQueue(q *channelQueue) {
	if n.start == nil {
		return
	}
	n.start(q)
}

// stopQueue removes a queue when its attempt has ended. The caller holds mu.
func (n *Notifier) stopQueue(name string) error {
	i := slices.IndexFunc(n.queues, func(q *channelQueue) bool { return q.name == name })
	if i < 0 {
		return nil // It could not be used.
	}
	q := n.queues[i]
	if q.stop != nil {
		q.stop()
		<-q.ended
	}
	n.queues = slices.Delete(slices.Clone(n.queues), i, i+1)
	return q.close()
}

// ownHealth is what keeps channels of the API from being used.
func (n *Notifier) ownHealth() (reasons []string) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.ownErr != nil {
		reasons = append(reasons, n.ownErr.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(n.unused)) {
		reasons = append(reasons, fmt.Sprintf("the channel %s of the API is not used: %v", clean(name), n.unused[name]))
	}
	return reasons
}
